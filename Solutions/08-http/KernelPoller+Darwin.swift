// kqueue(2), which does for macOS and the BSDs what epoll does for Linux. Not run on macOS yet.
#if canImport(Darwin)
import Sockets

struct KernelPoller: Poller {
    private let descriptor: Int32
    private var events = [kevent](repeating: kevent(), count: 256)

    init() throws { descriptor = try check("kqueue", kqueue()) }

    func closeAll() { close(descriptor) }

    func add(_ watched: Int32, _ interest: Interest) throws -> Bool {
        try change(watched, interest)
        return true
    }

    /// kqueue has a filter for each direction, and both are always there: enabled or not.
    func change(_ watched: Int32, _ interest: Interest) throws {
        for (filter, wanted) in [(EVFILT_READ, interest.reading), (EVFILT_WRITE, interest.writing)] {
            var event = kevent(
                ident: UInt(watched), filter: Int16(filter), flags: UInt16(EV_ADD | (wanted ? EV_ENABLE : EV_DISABLE)),
                fflags: 0, data: 0, udata: nil)
            try check("kevent", kevent(descriptor, &event, 1, nil, 0, nil))
        }
    }

    /// Closing a descriptor takes it out of the list.
    func remove(_ watched: Int32) {}

    mutating func wait(timeout: Int?) throws -> [Readiness] {
        var time = timespec(tv_sec: (timeout ?? 0) / 1000, tv_nsec: (timeout ?? 0) % 1000 * 1_000_000)
        let count =
            timeout == nil
            ? kevent(descriptor, nil, 0, &events, Int32(events.count), nil)
            : kevent(descriptor, nil, 0, &events, Int32(events.count), &time)
        if count < 0 {
            if errno == EINTR { return [] }
            throw SocketError("kevent", errno)
        }
        return events[..<Int(count)].map { event in
            Readiness(descriptor: Int32(event.ident), canRead: event.filter == Int16(EVFILT_READ))
        }
    }
}
#endif
