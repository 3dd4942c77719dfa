import Course
import Dispatch
import Sockets

/// DispatchTime counts as CLOCK_MONOTONIC does.
func nanosecondsNow() -> UInt64 { DispatchTime.now().uptimeNanoseconds }

func pointInTime(after wait: Milliseconds) -> UInt64 {
    nanosecondsNow() + UInt64(wait.clamped(to: 0...86_400_000 * 20)) * 1_000_000
}

func left(until end: UInt64) -> Int32 {
    let now = nanosecondsNow()
    if now >= end { return 0 }
    let (whole, part) = (end - now).quotientAndRemainder(dividingBy: 1_000_000)
    return Int32(whole) + (part > 0 ? 1 : 0)
}

extension Int {
    func clamped(to range: ClosedRange<Int>) -> Int { Swift.min(Swift.max(self, range.lowerBound), range.upperBound) }
}

enum LastCall {
    /// There is time left: if the socket says EAGAIN, come again.
    case no
    /// The time is over: what the socket says now counts.
    case yes
    case failed(Int32)
}

/// Waits at most once. Whatever has ended the wait, the socket is asked afterwards: it knows best.
func pause(_ socket: Int32, for events: Int32, until end: UInt64) -> LastCall {
    let time = left(until: end)
    var entry = pollfd(fd: socket, events: Int16(events), revents: 0)
    let result = poll(&entry, 1, time)
    if result < 0 && errno != EINTR { return .failed(errno) }
    return result == 0 || time == 0 ? .yes : .no
}
