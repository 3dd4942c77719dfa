import Course
import Foundation
import Sockets

/// A connected socket, select, Data.
func request(message: [UInt8], host: String, port: UInt16, timeout: Milliseconds, attempts: Int) throws -> Answer {
    let address = try SocketAddress(host: host, port: port)
    let fd = try check("socket", socket(address.family, SOCK_DGRAM, 0))
    defer { close(fd) }
    try check("connect", address.withSockaddr { connect(fd, $0, $1) })
    var generator = SystemRandomNumberGenerator()
    var id: UInt32 = generator.next()
    id = id.bigEndian
    for attempt in stride(from: UInt32(1), through: UInt32(attempts), by: 1) {
        var datagram = Data()
        withUnsafeBytes(of: id) { datagram.append(contentsOf: $0) }
        withUnsafeBytes(of: attempt.bigEndian) { datagram.append(contentsOf: $0) }
        datagram.append(contentsOf: message)
        while true {
            let n = datagram.withUnsafeBytes { send(fd, $0.baseAddress, $0.count, 0) }
            // A refusal of the attempt before may show here, and then this one was not sent.
            if n >= 0 { break }
            if errno == EINTR || errno == ECONNREFUSED { continue }
            throw SocketError("send", errno)
        }
        let end = Date(timeIntervalSinceNow: Double(timeout) / 1000)
        while true {
            let left = end.timeIntervalSinceNow
            if left <= 0 { break }
            var set = fd_set()
            fdZero(&set)
            fdSet(fd, &set)
            var limit = timeval(tv_sec: Int(left), tv_usec: __suseconds_t((left - Double(Int(left))) * 1e6) + 1)
            let ready = select(fd + 1, &set, nil, nil, &limit)
            if ready <= 0 { continue }
            var buffer = [UInt8](repeating: 0, count: 70_000)
            let n = recv(fd, &buffer, buffer.count, MSG_DONTWAIT)
            if n < 8 { continue }
            let same = withUnsafeBytes(of: id) { Array($0) == Array(buffer[..<4]) }
            let which = buffer[4..<8].reduce(UInt32(0)) { $0 * 256 + UInt32($1) }
            if same && which >= 1 && which <= attempt {
                return Answer(payload: Array(buffer[8..<n]), attempt: Int(which))
            }
        }
    }
    throw RequestError.noAnswer
}
