import Course
import Sockets

func timestampServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let server = try check("socket", socket(address.family, SOCK_DGRAM, 0))
    defer { close(server) }
    try check("bind", address.withSockaddr { bind(server, $0, $1) })

    var question = [UInt8](repeating: 0, count: 65_535)
    while true {
        let (count, sender) = SocketAddress.received { recvfrom(server, &question, question.count, 0, $0, $1) }
        if count < 0 {
            if errno == EINTR { continue }
            throw SocketError("recvfrom", errno)
        }
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        // Return was pressed: the line is complete.
        guard let sender, let last = question.prefix(count).last, last == UInt8(ascii: "\n") else { continue }
        let milliseconds = Int(time.tv_sec) * 1_000 + Int(time.tv_nsec) / 1_000_000
        let answer = Array("\(milliseconds) ".utf8) + question.prefix(count)
        while sender.withSockaddr({ sendto(server, answer, answer.count, 0, $0, $1) }) < 0 && errno == EINTR {}
    }
}
