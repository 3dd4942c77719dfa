// One thread, epoll edge-triggered: flags remember what the kernel has said, and a list says whose turn it is.
import Course
import Solution05
import Solution09
import Sockets

private let tcp = Solution05.reference
private let web = Solution09.reference
private let high = 256 * 1024

private func milliseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

/// One end: a descriptor, what waits for it, and what epoll has told.
private struct Line {
    var fd: Int32 = -1
    var canRead = false
    var canWrite = false
    var ended = false  // recv gave 0, or it is broken
    var out: [UInt8] = []
    var start = 0
    var waiting: Int { out.count - start }
    var shut = false

    mutating func put(_ bytes: [UInt8]) { out += bytes }

    /// False: broken.
    mutating func push() -> Bool {
        while waiting > 0 && canWrite {
            let count = out.withUnsafeBytes { send(fd, $0.baseAddress! + start, waiting, Int32(MSG_NOSIGNAL)) }
            if count >= 0 {
                start += count
            } else if errno == EAGAIN {
                canWrite = false
            } else if errno != EINTR {
                return false
            }
        }
        if start > 1 << 17 || waiting == 0 {
            out.removeFirst(start)
            start = 0
        }
        return true
    }

    mutating func finish() {
        if fd >= 0 { close(fd) }
        fd = -1
        out = []
        start = 0
    }
}

private final class Session {
    enum Stage { case handshake, connecting, open, over }
    var stage = Stage.handshake
    var browser = Line()
    var server = Line()
    var head: [UInt8] = []
    var events = web.makeFrameDecoder(.server, Lesson14.frameLimit)
    var frames = tcp.makeFrameDecoder(Lesson14.frameLimit)
    /// No more is read as frames from the browser: it has left, or we have closed.
    var browserIsDone = false
    var serverIsDone = false
    var deadline: Int?
    var queued = false
}

private final class Gate {
    let rules: GatewayRules
    let listener: Int32
    let epoll: Int32
    var sessions: [UInt64: Session] = [:]
    var next: UInt64 = 1
    var turn: [UInt64] = []
    var doorIsOpen = true
    var buffer = [UInt8](repeating: 0, count: 65_536)

    init(_ listener: Int32, _ rules: GatewayRules) throws {
        self.listener = listener
        self.rules = rules
        epoll = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
        try watch(listener, 0, EPOLLIN.rawValue)
    }

