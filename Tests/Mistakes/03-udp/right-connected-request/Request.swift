import Course
import Sockets

func request(
    message: [UInt8], host: String, port: UInt16, timeout: Milliseconds, attempts: Int
) throws -> Answer {
    let server = try SocketAddress(host: host, port: port)
    let fd = socket(server.family, SOCK_DGRAM, 0)
    guard fd >= 0 else { throw SocketError("socket", errno) }
    defer { close(fd) }
    guard server.withSockaddr({ connect(fd, $0, $1) }) == 0 else { throw SocketError("connect", errno) }
    let id = (0..<4).map { _ in UInt8.random(in: .min ... .max) }
    for attempt in 0..<attempts {
        let number = UInt32(attempt + 1)
        let packet = id + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) } + message
        while send(fd, packet, packet.count, 0) < 0 {
            guard errno == EINTR || errno == ECONNREFUSED else { throw SocketError("send", errno) }
        }
        let end = monotonicNanoseconds() + timeout * 1_000_000
        while true {
            let left = end - monotonicNanoseconds()
            if left <= 0 { break }
            var wait = timeval(tv_sec: left / 1_000_000_000, tv_usec: left % 1_000_000_000 / 1000 + 1)
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
            var packet = [UInt8](repeating: 0, count: 70_000)
            let count = recv(fd, &packet, packet.count, 0)
            if count < 0 {
                // A refusal is no answer: the server may be back for the next attempt.
                if [EAGAIN, EINTR, ECONNREFUSED].contains(errno) { continue }
                throw SocketError("recv", errno)
            }
            guard count >= 8, Array(packet[..<4]) == id else { continue }
            let answered = packet[4..<8].reduce(0) { $0 * 256 + Int($1) }
            guard answered >= 1, answered <= attempt + 1 else { continue }
            return Answer(payload: Array(packet[8..<count]), attempt: answered)
        }
    }
    throw RequestError.noAnswer
}
