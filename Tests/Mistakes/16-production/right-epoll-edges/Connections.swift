import Course
import Sockets

func clock() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

/// One client. What it says and hears is for those who inherit from it.
class Session {
    enum Phase { case talking, lastWords, draining, over }

    let fd: Int32
    unowned let loop: Loop
    final private(set) var phase = Phase.talking
    final private(set) var drainEnd = Int.max
    // What the last edges have told.
    final var canRead = true
    final var canWrite = true
    private final var out: [UInt8] = []
    private final var sent = 0

    init(fd: Int32, loop: Loop) {
        self.fd = fd
        self.loop = loop
    }

    func input(_ bytes: [UInt8]) {}
    /// The server was asked to stop.
    func stopped() {}
    /// Nothing was begun: may be closed at a stop.
    var mayLeave: Bool { true }
    var nextTick: Int? { nil }
    func tick() {}

    final var hasSaidAll: Bool { sent == out.count }

    final func say(_ bytes: [UInt8]) {
        guard phase == .talking else { return }
        if hasSaidAll { (out, sent) = (bytes, 0) } else { out += bytes }
    }

    final func leave() { if phase == .talking { phase = .lastWords } }
    final func giveUp() { phase = .over }

    /// Does what can be done without waiting. - Returns: true if there may be more.
    final func pump() -> Bool {
        for _ in 0..<64 {
            guard phase != .over, flush() else { return false }
            if phase == .lastWords {
                shutdown(fd, SHUT_WR)
                phase = .draining
                drainEnd = clock() + 5000
            }
            guard canRead else {
                guard loop.isStopping && phase == .talking && mayLeave else { return false }
                phase = .lastWords
                continue
            }
            let count = recv(fd, &loop.buffer, loop.buffer.count, 0)
            if count > 0 {
                if phase == .talking { input(Array(loop.buffer[..<count])) }
            } else if count < 0 && errno == EINTR {
                continue
            } else if count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) {
                canRead = false
            } else {
                phase = .over
            }
        }
        return phase != .over
    }

    /// - Returns: whether nothing is left to be sent.
    private final func flush() -> Bool {
        while !hasSaidAll {
            guard canWrite else { return false }
            let count = out.withUnsafeBytes { send(fd, $0.baseAddress! + sent, $0.count - sent, MSG_NOSIGNAL) }
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN || errno == EWOULDBLOCK {
                canWrite = false
            } else if errno != EINTR {
                phase = .over
                return false
            }
        }
        if !out.isEmpty { (out, sent) = ([], 0) }
        return true
    }
}

final class Loop {
    let stop: Int32
    private(set) var isStopping = false
    var buffer = [UInt8](repeating: 0, count: 65_536)
    private var sessions: [Int32: Session] = [:]
    private let poller: Int32
    private let make: (Loop, Int32, String) -> Session

    init(stop: Int32, make: @escaping (Loop, Int32, String) -> Session) throws {
        self.stop = stop
        self.make = make
        poller = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
    }

    deinit { close(poller) }

    private func watch(_ fd: Int32, _ events: UInt32) throws {
        var event = epoll_event(events: events, data: epoll_data_t(fd: fd))
        try check("epoll_ctl", epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event))
    }

    /// The stop is there, though perhaps not yet seen by the loop.
    func stopIsThere() -> Bool {
        var entry = pollfd(fd: stop, events: Int16(POLLIN), revents: 0)
        while true {
            let count = poll(&entry, 1, 0)
            if count < 0 && errno == EINTR { continue }
            return isStopping || count > 0
        }
    }

    func run(host: String, port: UInt16) throws {
        let address = try SocketAddress(host: host, port: port)
        let flags = Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let listener = try check("socket", socket(address.family, SOCK_STREAM | flags, 0))
        var listens = true
        defer {
            if listens { close(listener) }
            for fd in sessions.keys { close(fd) }
        }
        var on: Int32 = 1
        try check(
            "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout.size(ofValue: on)))
        )
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
        try watch(listener, EPOLLIN.rawValue)
        try watch(stop, EPOLLIN.rawValue)

        var events = [epoll_event](repeating: epoll_event(), count: 128)
        var unfinished: Set<Int32> = []
        var end: Int?
        while true {
            let count = epoll_wait(poller, &events, Int32(events.count), unfinished.isEmpty ? patience(end) : 0)
            if count < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
            let ready = events[..<Int(max(count, 0))]
            if ready.contains(where: { $0.data.fd == stop }) { isStopping = true }

            var work = unfinished
            unfinished = []
            for event in ready {
                let fd = event.data.fd
                if fd == listener && listens { work.formUnion(try acceptAll(listener, flags)) }
                guard let session = sessions[fd] else { continue }
                let broken = event.events & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0
                if broken || event.events & (EPOLLIN.rawValue | EPOLLRDHUP.rawValue) != 0 { session.canRead = true }
                if broken || event.events & EPOLLOUT.rawValue != 0 { session.canWrite = true }
                work.insert(fd)
            }
            if isStopping && listens {
                work.formUnion(try acceptAll(listener, flags))
                close(listener)
                listens = false
                epoll_ctl(poller, EPOLL_CTL_DEL, stop, nil)
                end = clock() + Lesson16.stopPatience
                for (fd, session) in sessions {
                    session.canRead = true
                    session.stopped()
                    work.insert(fd)
                }
            }
            let time = clock()
            for (fd, session) in sessions {
                if let due = session.nextTick, due <= time {
                    session.tick()
                    work.insert(fd)
                }
                if session.drainEnd <= time { session.giveUp() }
            }
            for fd in work where sessions[fd]?.pump() == true { unfinished.insert(fd) }
            for (fd, session) in sessions where session.phase == .over {
                sessions[fd] = nil
                unfinished.remove(fd)
                close(fd)
            }
            if let end, sessions.isEmpty || clock() >= end { return }
        }
    }

    private func patience(_ end: Int?) -> Int32 {
        var first = end ?? Int.max
        for session in sessions.values { first = min(first, session.drainEnd, session.nextTick ?? Int.max) }
        return first == Int.max ? -1 : Int32(clamping: max(0, first - clock()))
    }

    private func acceptAll(_ listener: Int32, _ flags: Int32) throws -> [Int32] {
        var new: [Int32] = []
        for _ in 0..<8192 {
            let (fd, address) = SocketAddress.received { accept4(listener, $0, $1, flags) }
            if fd < 0 {
                switch errno {
                case EAGAIN: return new
                case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
                case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                    poll(nil, 0, 20)
                    return new
                default: throw SocketError("accept4", errno)
                }
            }
            do {
                try watch(fd, EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue)
            } catch {
                close(fd)
                continue
            }
            sessions[fd] = make(self, fd, address?.host ?? "")
            new.append(fd)
        }
        return new
    }
}
