import Course
import Sockets

/// A stopwatch on CLOCK_MONOTONIC that runs backwards.
final class Countdown {
    private let end: UInt64

    init(_ wait: Milliseconds, within outer: Countdown? = nil) {
        let own = Countdown.nanoseconds + UInt64(max(0, min(wait, 2_000_000_000))) * 1_000_000
        end = outer.map { min($0.end, own) } ?? own
    }

    /// Never less than what is really left, so that nobody comes too early.
    var milliseconds: Int32 {
        let now = Countdown.nanoseconds
        return now >= end ? 0 : Int32((end - now + 999_999) / 1_000_000)
    }

    private static var nanoseconds: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

enum Waiting: Error {
    case over
    case failed(Int32)
}

/// A call that does not wait, repeated until it gives something: a signal makes it again, EAGAIN waits.
/// - Throws: `Waiting`.
func persist(_ socket: Int32, for events: Int32, _ countdown: Countdown, _ call: () -> Int) throws(Waiting) -> Int {
    while true {
        let result = call()
        if result >= 0 { return result }
        let code = errno
        if code == EINTR { continue }
        guard code == EAGAIN else { throw .failed(code) }
        try ready(socket, for: events, countdown)
    }
}

private func ready(_ socket: Int32, for events: Int32, _ countdown: Countdown) throws(Waiting) {
    while true {
        let left = countdown.milliseconds
        var entry = pollfd(fd: socket, events: Int16(truncatingIfNeeded: events), revents: 0)
        switch poll(&entry, 1, left) {
        case 1: return
        case 0: throw .over
        default:
            let code = errno
            if code != EINTR { throw .failed(code) }
            if left == 0 { throw .over }
        }
    }
}
