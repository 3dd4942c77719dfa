// One thread and poll(2): a round looks at all guests, reads, lets the manners of the house decide, writes, and shows out who
// is done. Nothing here waits but poll.
import Course
import Sockets

func echoServer(host: String, port: UInt16) throws {
    try House(host: host, port: port, EchoManners()).keepOpen()
}

private final class EchoManners: Manners {
    func hear(_ event: WebSocketEvent, from guest: Guest, among guests: [Guest]) { guest.echo(event) }
}

protocol Manners: AnyObject {
    var allowedOrigins: [String]? { get }
    var messageLimit: Int { get }
    var page: [UInt8]? { get }
    func welcome(_ guest: Guest, _ now: Milliseconds)
    func hear(_ event: WebSocketEvent, from guest: Guest, among guests: [Guest])
    func goodbye(_ guest: Guest)
    var nextTick: Milliseconds? { get }
    func tick(_ now: Milliseconds)
}

extension Manners {
    var allowedOrigins: [String]? { nil }
    var messageLimit: Int { Lesson09.messageLimit }
    var page: [UInt8]? { nil }
    func welcome(_ guest: Guest, _ now: Milliseconds) {}
    func goodbye(_ guest: Guest) {}
    var nextTick: Milliseconds? { nil }
    func tick(_ now: Milliseconds) {}
}

final class Guest {
    enum Stage {
        case asking, talking
        /// We have said close first.
        case parting
        /// Only what is in `out` is still to be said.
        case silent
        case shut
    }

    let descriptor: Int32
    fileprivate(set) var stage = Stage.asking
    fileprivate var request: [UInt8] = []
    fileprivate var decoder: FrameDecoder
    private var out: [UInt8] = []
    private var gone = 0
    fileprivate var deadline: Milliseconds?
    fileprivate var hasEnded = false
    fileprivate(set) var isDead = false

    fileprivate init(_ descriptor: Int32, limit: Int, deadline: Milliseconds) {
        (self.descriptor, self.deadline) = (descriptor, deadline)
        decoder = FrameDecoder(role: .server, limit: limit)
    }

    deinit { close(descriptor) }

    var isTalking: Bool { stage == .talking && !isDead }
    var pending: Int { out.count - gone }
    fileprivate var listens: Bool { !hasEnded && stage != .silent && (stage == .shut || pending < 65_536) }

    func say(_ frame: [UInt8]) { if isTalking { out += frame } }

    func echo(_ event: WebSocketEvent) {
        switch event {
        case .text(let bytes): say(encodeFrame(.text, bytes))
        case .binary(let bytes): say(encodeFrame(.binary, bytes))
        default: break
        }
    }

    func part(_ code: UInt16, _ now: Milliseconds) {
        guard isTalking else { return }
        say(encodeFrame(.close, [UInt8(code >> 8), UInt8(code & 255)]))
        (stage, deadline) = (.parting, now + 2000)
    }

    func die() { isDead = true }

    /// As much as the kernel takes now.
    func push(_ now: Milliseconds) {
        while pending > 0 && !isDead {
            let count = out.withUnsafeBytes { write(descriptor, $0.baseAddress! + gone, $0.count - gone) }
            if count >= 0 {
                gone += count
                if stage == .silent { deadline = now + 10_000 }
            } else if errno == EAGAIN {
                break
            } else if errno != EINTR {
                isDead = true
            }
        }
        if gone == out.count {
            (out, gone) = ([], 0)
        } else if gone > out.count / 2 {
            out.removeFirst(gone)
            gone = 0
        }
    }

    fileprivate func lastWords(_ bytes: [UInt8], _ now: Milliseconds) {
        out += bytes
        (stage, deadline) = (.silent, now + 10_000)
    }
}

