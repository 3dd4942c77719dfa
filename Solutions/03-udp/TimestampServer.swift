import Course
import Sockets

func timestampServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let server = try check("socket", socket(address.family, SOCK_DGRAM, 0))
    defer { close(server) }
    try check("bind", address.withSockaddr { bind(server, $0, $1) })

    var buffer = [UInt8](repeating: 0, count: roomForDatagram)
    while true {
        let (count, sender) = SocketAddress.received { recvfrom(server, &buffer, buffer.count, 0, $0, $1) }
        if count < 0 {
            if errno == EINTR { continue }
            throw SocketError("recvfrom", errno)
        }
        // First thing after the datagram, so that no other work is counted in.
        let arrival = millisecondsSince1970()
        guard let sender else { continue }

        // The datagram is put back byte for byte: through a String, bytes that are not UTF-8 would be replaced.
        let answer = Array("\(arrival) ".utf8) + buffer.prefix(count)

        // The answer is 14 bytes longer than the question, so it may not fit into a datagram: then sendto fails with
        // EMSGSIZE. That answer is lost; the server is not.
        _ = retryingInterrupts { sender.withSockaddr { sendto(server, answer, answer.count, 0, $0, $1) } }
    }
}

/// The time of day (clock_gettime(2)). It may jump when somebody sets the clock: fit for telling a time to others, not
/// for measuring how long something takes.
func millisecondsSince1970() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int(time.tv_sec) * 1_000 + Int(time.tv_nsec) / 1_000_000
}
