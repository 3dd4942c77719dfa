import Course
import Sockets

/// A client, as the loop below sees it.
final class Guest {
    enum Phase {
        /// The request is not complete.
        case knocking
        case talking
        /// Our last words are in `out`. What still comes is thrown away.
        case leaving
        /// They are sent, and our side is ended: the guest may close first.
        case lingering
        case gone
    }

    let fd: Int32
    fileprivate(set) var phase = Phase.knocking
    fileprivate var request: [UInt8] = []
    fileprivate var decoder: FrameDecoder
    fileprivate var out: [UInt8] = []
    fileprivate var taken = 0
    /// recv has returned 0.
    fileprivate var hasEnded = false
    fileprivate var lingerUntil = 0

    fileprivate init(_ fd: Int32, limit: Int) {
        self.fd = fd
        decoder = FrameDecoder(role: .server, limit: limit)
    }

    var waiting: Int { out.count - taken }

    func say(_ frame: [UInt8]) {
        if phase == .talking { out += frame }
    }

    fileprivate func sayLast(_ bytes: [UInt8]) {
        out += bytes
        phase = .leaving
    }

    fileprivate func sayClose(_ code: UInt16?) {
        var payload: [UInt8] = []
        if let code { payload = [UInt8(truncatingIfNeeded: code >> 8), UInt8(truncatingIfNeeded: code)] }
        sayLast(encodeFrame(.close, payload))
    }

    fileprivate func forget(_ count: Int) {
        taken += count
        if taken == out.count {
            out = []
            taken = 0
        } else if taken > 65_536 && taken > out.count / 2 {
            out.removeSubrange(..<taken)
            taken = 0
        }
    }
}

/// One thread, one poll(2), one round after another: wait, hear everybody, let the clock ring, send, close, accept.
/// The descriptors of guests block; each single call says MSG_DONTWAIT.
final class Rounds {
    var allowedOrigins: [String]?
    var page: [UInt8]?
    var messageLimit = Lesson09.messageLimit
    /// Who has more than this waiting is shown the door. Nil: who has much waiting is not read from instead.
    var cap: Int?
    var onJoin: (Guest) -> Void = { _ in }
    var onGone: (Guest) -> Void = { _ in }
    var onEvent: (Guest, WebSocketEvent) -> Void = { _, _ in }
    /// When to call `onRing`, in the milliseconds of `clock`.
    var alarm: () -> Int? = { nil }
    var onRing: (_ now: Int) -> Void = { _ in }

    private(set) var guests: [Guest] = []
    private let listener: Int32
    private var listensAgainAt: Int?
    private var scratch = [UInt8](repeating: 0, count: 1 << 16)

