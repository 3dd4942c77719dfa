// epoll(7): the kernel keeps the list of descriptors, and returns only those that are ready.
#if os(Linux)
import Sockets

/// Closed by its owner with `close(poller.descriptor)`.
struct Poller {
    let descriptor: Int32
    private var events = [epoll_event](repeating: epoll_event(), count: 256)

    init() throws {
        descriptor = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
    }

    /// What is asked about a descriptor.
    struct Interest: Equatable {
        var reading: Bool
        var writing: Bool
        /// Reported once when it becomes ready, and not again until there is something new.
        var onEdges = false

        fileprivate var mask: UInt32 {
            (reading ? EPOLLIN.rawValue : 0) | (writing ? EPOLLOUT.rawValue : 0) | (onEdges ? EPOLLET.rawValue : 0)
        }
    }

    func add(_ watched: Int32, _ interest: Interest) throws {
        try control(EPOLL_CTL_ADD, watched, interest)
    }

    func change(_ watched: Int32, _ interest: Interest) throws {
        try control(EPOLL_CTL_MOD, watched, interest)
    }

    // There is no remove: closing a descriptor takes it out of the list.

    private func control(_ operation: Int32, _ watched: Int32, _ interest: Interest) throws {
        var event = epoll_event(events: interest.mask, data: epoll_data_t(fd: watched))
        try check("epoll_ctl", epoll_ctl(descriptor, operation, watched, &event))
    }

    struct Event {
        var descriptor: Int32
        /// Or there is an error, or the end, which recv will tell.
        var canRead: Bool
    }

    /// Waits for the next events.
    ///
    /// - Parameter timeout: in milliseconds; nil waits as long as it takes.
    /// - Returns: at most one event a descriptor; none if the time is over or a signal came.
    mutating func wait(timeout: Int? = nil) throws -> [Event] {
        let count = epoll_wait(descriptor, &events, Int32(events.count), timeout.map { Int32(clamping: $0) } ?? -1)
        if count < 0 {
            if errno == EINTR { return [] }
            throw SocketError("epoll_wait", errno)
        }
        return events[..<Int(count)].map { event in
            // EPOLLERR and EPOLLHUP come unasked. Either way there is something to be read: an error, or the end.
            let broken = event.events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
            return Event(descriptor: event.data.fd, canRead: broken || event.events & EPOLLIN.rawValue != 0)
        }
    }
}
#endif
