import Course
import Sockets

/// A timerfd among the descriptors that epoll waits for, set to the moment when the first client is due.
func idleTimeoutServer(host: String, port: UInt16, timeout: Milliseconds) throws {
    var loop = try EventLoop(host: host, port: port)
    defer { loop.closeAll() }
    let timer = try check("timerfd_create", timerfd_create(Int32(CLOCK_MONOTONIC), Int32(TFD_NONBLOCK)))
    defer { close(timer) }
    try loop.alsoWaitFor(timer)
    var due: [Int32: Int] = [:]
    var armed: Int?
    while true {
        let (active, timeIsUp) = try loop.runOnce()
        let now = monotonicMilliseconds()
        for descriptor in active { due[descriptor] = now + timeout }
        due = due.filter { loop.clients[$0.key] != nil }
        if timeIsUp {
            var expirations: UInt64 = 0
            _ = read(timer, &expirations, 8)
            armed = nil
            for (descriptor, moment) in due where moment <= now {
                loop.drop(descriptor)
                due[descriptor] = nil
            }
        }
        // An early ring does no harm: it is set anew. So it is set only when it has rung, or for the first client.
        guard armed == nil, let first = due.values.min() else { continue }
        var setting = itimerspec()
        let left = max(1, first - now)
        setting.it_value = timespec(tv_sec: left / 1000, tv_nsec: left % 1000 * 1_000_000)
        try check("timerfd_settime", timerfd_settime(timer, 0, &setting, nil))
        armed = first
    }
}

func monotonicMilliseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}