final class House {
    private let listener: Int32
    private let manners: any Manners
    private var guests: [Guest] = []
    private var isFull = false
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    init(host: String, port: UInt16, _ manners: any Manners) throws {
        // write(2) knows no flags.
        signal(SIGPIPE, SIG_IGN)
        self.manners = manners
        let address = try SocketAddress(host: host, port: port)
        listener = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
        var on: Int32 = 1
        try check(
            "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
        try check("bind", address.withSockaddr { [listener] in bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
    }

    // Also when init throws: all properties have their values by then.
    deinit { close(listener) }

    func keepOpen() throws -> Never {
        while true { try round() }
    }

    private func round() throws {
        var entries = guests.map { guest in
            let reads = guest.listens ? Int16(POLLIN) : 0
            return pollfd(fd: guest.descriptor, events: reads | (guest.pending > 0 ? Int16(POLLOUT) : 0), revents: 0)
        }
        // A negative descriptor is passed over.
        entries.append(pollfd(fd: isFull ? -1 : listener, events: Int16(POLLIN), revents: 0))
        if poll(&entries, nfds_t(entries.count), timeout) < 0 {
            if errno == EINTR { return }
            throw SocketError("poll", errno)
        }
        let now = monotonicMilliseconds()
        for (guest, entry) in zip(guests, entries) where entry.revents != 0 {
            if entry.revents & ~Int16(POLLOUT) != 0 {
                if guest.listens { receive(from: guest, now) } else if guest.pending == 0 { guest.die() }
            }
        }
        if let tick = manners.nextTick, tick <= now { manners.tick(now) }
        for guest in guests { settle(guest, now) }
        for guest in guests where guest.isDead { manners.goodbye(guest) }
        guests.removeAll { $0.isDead }
        // Last of all: numbers of those who have just left are given out again only now.
        if isFull || entries[entries.count - 1].revents != 0 { try letIn(now) }
    }

    private var timeout: Int32 {
        let times = guests.compactMap(\.deadline) + [manners.nextTick].compactMap { $0 }
        let wait = times.min().map { max(0, $0 - monotonicMilliseconds()) }
        if isFull { return Int32(clamping: min(wait ?? 100, 100)) }
        return wait.map { Int32(clamping: $0) } ?? -1
    }

    private func letIn(_ now: Milliseconds) throws {
        while true {
            let descriptor = accept4(listener, nil, nil, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if descriptor >= 0 {
                var on: Int32 = 1
                setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
                guests.append(Guest(descriptor, limit: manners.messageLimit, deadline: now + 10_000))
                continue
            }
            switch errno {
            case EAGAIN:
                isFull = false
                return
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                isFull = true
                return
            default: throw SocketError("accept4", errno)
            }
        }
    }

    private func receive(from guest: Guest, _ now: Milliseconds) {
        let count = read(guest.descriptor, &buffer, buffer.count)
        if count < 0 {
            if errno != EINTR && errno != EAGAIN { guest.die() }
            return
        }
        if count == 0 {
            guest.hasEnded = true
            if guest.stage == .shut { guest.die() } else { guest.lastWords([], now) }
            return
        }
        switch guest.stage {
        case .shut, .silent: return
        case .asking:
            guest.request += buffer[..<count]
            // Where no line ends, no head does.
            guard buffer[..<count].contains(10) || guest.request.count >= Lesson09.headLimit else { return }
            switch serverHandshake(guest.request, allowedOrigins: manners.allowedOrigins) {
            case .incomplete: return
            case .refused(let status, let response):
                return guest.lastWords(status == 426 ? manners.page ?? response : response, now)
            case .accepted(let response, let length):
                (guest.stage, guest.deadline) = (.talking, nil)
                guest.say(response)
                guest.decoder.feed(Array(guest.request[length...]))
                guest.request = []
                manners.welcome(guest, now)
            }
        case .talking, .parting: guest.decoder.feed(Array(buffer[..<count]))
        }
        do {
            while guest.stage == .talking || guest.stage == .parting, let event = try guest.decoder.next() {
                switch event {
                case .ping(let payload): guest.say(encodeFrame(.pong, payload))
                case .close(let code, _):
                    let payload = code.map { [UInt8($0 >> 8), UInt8($0 & 255)] } ?? []
                    guest.lastWords(guest.stage == .talking ? encodeFrame(.close, payload) : [], now)
                default: if guest.isTalking { manners.hear(event, from: guest, among: guests) }
                }
            }
        } catch {
            let code = (error as? WebSocketError)?.closeCode ?? 1011
            let frame = encodeFrame(.close, [UInt8(code >> 8), UInt8(code & 255)])
            guest.lastWords(guest.stage == .talking ? frame : [], now)
        }
    }

    private func settle(_ guest: Guest, _ now: Milliseconds) {
        guest.push(now)
        if let deadline = guest.deadline, deadline <= now { guest.die() }
        if guest.stage == .silent && guest.pending == 0 && !guest.isDead {
            if guest.hasEnded { return guest.die() }
            shutdown(guest.descriptor, SHUT_WR)
            (guest.stage, guest.deadline) = (.shut, now + 2000)
        }
    }
}
