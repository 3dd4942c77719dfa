import Course
import Sockets

func epollServer(host: String, port: UInt16) throws {
    let server = try Server(host: host, port: port, trigger: .level, clock: NoClock())
    defer { server.closeAll() }
    while true { try server.step() }
}

enum Transfer: Equatable {
    case bytes
    case end
    case notNow
    case broken
}

/// Bytes on their way back, in a ring that does not grow: what does not fit stays in the socket.
struct Ring {
    static let capacity = 32_768
    private var base: UnsafeMutablePointer<UInt8>?
    private var head = 0
    private(set) var count = 0

    var hasRoom: Bool { count < Ring.capacity }

    /// The two parts of the ring that begin at `start`.
    private func parts(_ base: UnsafeMutablePointer<UInt8>, from start: Int, count: Int) -> [iovec] {
        let first = min(count, Ring.capacity - start)
        let one = iovec(iov_base: base + start, iov_len: first)
        return first == count ? [one] : [one, iovec(iov_base: base, iov_len: count - first)]
    }

    mutating func fill(from fd: Int32) -> Transfer {
        let base = self.base ?? .allocate(capacity: Ring.capacity)
        self.base = base
        let tail = (head + count) % Ring.capacity
        let room = parts(base, from: tail, count: Ring.capacity - count)
        var got: Int
        repeat { got = readv(fd, room, Int32(room.count)) } while got < 0 && errno == EINTR
        if got <= 0 {
            let code = errno
            release()
            return got == 0 ? .end : code == EAGAIN ? .notNow : .broken
        }
        for offset in 0..<got {
            let place = (tail + offset) % Ring.capacity
            if base[place] >= 97 && base[place] <= 122 { base[place] -= 32 }
        }
        count += got
        return .bytes
    }

    mutating func drain(to fd: Int32) -> Transfer {
        guard let base, count > 0 else { return .notNow }
        var pieces = parts(base, from: head, count: count)
        var sent: Int
        repeat {
            sent = pieces.withUnsafeMutableBufferPointer {
                var message = msghdr()
                message.msg_iov = $0.baseAddress
                message.msg_iovlen = .init($0.count)
                return sendmsg(fd, &message, MSG_NOSIGNAL)
            }
        } while sent < 0 && errno == EINTR
        if sent < 0 { return errno == EAGAIN ? .notNow : .broken }
        head = (head + sent) % Ring.capacity
        count -= sent
        release()
        return .bytes
    }

    /// Whoever is silent needs no memory.
    private mutating func release() {
        if count == 0 { discard() }
    }

    mutating func discard() {
        base?.deallocate()
        (base, head, count) = (nil, 0, 0)
    }
}

final class Link {
    let fd: Int32
    var ring = Ring()
    var ended = false
    var broken = false
    var readable = false
    var writable = false
    var queued = false
    var mask: UInt32

    init(fd: Int32, mask: UInt32) {
        self.fd = fd
        self.mask = mask
    }

    deinit { ring.discard() }

    var takes: Bool { !ended && !broken && ring.hasRoom }
    var owes: Bool { !broken && ring.count > 0 }
    var isOver: Bool { broken || (ended && ring.count == 0) }
}

/// What a server wants to do with time.
protocol Clock {
    mutating func heard(_ id: UInt64)
    mutating func left(_ id: UInt64)
    /// In milliseconds; -1: nobody is due.
    func patience() -> Int32
    mutating func due() -> [UInt64]
}

struct NoClock: Clock {
    func heard(_ id: UInt64) {}
    func left(_ id: UInt64) {}
    func patience() -> Int32 { -1 }
    func due() -> [UInt64] { [] }
}

/// Events carry a number that is given out only once, never a descriptor: an event for a client that is gone finds nobody.
final class Server<Time: Clock> {
    enum Trigger { case level, edge }

    private let trigger: Trigger
    private let epoll: Int32
    private let listener: Int32
    private var isListening = true
    private var isArmed = true
    private var mayWait = false
    private var nextID: UInt64 = 2
    private var links: [UInt64: Link] = [:]
    private var ready: [UInt64] = []
    private var clock: Time
    private var events = [epoll_event](repeating: epoll_event(), count: 1024)
    private(set) var wasCalled = false
    private var bell: Int32 = -1

    var isEmpty: Bool { links.isEmpty }

