import Course
import Sockets

func receiveExactly(_ socket: Int32, count: Int) throws -> [UInt8] {
    var result: [UInt8] = []
    while result.count != count {
        var part = [UInt8](repeating: 0, count: min(777, count - result.count))
        let n = read(socket, &part, part.count)
        if n == -1 && errno == EINTR { continue }
        if n == -1 { throw SocketError("read", errno) }
        if n == 0 { throw StreamError.ended(received: result.count) }
        result.append(contentsOf: part[..<n])
    }
    return result
}
