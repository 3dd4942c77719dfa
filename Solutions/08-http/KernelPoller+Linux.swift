// epoll(7): the kernel keeps the list of descriptors, and returns only those that are ready.
#if os(Linux)
import Sockets

struct KernelPoller: Poller {
    private let descriptor: Int32
    private var events = [epoll_event](repeating: epoll_event(), count: 256)

    init() throws {
        descriptor = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
    }

    func closeAll() { close(descriptor) }

    func add(_ watched: Int32, _ interest: Interest) throws -> Bool {
        try control(EPOLL_CTL_ADD, watched, interest)
        return true
    }

    func change(_ watched: Int32, _ interest: Interest) throws { try control(EPOLL_CTL_MOD, watched, interest) }

    /// Closing a descriptor takes it out of the list.
    func remove(_ watched: Int32) {}

    private func control(_ operation: Int32, _ watched: Int32, _ interest: Interest) throws {
        let mask = (interest.reading ? EPOLLIN.rawValue : 0) | (interest.writing ? EPOLLOUT.rawValue : 0)
        var event = epoll_event(events: mask, data: epoll_data_t(fd: watched))
        try check("epoll_ctl", epoll_ctl(descriptor, operation, watched, &event))
    }

    mutating func wait(timeout: Int?) throws -> [Readiness] {
        let count = epoll_wait(descriptor, &events, Int32(events.count), timeout.map { Int32(clamping: $0) } ?? -1)
        if count < 0 {
            if errno == EINTR { return [] }
            throw SocketError("epoll_wait", errno)
        }
        return events[..<Int(count)].map { event in
            // EPOLLERR and EPOLLHUP come unasked. Either way there is something to be read: an error, or the end.
            let broken = event.events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
            return Readiness(descriptor: event.data.fd, canRead: broken || event.events & EPOLLIN.rawValue != 0)
        }
    }
}
#endif