    init(host: String, port: UInt16) throws {
        let address = try SocketAddress(host: host, port: port)
        listener = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
        // From here on whoever throws leaves it to deinit to close.
        var one: Int32 = 1
        try check(
            "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size)))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
    }

    deinit {
        for guest in guests where guest.phase != .gone { close(guest.fd) }
        close(listener)
    }

    static var clock: Int {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return now.tv_sec * 1000 + now.tv_nsec / 1_000_000
    }

    func run() throws -> Never {
        while true { try round() }
    }

    private func round() throws {
        if let time = listensAgainAt, time <= Rounds.clock { listensAgainAt = nil }
        var entries = [pollfd(fd: listensAgainAt == nil ? listener : -1, events: Int16(POLLIN), revents: 0)]
        entries.reserveCapacity(guests.count + 1)
        for guest in guests { entries.append(pollfd(fd: guest.fd, events: wishes(of: guest), revents: 0)) }
        let count = poll(&entries, nfds_t(entries.count), timeout())
        if count < 0 && errno != EINTR { throw SocketError("poll", errno) }

        if count > 0 {
            let present = guests
            for (index, guest) in present.enumerated() where entries[index + 1].revents != 0 {
                hear(guest, Int32(entries[index + 1].revents))
            }
        }
        let now = Rounds.clock
        if let time = alarm(), time <= now { onRing(now) }
        for guest in guests { attend(to: guest, now) }
        guests.removeAll { $0.phase == .gone }
        // Last: a number that was given back in this round is not somebody else's before the next one.
        if count > 0 && entries[0].revents != 0 { try letIn() }
    }

    private func wishes(of guest: Guest) -> Int16 {
        var events: Int32 = 0
        if guest.waiting > 0 { events |= POLLOUT }
        if !guest.hasEnded && (cap != nil || guest.waiting < 1 << 18) { events |= POLLIN }
        return Int16(events)
    }

    private func timeout() -> Int32 {
        var times: [Int] = []
        if let time = listensAgainAt { times.append(time) }
        if let time = alarm() { times.append(time) }
        for guest in guests where guest.phase == .lingering { times.append(guest.lingerUntil) }
        guard let first = times.min() else { return -1 }
        return Int32(clamping: max(0, first - Rounds.clock))
    }

    // MARK: Hearing

    private func hear(_ guest: Guest, _ events: Int32) {
        if guest.phase == .gone || events & ~POLLOUT == 0 { return }
        // It has ended its side, we have not ended ours, and still both directions are down: a reset.
        if guest.hasEnded { return drop(guest) }
        let count = recv(guest.fd, &scratch, scratch.count, MSG_DONTWAIT)
        if count < 0 {
            if errno != EINTR && errno != EAGAIN { drop(guest) }
            return
        }
        if count == 0 {
            guest.hasEnded = true
            // It may well go on reading.
            if guest.phase != .lingering { guest.phase = .leaving }
            return
        }
        let bytes = [UInt8](scratch[..<count])
        if guest.phase == .knocking {
            knock(guest, bytes)
        } else if guest.phase == .talking {
            guest.decoder.feed(bytes)
        }
        while guest.phase == .talking, let event = next(of: guest) { onEvent(guest, event) }
    }

    private func knock(_ guest: Guest, _ bytes: [UInt8]) {
        guest.request += bytes
        // No line has ended, so no head has.
        if !bytes.contains(10) && guest.request.count < Lesson09.headLimit { return }
        switch serverHandshake(guest.request, allowedOrigins: allowedOrigins) {
        case .incomplete:
            return
        case .accepted(let response, let length):
            guest.out += response
            guest.phase = .talking
            guest.decoder.feed([UInt8](guest.request[length...]))
            onJoin(guest)
        case .refused(426, let response):
            guest.sayLast(page ?? response)
        case .refused(_, let response):
            guest.sayLast(response)
        }
        guest.request = []
    }

    /// Texts, binaries and pongs; the rest is answered here.
    private func next(of guest: Guest) -> WebSocketEvent? {
        do {
            while let event = try guest.decoder.next() {
                switch event {
                case .ping(let payload):
                    guest.say(encodeFrame(.pong, payload))
                case .close(let code, _):
                    guest.sayClose(code)
                    return nil
                default:
                    return event
                }
            }
        } catch {
            guest.sayClose((error as? WebSocketError)?.closeCode ?? 1011)
        }
        return nil
    }

    // MARK: Saying

    /// Hands the kernel what it takes.
    func flush(_ guest: Guest) {
        while guest.phase != .gone && guest.waiting > 0 {
            let count = guest.out.withUnsafeBytes {
                send(guest.fd, $0.baseAddress! + guest.taken, $0.count - guest.taken, MSG_DONTWAIT | MSG_NOSIGNAL)
            }
            if count >= 0 {
                guest.forget(count)
            } else if errno == EAGAIN {
                return
            } else if errno != EINTR {
                return drop(guest)
            }
        }
    }

    /// Closes at once: there is nobody to be told.
    func drop(_ guest: Guest) {
        guard guest.phase != .gone else { return }
        guest.phase = .gone
        close(guest.fd)
        onGone(guest)
    }

    private func attend(to guest: Guest, _ now: Int) {
        flush(guest)
        if let cap, guest.waiting > cap { drop(guest) }
        switch guest.phase {
        case .leaving where guest.waiting == 0:
            if guest.hasEnded { return drop(guest) }
            // Bytes may be under way to us. close(2) would answer them by a reset, which overtakes our last words.
            shutdown(guest.fd, SHUT_WR)
            guest.phase = .lingering
            guest.lingerUntil = now + 2000
        case .lingering where guest.hasEnded || guest.lingerUntil <= now:
            drop(guest)
        default:
            break
        }
    }

    // MARK: Letting in

    private func letIn() throws {
        while true {
            let fd = accept(listener, nil, nil)
            if fd >= 0 {
                _ = fcntl(fd, F_SETFD, FD_CLOEXEC)
                guests.append(Guest(fd, limit: messageLimit))
                continue
            }
            switch errno {
            case EAGAIN: return
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                // They stay in the queue. Soon somebody has left, perhaps.
                listensAgainAt = Rounds.clock + 50
                return
            default: throw SocketError("accept", errno)
            }
        }
    }
}
