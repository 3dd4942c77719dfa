import Course
import Sockets

func timestampServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let server = try check("socket", socket(address.family, SOCK_DGRAM, 0))
    defer { close(server) }
    _ = address.withSockaddr { bind(server, $0, $1) }

    var buffer = [UInt8](repeating: 0, count: roomForDatagram)
    while true {
        let (count, sender) = SocketAddress.received { recvfrom(server, &buffer, buffer.count, 0, $0, $1) }
        if count < 0 {
            if errno == EINTR { continue }
            throw SocketError("recvfrom", errno)
        }
        let arrival = millisecondsSince1970()
        guard let sender else { continue }

        let answer = Array("\(arrival) ".utf8) + buffer.prefix(count)

        _ = retryingInterrupts { sender.withSockaddr { sendto(server, answer, answer.count, 0, $0, $1) } }
    }
}

func millisecondsSince1970() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int(time.tv_sec) * 1_000 + Int(time.tv_nsec) / 1_000_000
}
