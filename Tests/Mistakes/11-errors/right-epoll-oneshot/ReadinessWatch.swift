import Course
import Sockets

/// A moment on CLOCK_MONOTONIC, in nanoseconds; saturates instead of overflowing.
struct Moment: Comparable {
    let nanoseconds: UInt64

    static var now: Moment {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Moment(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    static func < (one: Moment, other: Moment) -> Bool { one.nanoseconds < other.nanoseconds }

    func after(_ wait: Milliseconds) -> Moment {
        let (product, tooLarge) = UInt64(max(0, wait)).multipliedReportingOverflow(by: 1_000_000)
        let (sum, tooLate) = nanoseconds.addingReportingOverflow(product)
        return Moment(nanoseconds: tooLarge || tooLate ? .max : sum)
    }

    /// From now until then, rounded up to whole milliseconds.
    var left: UInt64 {
        let now = Moment.now.nanoseconds
        guard nanoseconds > now else { return 0 }
        let distance = nanoseconds - now
        return distance / 1_000_000 + (distance % 1_000_000 == 0 ? 0 : 1)
    }
}

/// Waits, as often as it is asked to, until one descriptor is ready; never past one moment. The epoll instance is made when
/// the first wait is due. If there is no descriptor to spare for it, poll does the same.
final class ReadinessWatch {
    enum Outcome {
        case ready
        case late
        case failed(Int32)
    }

    private let descriptor: Int32
    private let forWriting: Bool
    private let end: Moment
    private var queue: Int32 = -1
    private var isRegistered = false
    private var usesPoll = false

    init(_ descriptor: Int32, forWriting: Bool, until end: Moment) {
        self.descriptor = descriptor
        self.forWriting = forWriting
        self.end = end
    }

    func dispose() {
        if queue != -1 { close(queue) }
        queue = -1
        usesPoll = true
    }

    func wait() -> Outcome {
        if !usesPoll && !arm() { dispose() }
        while true {
            let left = end.left
            let limit = Int32(min(left, UInt64(Int32.max)))
            let (count, code) = usesPoll ? waitWithPoll(limit) : waitWithQueue(limit)
            if count > 0 { return .ready }
            if count == -1 && code != EINTR { return .failed(code) }
            if count == 0 && left == UInt64(limit) { return .late }
            // Interrupted, when there was nothing left to wait for.
            if count == -1 && left == 0 { return .late }
        }
    }

    /// One report for one wait: the registration is renewed each time.
    private func arm() -> Bool {
        if queue == -1 { queue = epoll_create1(Int32(EPOLL_CLOEXEC)) }
        guard queue != -1 else { return false }
        var event = epoll_event()
        event.events = (forWriting ? EPOLLOUT.rawValue : EPOLLIN.rawValue) | EPOLLONESHOT.rawValue
        event.data.fd = descriptor
        let operation = isRegistered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD
        guard epoll_ctl(queue, operation, descriptor, &event) == 0 else { return false }
        isRegistered = true
        return true
    }

    private func waitWithQueue(_ limit: Int32) -> (Int32, Int32) {
        var event = epoll_event()
        let count = epoll_wait(queue, &event, 1, limit)
        return (count, errno)
    }

    private func waitWithPoll(_ limit: Int32) -> (Int32, Int32) {
        var entry = pollfd(fd: descriptor, events: Int16(forWriting ? POLLOUT : POLLIN), revents: 0)
        let count = poll(&entry, 1, limit)
        return (count, errno)
    }
}
