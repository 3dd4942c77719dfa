import Course
import Sockets

func connectedClient(message: [UInt8], host: String, port: UInt16, timeout: Milliseconds) throws -> [UInt8] {
    let server = try SocketAddress(host: host, port: port)
    let client = try check("socket", socket(server.family, 0, SOCK_DGRAM))
    defer { close(client) }
    try check("connect", server.withSockaddr { connect(client, $0, $1) })
    var sent = -1
    repeat {
        sent = send(client, message, message.count, 0)
    } while sent < 0 && errno == EINTR
    try check("send", sent)

    let clock = ContinuousClock()
    let end = clock.now + .milliseconds(timeout)
    var answer = [UInt8](repeating: 0, count: 65_535)
    while true {
        let left = Int(((end - clock.now) / .milliseconds(1)).rounded(.up))
        var interest = pollfd(fd: client, events: Int16(POLLIN), revents: 0)
        let ready = poll(&interest, 1, Int32(clamping: max(0, left)))
        guard ready > 0 else {
            if ready < 0 && errno == EINTR { continue }
            if ready == 0 { throw RequestError.noAnswer }
            throw SocketError("poll", errno)
        }
        let count = recv(client, &answer, answer.count, MSG_DONTWAIT)
        if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
        return Array(answer.prefix(try check("recv", count)))
    }
}

/// Waits for one datagram.
///
/// The wait ends at a moment, not after a time: whoever has to wait again (after a signal, after a datagram that was
/// not the right one) passes the same deadline, and the whole does not get longer.
///
/// - Parameter deadline: as `monotonicNanoseconds()` counts.
/// - Returns: nil if the deadline came first. An empty datagram is a datagram.
/// - Throws: on a connected socket, `ECONNREFUSED` if nobody has the port.
func receiveDatagram(
    on socket: Int32, until deadline: Int
) throws -> (bytes: [UInt8], sender: SocketAddress?)? {
    var buffer = [UInt8](repeating: 0, count: roomForDatagram)
    while true {
        let left = deadline - monotonicNanoseconds()
        guard left > 0 else { return nil }

        // Rounded up: rounded down, the last part of a millisecond would be spent asking again and again.
        let wait = (left + nanosecondsPerMillisecond - 1) / nanosecondsPerMillisecond
        var interest = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        let ready = poll(&interest, 1, Int32(clamping: wait))
        if ready < 0 && errno != EINTR { throw SocketError("poll", errno) }
        if ready <= 0 { continue }

        // MSG_DONTWAIT, although poll saw something: a datagram whose checksum is wrong is dropped only when it is
        // read, and then this call would wait without any deadline (select(2), BUGS).
        let (count, sender) = SocketAddress.received {
            recvfrom(socket, &buffer, buffer.count, MSG_DONTWAIT, $0, $1)
        }
        if count >= 0 { return (Array(buffer.prefix(count)), sender) }
        if errno != EINTR && errno != EAGAIN { throw SocketError("recvfrom", errno) }
    }
}

let nanosecondsPerMillisecond = 1_000_000

/// A clock that only moves forward, for measuring: nobody can set it (clock_gettime(2)).
func monotonicNanoseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec)
}
