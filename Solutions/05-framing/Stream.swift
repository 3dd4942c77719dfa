// What lesson 04 wrote, as it is needed here: send and recv move some bytes, these move all of them.
import Sockets

func sendAll(socket: Int32, bytes: [UInt8]) throws {
    var sent = 0
    while sent < bytes.count {
        // A peer that has left is an error here, not the end of the process: no SIGPIPE.
        let count = bytes[sent...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count < 0 && errno == EINTR { continue }
        sent += try check("send", count)
    }
}

/// - Returns: exactly `count` bytes, or fewer if the stream ended.
func receive(socket: Int32, atMost count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var received = 0
    while received < count {
        let more = bytes[received...].withUnsafeMutableBytes { recv(socket, $0.baseAddress, $0.count, 0) }
        if more < 0 && errno == EINTR { continue }
        if try check("recv", more) == 0 { break }
        received += more
    }
    return Array(bytes[..<received])
}
