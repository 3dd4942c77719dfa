import Course
import Sockets

func connectedClient(message: [UInt8], host: String, port: UInt16, timeout: Milliseconds) throws -> [UInt8] {
    let address = try SocketAddress(host: host, port: port)
    let client = try check("socket", socket(address.family, SOCK_DGRAM, 0))
    defer { close(client) }
    try check("connect", address.withSockaddr { connect(client, $0, $1) })
    try again("send") { send(client, message, message.count, 0) }
    try check("fcntl", fcntl(client, F_SETFL, O_NONBLOCK))
    return try withPatience(client) { patience in
        try patience.reset(timeout)
        var room = [UInt8](repeating: 0, count: 1 << 16)
        while try patience.readable() {
            let count = read(client, &room, room.count)
            if count >= 0 { return Array(room[0..<count]) }
            guard errno == EINTR || errno == EAGAIN else { throw SocketError("read", errno) }
        }
        throw RequestError.noAnswer
    }
}

/// A socket and an alarm clock, waited for together.
struct Patience {
    fileprivate let epoll: Int32
    fileprivate let clock: Int32

    /// The alarm rings at a moment, not after a time: waiting again does not move it.
    func reset(_ timeout: Milliseconds) throws {
        var alarm = itimerspec()
        clock_gettime(CLOCK_MONOTONIC, &alarm.it_value)
        let nanoseconds = Int(alarm.it_value.tv_nsec) + max(timeout, 0) % 1000 * 1_000_000
        alarm.it_value.tv_sec += max(timeout, 0) / 1000 + nanoseconds / 1_000_000_000
        alarm.it_value.tv_nsec = nanoseconds % 1_000_000_000
        try check("timerfd_settime", timerfd_settime(clock, 1 /* TFD_TIMER_ABSTIME */, &alarm, nil))
    }

    /// - Returns: false when the alarm has rung.
    func readable() throws -> Bool {
        var events = [epoll_event](repeating: epoll_event(), count: 2)
        var count: Int32
        repeat { count = epoll_wait(epoll, &events, 2, -1) } while count < 0 && errno == EINTR
        try check("epoll_wait", count)
        return !events.prefix(Int(count)).contains { $0.data.fd == clock }
    }
}

func withPatience<Result>(_ socket: Int32, _ body: (Patience) throws -> Result) throws -> Result {
    let epoll = try check("epoll_create1", epoll_create1(0))
    defer { close(epoll) }
    let clock = try check("timerfd_create", timerfd_create(CLOCK_MONOTONIC, 0))
    defer { close(clock) }
    try watch(socket, EPOLLIN.rawValue, epoll)
    try watch(clock, EPOLLIN.rawValue, epoll)
    return try body(Patience(epoll: epoll, clock: clock))
}

extension Patience {
    /// The next datagram, or nil when the alarm has rung.
    func datagram(_ socket: Int32, _ room: inout [UInt8]) throws -> (ArraySlice<UInt8>, SocketAddress?)? {
        while try readable() {
            let (count, sender) = SocketAddress.received { name, length in
                room.withUnsafeMutableBytes { recvfrom(socket, $0.baseAddress, $0.count, MSG_DONTWAIT, name, length) }
            }
            if count >= 0 { return (room[0..<count], sender) }
            guard errno == EINTR || errno == EAGAIN else { throw SocketError("recvfrom", errno) }
        }
        return nil
    }
}
