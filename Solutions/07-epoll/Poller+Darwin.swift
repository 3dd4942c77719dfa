// kqueue(2), which does for macOS and the BSDs what epoll does for Linux. Not run on macOS yet.
#if canImport(Darwin)
import Sockets

/// Closed by its owner with `close(poller.descriptor)`.
struct Poller {
    let descriptor: Int32
    private var events = [kevent](repeating: kevent(), count: 256)

    init() throws { descriptor = try check("kqueue", kqueue()) }

    /// What is asked about a descriptor.
    struct Interest: Equatable {
        var reading: Bool
        var writing: Bool
        /// Reported once when it becomes ready, and not again until there is something new.
        var onEdges = false
    }

    func add(_ watched: Int32, _ interest: Interest) throws {
        // A client that is gone must not end the program (SIGPIPE). There is no MSG_NOSIGNAL here: the socket is told
        // instead. What is no socket has no such option, and needs none.
        var yes: Int32 = 1
        setsockopt(watched, SOL_SOCKET, SO_NOSIGPIPE, &yes, socklen_t(MemoryLayout<Int32>.size))
        try change(watched, interest)
    }

    /// kqueue has a filter for each direction, and both are always there: enabled or not.
    func change(_ watched: Int32, _ interest: Interest) throws {
        for (filter, wanted) in [(EVFILT_READ, interest.reading), (EVFILT_WRITE, interest.writing)] {
            let flags = EV_ADD | (wanted ? EV_ENABLE : EV_DISABLE) | (interest.onEdges ? EV_CLEAR : 0)
            var event = kevent(
                ident: UInt(watched), filter: Int16(filter), flags: UInt16(flags), fflags: 0, data: 0, udata: nil)
            try check("kevent", kevent(descriptor, &event, 1, nil, 0, nil))
        }
    }

    struct Event {
        var descriptor: Int32
        /// Or there is an error, or the end, which recv will tell.
        var canRead: Bool
    }

    /// Waits for the next events.
    ///
    /// - Parameter timeout: in milliseconds; nil waits as long as it takes.
    /// - Returns: none if the time is over or a signal came.
    mutating func wait(timeout: Int? = nil) throws -> [Event] {
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
            // EV_EOF and EV_ERROR come unasked. Either way there is something to be read: an error, or the end.
            let broken = event.flags & UInt16(EV_EOF | EV_ERROR) != 0
            return Event(descriptor: Int32(event.ident), canRead: broken || event.filter == Int16(EVFILT_READ))
        }
    }
}
#endif