    init(host: String, port: UInt16, trigger: Trigger, clock: Time) throws {
        let address = try SocketAddress(host: host, port: port)
        let listener = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0))
        var epoll: Int32 = -1
        do {
            var on: Int32 = 1
            let size = socklen_t(MemoryLayout.size(ofValue: on))
            try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, size))
            try check("fcntl", fcntl(listener, F_SETFL, O_NONBLOCK))
            try check("bind", address.withSockaddr { bind(listener, $0, $1) })
            try check("listen", listen(listener, SOMAXCONN))
            epoll = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
            var event = epoll_event(
                events: EPOLLIN.rawValue | (trigger == .edge ? EPOLLET.rawValue : 0), data: epoll_data_t(u64: 0))
            try check("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event))
        } catch {
            if epoll >= 0 { close(epoll) }
            close(listener)
            throw error
        }
        self.trigger = trigger
        self.clock = clock
        self.listener = listener
        self.epoll = epoll
    }

    func ring(on descriptor: Int32) throws {
        bell = descriptor
        var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(u64: 1))
        try check("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event))
    }

    func step(atMost most: Int32 = -1) throws {
        var wait = clock.patience()
        func shorten(to limit: Int32) { if wait < 0 || wait > limit { wait = limit } }
        if most >= 0 { shorten(to: most) }
        if mayWait && isListening { shorten(to: 100) }
        if !ready.isEmpty { wait = 0 }

        let count = epoll_wait(epoll, &events, Int32(events.count), wait)
        if count < 0 {
            if errno == EINTR { return }
            throw SocketError("epoll_wait", errno)
        }
        var knocked = mayWait
        for event in events[..<Int(count)] {
            switch event.data.u64 {
            case 0: knocked = true
            case 1: wasCalled = true
            case let id:
                guard let link = links[id] else { continue }
                let broken = event.events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
                if broken || event.events & EPOLLIN.rawValue != 0 { link.readable = true }
                if broken || event.events & EPOLLOUT.rawValue != 0 { link.writable = true }
                if !link.queued {
                    link.queued = true
                    ready.append(id)
                }
            }
        }
        if knocked && isListening { try welcome() }

        let turn = ready
        ready.removeAll(keepingCapacity: true)
        for id in turn { try work(id) }

        // Only when everything that had arrived was seen.
        if Int(count) < events.count { for id in clock.due() { drop(id) } }
    }

    private func work(_ id: UInt64) throws {
        guard let link = links[id] else { return }
        link.queued = false
        if link.readable && link.takes {
            switch link.ring.fill(from: link.fd) {
            case .bytes:
                clock.heard(id)
                // On a level nothing is known of writing yet; mostly there is room.
                if trigger == .level { link.writable = true }
            case .end: link.ended = true
            case .notNow: link.readable = false
            case .broken: link.broken = true
            }
        }
        if link.writable && link.owes {
            switch link.ring.drain(to: link.fd) {
            case .bytes, .end: break
            case .notNow: link.writable = false
            case .broken: link.broken = true
            }
        }
        if link.isOver { return drop(id) }
        switch trigger {
        case .edge:
            if (link.readable && link.takes) || (link.writable && link.owes) {
                link.queued = true
                ready.append(id)
            }
        case .level:
            // It is told again.
            (link.readable, link.writable) = (false, false)
            try ask(id, link)
        }
    }

    private func ask(_ id: UInt64, _ link: Link) throws {
        let mask = (link.takes ? EPOLLIN.rawValue : 0) | (link.owes ? EPOLLOUT.rawValue : 0)
        guard mask != link.mask else { return }
        var event = epoll_event(events: mask, data: epoll_data_t(u64: id))
        try check("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_MOD, link.fd, &event))
        link.mask = mask
    }

    private func drop(_ id: UInt64) {
        guard let link = links.removeValue(forKey: id) else { return }
        clock.left(id)
        close(link.fd)
    }

    private func welcome() throws {
        while true {
            let fd = accept4(listener, nil, nil, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0 {
                switch errno {
                case EAGAIN: return try rest(false)
                case EMFILE, ENFILE, ENOMEM, ENOBUFS: return try rest(true)
                case EBADF, EFAULT, EINVAL, ENOTSOCK: throw SocketError("accept4", errno)
                default: continue
                }
            }
            let id = nextID
            nextID += 1
            let mask =
                trigger == .level ? EPOLLIN.rawValue : EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLET.rawValue
            var event = epoll_event(events: mask, data: epoll_data_t(u64: id))
            if epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0 {
                close(fd)
                continue
            }
            links[id] = Link(fd: fd, mask: mask)
            clock.heard(id)
        }
    }

    /// Without room for one more the listener is not asked about; it is tried again after a while.
    private func rest(_ isFull: Bool) throws {
        mayWait = isFull
        guard trigger == .level, isArmed == isFull else { return }
        isArmed = !isFull
        var event = epoll_event(events: isArmed ? EPOLLIN.rawValue : 0, data: epoll_data_t(u64: 0))
        try check("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_MOD, listener, &event))
    }

    func finish() throws {
        isListening = false
        close(listener)
        if bell >= 0 {
            var event = epoll_event()
            try check("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_DEL, bell, &event))
        }
        for (id, link) in links {
            link.ended = true
            if link.isOver { drop(id) } else { try ask(id, link) }
        }
    }

    func closeAll() {
        for id in Array(links.keys) { drop(id) }
        if isListening { close(listener) }
        close(epoll)
    }
}