    func watch(_ fd: Int32, _ data: UInt64, _ events: UInt32) throws {
        var event = epoll_event(events: events, data: epoll_data_t(u64: data))
        try check("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
    }

    let all = EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue

    func run() throws {
        var events = [epoll_event](repeating: epoll_event(), count: 128)
        while true {
            var timeout: Int32 = -1
            if !turn.isEmpty {
                timeout = 0
            } else if let soonest = sessions.values.compactMap(\.deadline).min() {
                timeout = Int32(max(0, soonest - milliseconds() + 1))
            }
            if !doorIsOpen { timeout = timeout < 0 ? 100 : min(timeout, 100) }
            let count = epoll_wait(epoll, &events, 128, timeout)
            if count < 0 {
                if errno == EINTR { continue }
                throw SocketError("epoll_wait", errno)
            }
            if !doorIsOpen {
                try watch(listener, 0, EPOLLIN.rawValue)
                doorIsOpen = true
            }
            for event in events[..<Int(count)] {
                let data = event.data.u64
                if data == 0 { acceptAll(); continue }
                guard let session = sessions[data >> 1] else { continue }
                let readable = event.events & ~EPOLLOUT.rawValue != 0
                let writable = event.events & (EPOLLOUT.rawValue | EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
                if data & 1 == 0 {
                    if readable { session.browser.canRead = true }
                    if writable { session.browser.canWrite = true }
                } else {
                    if readable { session.server.canRead = true }
                    if writable { session.server.canWrite = true }
                }
                enqueue(data >> 1)
            }
            let now = turn
            turn = []
            for id in now {
                guard let session = sessions[id] else { continue }
                session.queued = false
                if work(session, id) { enqueue(id) }
                if session.browser.fd < 0 && session.server.fd < 0 { sessions[id] = nil }
            }
            let time = milliseconds()
            for (id, session) in sessions {
                if let deadline = session.deadline, deadline <= time {
                    session.browser.finish()
                    session.server.finish()
                    sessions[id] = nil
                }
            }
        }
    }

    func enqueue(_ id: UInt64) {
        guard let session = sessions[id], !session.queued else { return }
        session.queued = true
        turn.append(id)
    }

    func acceptAll() {
        while true {
            let fd = accept4(listener, nil, nil, Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue))
            if fd < 0 {
                if errno == EINTR || errno == ECONNABORTED { continue }
                if errno != EAGAIN {
                    epoll_ctl(epoll, EPOLL_CTL_DEL, listener, nil)
                    doorIsOpen = false
                }
                return
            }
            let session = Session()
            session.browser.fd = fd
            do { try watch(fd, next << 1, all) } catch { close(fd); continue }
            sessions[next] = session
            next += 1
        }
    }

    /// One piece from each side, and all that can be sent. True: there is more to do at once.
    func work(_ s: Session, _ id: UInt64) -> Bool {
        var more = false
        // The browser.
        if s.browser.fd >= 0, s.browser.canRead, !s.browser.ended,
            s.browserIsDone || (s.stage != .connecting && s.server.waiting < high && s.browser.waiting < 4 * high)
        {
            let count = recv(s.browser.fd, &buffer, buffer.count, 0)
            if count > 0 {
                more = true
                if !s.browserIsDone { fromBrowser(s, id, Array(buffer[..<count])) }
            } else if count == 0 {
                s.browser.ended = true
                s.browserIsDone = true
                s.serverIsDone = true
            } else if errno == EAGAIN {
                s.browser.canRead = false
            } else if errno == EINTR {
                more = true
            } else {
                s.browser.finish()
                s.browserIsDone = true
                s.serverIsDone = true
            }
        }
        // The connection to the server comes to be, or not.
        if s.stage == .connecting, s.server.canWrite {
            var problem: Int32 = 0
            var size = socklen_t(4)
            getsockopt(s.server.fd, SOL_SOCKET, SO_ERROR, &problem, &size)
            if problem == 0 { connected(s) } else { unreachable(s) }
            more = true
        }
        // The server.
        if s.stage == .open, s.server.fd >= 0, s.server.canRead, !s.server.ended,
            s.serverIsDone || s.browser.waiting < high
        {
            let count = recv(s.server.fd, &buffer, buffer.count, 0)
            if count > 0 {
                more = true
                if !s.serverIsDone { fromServer(s, Array(buffer[..<count])) }
            } else if count < 0 && errno == EAGAIN {
                s.server.canRead = false
            } else if count < 0 && errno == EINTR {
                more = true
            } else {
                s.server.ended = true
                if !s.serverIsDone { closeBrowser(s, 1000) }
                s.server.finish()
            }
        }
        // Out.
        if s.browser.fd >= 0 {
            let before = s.browser.waiting
            if !s.browser.push() {
                s.browser.finish()
                s.browserIsDone = true
                s.serverIsDone = true
            }
            if before >= high && s.browser.waiting < high { more = true }
        }
        if s.stage == .open, s.server.fd >= 0 {
            let before = s.server.waiting
            if !s.server.push() {
                s.server.finish()
                if !s.serverIsDone { closeBrowser(s, 1000); more = true }
            }
            if before >= high && s.server.waiting < high { more = true }
        }
        // Ends. Whoever is done has half a minute to take its last words.
        if s.browserIsDone, s.deadline == nil { s.deadline = milliseconds() + 30_000 }
        if s.browserIsDone, s.browser.fd >= 0, s.browser.waiting == 0 {
            if s.browser.ended {
                s.browser.finish()
            } else if !s.browser.shut {
                shutdown(s.browser.fd, SHUT_WR)
                s.browser.shut = true
                s.deadline = milliseconds() + 2000
            }
        }
        if s.serverIsDone, s.server.fd >= 0, s.stage != .connecting, s.server.waiting == 0, !s.server.shut {
            if s.server.ended {
                s.server.finish()
            } else {
                shutdown(s.server.fd, SHUT_WR)
                s.server.shut = true
                s.deadline = min(s.deadline ?? .max, milliseconds() + 2000)
            }
        }
        return more
    }

    func closeBrowser(_ s: Session, _ code: UInt16?) {
        s.browser.put(web.encodeFrame(.close, code.map { [UInt8($0 >> 8), UInt8($0 & 255)] } ?? [], true, nil))
        s.browserIsDone = true
        s.serverIsDone = true
    }

    func fromBrowser(_ s: Session, _ id: UInt64, _ bytes: [UInt8]) {
        if s.stage == .handshake {
            if s.server.fd < 0 { connectServer(s, id) }
            s.stage = .handshake
            s.head += bytes
            switch web.serverHandshake(s.head, rules.allowedOrigins) {
            case .incomplete: return
            case .refused(let status, let response):
                s.browser.put(status == 426 ? rules.page : response)
                s.browserIsDone = true
                s.server.finish()
                s.stage = .over
            case .accepted(let response, let length):
                s.browser.put(response)
                s.events.feed(Array(s.head[length...]))
                s.head = []
                if s.server.fd >= 0 { s.stage = .connecting }
            }
        } else {
            s.events.feed(bytes)
            decode(s)
        }
    }

    func decode(_ s: Session) {
        do {
            while !s.browserIsDone, let event = try s.events.next() {
                switch event {
                case .text(let bytes): s.server.put(tcp.encodeFrame(bytes))
                case .binary: closeBrowser(s, 1003)
                case .ping(let bytes): s.browser.put(web.encodeFrame(.pong, bytes, true, nil))
                case .pong: break
                case .close(let code, _): closeBrowser(s, code)
                }
            }
        } catch {
            closeBrowser(s, (error as? WebSocketError)?.closeCode ?? 1011)
        }
    }

    func connectServer(_ s: Session, _ id: UInt64) {
        s.stage = .connecting
        guard let address = try? SocketAddress(host: rules.serverHost, port: rules.serverPort) else {
            return unreachable(s)
        }
        s.server.fd = socket(
            address.family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard s.server.fd >= 0 else { return unreachable(s) }
        while address.withSockaddr({ connect(s.server.fd, $0, $1) }) != 0 {
            if errno == EINTR { continue }
            if errno == EISCONN { break }
            if errno == EINPROGRESS || errno == EALREADY { break }
            return unreachable(s)
        }
        do { try watch(s.server.fd, id << 1 | 1, all) } catch { unreachable(s) }
    }

    func connected(_ s: Session) {
        s.stage = .open
        decode(s)
    }

    func unreachable(_ s: Session) {
        s.server.finish()
        s.stage = .over
        if !s.browserIsDone { closeBrowser(s, 1013) }
    }

    func fromServer(_ s: Session, _ bytes: [UInt8]) {
        s.frames.feed(bytes)
        do {
            while let frame = try s.frames.next() { s.browser.put(web.encodeFrame(.text, frame, true, nil)) }
        } catch {
            closeBrowser(s, 1011)
        }
    }
}

func gateway(host: String, port: UInt16, rules: GatewayRules) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check(
        "socket",
        socket(address.family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0))
    defer { close(listener) }
    var yes: Int32 = 1
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, 4))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, 1024))
    try Gate(listener, rules).run()
}
