import Course
import Sockets

struct Clock {
    let end: UInt64
    init(_ timeout: Milliseconds) { end = Clock.now() + UInt64(timeout) * 1_000_000 }
    static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
    var left: Int32 {
        let now = Clock.now()
        return now >= end ? 0 : Int32(clamping: (end - now) / 1_000_000 + 1)
    }
}

func ready(_ socket: Int32, _ events: UInt32, _ clock: Clock) throws -> Bool {
    let epoll = try check("epoll_create1", epoll_create1(0))
    defer { close(epoll) }
    var event = epoll_event()
    event.events = events
    try check("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event))
    while true {
        let left = clock.left
        let count = epoll_wait(epoll, &event, 1, left)
        if count > 0 { return true }
        if count == 0 && left == 0 { return false }
        if count < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
    }
}

func withoutBlocking<Result>(_ socket: Int32, _ body: () throws -> Result) throws -> Result {
    let flags = try check("fcntl", fcntl(socket, F_GETFL))
    try check("fcntl", fcntl(socket, F_SETFL, flags | O_NONBLOCK))
    defer { _ = fcntl(socket, F_SETFL, flags) }
    return try body()
}
