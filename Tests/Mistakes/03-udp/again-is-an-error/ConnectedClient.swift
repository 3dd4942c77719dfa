import Course
import Sockets

func connectedClient(message: [UInt8], host: String, port: UInt16, timeout: Milliseconds) throws -> [UInt8] {
    let server = try SocketAddress(host: host, port: port)
    let client = try check("socket", socket(server.family, SOCK_DGRAM, 0))
    defer { close(client) }

    try check("connect", server.withSockaddr { connect(client, $0, $1) })
    try check("send", retryingInterrupts { send(client, message, message.count, 0) })

    let deadline = monotonicNanoseconds() + timeout * nanosecondsPerMillisecond
    guard let answer = try receiveDatagram(on: client, until: deadline) else { throw RequestError.noAnswer }
    return answer.bytes
}

func receiveDatagram(
    on socket: Int32, until deadline: Int
) throws -> (bytes: [UInt8], sender: SocketAddress?)? {
    var buffer = [UInt8](repeating: 0, count: roomForDatagram)
    while true {
        let left = deadline - monotonicNanoseconds()
        guard left > 0 else { return nil }

        let wait = (left + nanosecondsPerMillisecond - 1) / nanosecondsPerMillisecond
        var interest = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        let ready = poll(&interest, 1, Int32(clamping: wait))
        if ready < 0 && errno != EINTR { throw SocketError("poll", errno) }
        if ready <= 0 { continue }

        let (count, sender) = SocketAddress.received {
            recvfrom(socket, &buffer, buffer.count, MSG_DONTWAIT, $0, $1)
        }
        if count >= 0 { return (Array(buffer.prefix(count)), sender) }
        if errno != EINTR { throw SocketError("recvfrom", errno) }
    }
}

let nanosecondsPerMillisecond = 1_000_000

func monotonicNanoseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec)
}
