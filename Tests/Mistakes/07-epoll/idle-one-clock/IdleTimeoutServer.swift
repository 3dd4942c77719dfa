import Course
import Sockets

/// Closes clients that have sent nothing for `timeout`. epoll_wait sleeps exactly until the first of them is due: no client
/// costs anything while it is neither talking nor due.
func idleTimeoutServer(host: String, port: UInt16, timeout: Milliseconds) throws {
    var loop = try EventLoop(host: host, port: port)
    defer { loop.closeAll() }
    var clocks = IdleClocks(timeout: timeout)
    while true {
        let (active, _) = try loop.runOnce(timeout: clocks.untilNextIsDue(now: monotonicMilliseconds()))
        let now = monotonicMilliseconds()
        if !active.isEmpty { for descriptor in loop.clients.keys { clocks.heard(descriptor, now: now) } }
        for descriptor in clocks.due(now: now) where loop.clients[descriptor] != nil { loop.drop(descriptor) }
    }
}

/// When each client was heard last, and who is due next.
///
/// The timeout is the same for all, so deadlines are made in the order in which they come due, and a plain queue will do. A
/// client has one place in it, however often it is heard: when its turn comes and it has been heard since, it goes to the
/// back again.
private struct IdleClocks {
    let timeout: Milliseconds
    private var lastHeard: [Int32: Int] = [:]
    private var queue: [(descriptor: Int32, due: Int)] = []
    private var first = 0

    init(timeout: Milliseconds) { self.timeout = timeout }

    mutating func heard(_ descriptor: Int32, now: Int) {
        // A number that was another client's before may still have its place in the queue: it serves for this one, too.
        if lastHeard.updateValue(now, forKey: descriptor) == nil {
            queue.append((descriptor, now + timeout))
        }
    }

    /// In milliseconds; nil if nobody is waited for.
    func untilNextIsDue(now: Int) -> Int? { first < queue.count ? max(0, queue[first].due - now) : nil }

    mutating func due(now: Int) -> [Int32] {
        var silent: [Int32] = []
        while first < queue.count, queue[first].due <= now {
            let descriptor = queue[first].descriptor
            first += 1
            let due = (lastHeard[descriptor] ?? 0) + timeout
            if due > now {
                queue.append((descriptor, due))
            } else {
                lastHeard[descriptor] = nil
                silent.append(descriptor)
            }
        }
        // The part that is done with is cut off now and then, not each time: that would copy the rest each time.
        if first > 1024 && first * 2 > queue.count {
            queue.removeFirst(first)
            first = 0
        }
        return silent
    }
}

/// A clock that only moves forward (clock_gettime(2)).
func monotonicMilliseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}
