import Course
import Sockets

/// writev, with SIGPIPE ignored; a list of what is left, whose first piece shrinks.
func writeVectors(socket: Int32, pieces: [[UInt8]]) throws {
    signal(SIGPIPE, SIG_IGN)
    var rest = pieces.filter { !$0.isEmpty }[...]
    while !rest.isEmpty {
        let count = withVectors(of: rest.prefix(1000)) { writev(socket, $0, Int32($0.count)) }
        if count < 0 {
            if errno == EINTR { continue }
            throw SocketError("writev", errno)
        }
        var gone = count
        while gone > 0, let first = rest.first {
            if gone >= first.count {
                gone -= first.count
                rest.removeFirst()
            } else {
                rest[rest.startIndex].removeFirst(gone)
                gone = 0
            }
        }
    }
}
