import Course
import Sockets

/// A point in time that is set once, so that whatever interrupts a wait cannot make it longer. On CLOCK_MONOTONIC: the
/// time of day may be set back while somebody waits.
struct Deadline {
    private let end: Int  // ns

    init(in timeout: Milliseconds) {
        // As long as poll can wait, three weeks: more would overflow.
        end = Deadline.now() + min(max(timeout, 0), Int(Int32.max)) * 1_000_000
    }

    private init(end: Int) { self.end = end }

    /// Rounded up, so that a wait does not end a little early and go round for nothing.
    var left: Milliseconds { max(0, (end - Deadline.now() + 999_999) / 1_000_000) }

    func orEarlier(_ other: Deadline) -> Deadline { Deadline(end: min(end, other.end)) }

    private static func now() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec)
    }
}

enum Readiness {
    case ready
    case late
    case failed(code: Int32)
}

/// Waits until the socket is ready for `events`, POLLIN or POLLOUT. Ready is also a socket that is broken (POLLERR, POLLHUP):
/// the next call on it says how.
func waitUntilReady(_ socket: Int32, for events: Int32, before deadline: Deadline) -> Readiness {
    var entry = pollfd(fd: socket, events: Int16(events), revents: 0)
    while true {
        let count = poll(&entry, 1, Int32(deadline.left))
        if count > 0 { return .ready }
        if count == 0 { return .late }
        let code = errno
        // Interrupted: again, for what is left.
        if code != EINTR { return .failed(code: code) }
    }
}
