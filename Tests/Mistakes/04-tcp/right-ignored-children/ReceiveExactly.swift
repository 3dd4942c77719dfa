import Course
import Sockets

func receiveExactly(_ socket: Int32, count: Int) throws -> [UInt8] {
    var all: [UInt8] = []
    while all.count < count {
        var rest = [UInt8](repeating: 0, count: count - all.count)
        let got = recv(socket, &rest, rest.count, MSG_WAITALL)
        if got < 0 && errno == EINTR { continue }
        if got < 0 { throw SocketError("recv", errno) }
        if got == 0 { throw StreamError.ended(received: all.count) }
        all += rest.prefix(got)
    }
    return all
}
