import Course
import Solution05
import Solution09
import Sockets

func gateway(host: String, port: UInt16, rules: GatewayRules) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    let bridge = Bridge(listener, rules)
    while true { try bridge.turn() }
}

/// One socket of a pair.
private final class Leg {
    enum Stage {
        case open
        /// What waits goes out, then the end of the stream.
        case closing
        /// The end is said; the other side's is waited for.
        case waiting
        case gone
    }

    let fd: Int32
    var stage = Stage.open
    /// Not there yet: what is said waits.
    var isConnecting: Bool
    var isClosed = false
    var due: Milliseconds?
    var theyEnded = false
    private var frames: [[UInt8]] = []
    private var first = 0
    private var offset = 0
    private(set) var waiting = 0

    init(_ fd: Int32, isConnecting: Bool, due: Milliseconds) {
        self.fd = fd
        self.isConnecting = isConnecting
        self.due = due
    }

    /// Something may still be said.
    var isOpen: Bool { stage == .open }

    func say(_ frame: [UInt8]) {
        guard isOpen, !frame.isEmpty else { return }
        frames.append(frame)
        waiting += frame.count
    }

    /// - Returns: false if it is broken.
    func flush() -> Bool {
        guard stage == .open || stage == .closing, !isConnecting else { return true }
        while first < frames.count {
            let count = frames[first].withUnsafeBytes {
                send(fd, $0.baseAddress! + offset, $0.count - offset, MSG_NOSIGNAL)
            }
            if count < 0 {
                if errno == EINTR { continue }
                return errno == EAGAIN
            }
            waiting -= count
            offset += count
            if offset == frames[first].count {
                frames[first] = []
                (first, offset) = (first + 1, 0)
                if first == 1024 {
                    frames.removeFirst(first)
                    first = 0
                }
            }
        }
        frames = []
        first = 0
        return true
    }

    func finish() {
        guard isOpen else { return }
        stage = .closing
        due = monotonicMilliseconds() + 2000
    }

    func forget() {
        frames = []
        (first, offset, waiting) = (0, 0, 0)
        due = nil
        stage = .gone
    }
}

private final class Pair {
    let browser: Leg
    var server: Leg?
    /// Until the handshake is done.
    var request: [UInt8]? = []
    var events: any WebSocketDecoder
    var frames: any MessageDecoder

    init(_ browser: Leg, _ events: any WebSocketDecoder, _ frames: any MessageDecoder) {
        self.browser = browser
        self.events = events
        self.frames = frames
    }
}

private final class Bridge {
    private let listener: Int32
    private let rules: GatewayRules
    private let webSocket = Solution09.reference
    private let framing = Solution05.reference
    private var pairs: [Pair] = []
    private var acceptsAgain: Milliseconds?
    private var buffer = [UInt8](repeating: 0, count: 32_768)

    private static let patience: Milliseconds = 10_000
    /// With so much waiting for one side, the other side is not received from.
    private static let full = 262_144

    init(_ listener: Int32, _ rules: GatewayRules) {
        self.listener = listener
        self.rules = rules
    }

    func turn() throws {
        var asked = [pollfd(fd: acceptsAgain == nil ? listener : -1, events: Int16(POLLIN), revents: 0)]
        var legs: [(pair: Pair, leg: Leg)] = []
        for pair in pairs {
            for leg in [pair.browser, pair.server].compactMap({ $0 }) where leg.stage != .gone {
                let wanted = interest(leg, of: pair)
                asked.append(pollfd(fd: wanted == 0 ? -1 : leg.fd, events: wanted, revents: 0))
                legs.append((pair, leg))
            }
        }
        if poll(&asked, nfds_t(asked.count), timeout()) < 0 {
            guard errno == EINTR else { throw SocketError("poll", errno) }
            return
        }
        for (place, (pair, leg)) in legs.enumerated() where asked[place + 1].revents != 0 {
            if leg.isConnecting { connected(pair, leg) }
            if asked[place + 1].revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 { receive(pair, leg) }
        }
        let now = monotonicMilliseconds()
        for (pair, leg) in legs where leg.due.map({ $0 <= now }) ?? false { broken(pair, leg) }
        settle()
        if let again = acceptsAgain, again <= now { acceptsAgain = nil } else if asked[0].revents == 0 { return }
        try accept()
    }

    private func interest(_ leg: Leg, of pair: Pair) -> Int16 {
        if leg.isConnecting { return Int16(POLLOUT) }
        var wanted: Int32 = 0
        if !leg.theyEnded && mayReceive(pair, leg) { wanted |= Int32(POLLIN) }
        if leg.waiting > 0 { wanted |= Int32(POLLOUT) }
        return Int16(wanted)
    }

    /// Who is leaving is read to its end, for nobody. Else the other side must have room.
    private func mayReceive(_ pair: Pair, _ leg: Leg) -> Bool {
        guard leg.isOpen else { return true }
        if leg === pair.server { return pair.browser.waiting < Bridge.full }
        // Its own pongs wait for the browser, too.
        return (pair.server?.waiting ?? 0) < Bridge.full && pair.browser.waiting < Bridge.full
    }

    private func timeout() -> Int32 {
        var next = acceptsAgain
        for pair in pairs {
            for due in [pair.browser.due, pair.server?.due] {
                if let due { next = min(due, next ?? due) }
            }
        }
        return next.map { Int32(clamping: max(0, $0 - monotonicMilliseconds())) } ?? -1
    }

    private func accept() throws {
        while true {
            switch try acceptClient(listener) {
            case .client(let fd):
                let browser = Leg(fd, isConnecting: false, due: monotonicMilliseconds() + Bridge.patience)
                pairs.append(
                    Pair(
                        browser, webSocket.makeFrameDecoder(.server, Lesson14.frameLimit),
                        framing.makeFrameDecoder(Lesson14.frameLimit)))
            case .nobody: return
            case .noRoom:
                acceptsAgain = monotonicMilliseconds() + 100
                return
            }
        }
    }

    // MARK: In

    /// Much of what is there, as long as the other side has room for it.
    private func receive(_ pair: Pair, _ leg: Leg) {
        var rounds = 16
        while rounds > 0 && leg.stage != .gone && !leg.isConnecting && !leg.theyEnded && mayReceive(pair, leg) {
            rounds -= 1
            let count = recv(leg.fd, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count < 0 {
                if errno == EINTR { continue }
                if errno != EAGAIN { broken(pair, leg) }
                return
            }
            if count == 0 {
                leg.theyEnded = true
                ended(pair, leg)
            } else if leg.isOpen {
                let bytes = Array(buffer[..<count])
                if leg === pair.browser { fromBrowser(bytes, pair) } else { fromServer(bytes, pair) }
            }
        }
    }

    private func ended(_ pair: Pair, _ leg: Leg) {
        guard leg.isOpen else { return }
        leg.finish()
        if leg === pair.browser { pair.server?.finish() } else { sayClose(1000, pair) }
    }

    private func broken(_ pair: Pair, _ leg: Leg) {
        let wasConnecting = leg.isConnecting
        leg.forget()
        if leg === pair.browser { pair.server?.finish() } else { sayClose(wasConnecting ? 1013 : 1000, pair) }
    }

    private func connected(_ pair: Pair, _ leg: Leg) {
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        if getsockopt(leg.fd, SOL_SOCKET, SO_ERROR, &code, &size) != 0 || code != 0 { return broken(pair, leg) }
        leg.isConnecting = false
        if leg.isOpen { leg.due = nil }
    }

    private func fromBrowser(_ bytes: [UInt8], _ pair: Pair) {
        if pair.request != nil { return shakeHands(bytes, pair) }
        pair.events.feed(bytes)
        do {
            while pair.browser.isOpen, let event = try pair.events.next() {
                switch event {
                case .text(let text): pair.server?.say(framing.encodeFrame(text))
                case .binary: sayClose(1003, pair)
                case .ping(let payload): pair.browser.say(webSocket.encodeFrame(.pong, payload, true, nil))
                case .pong: break
                case .close(let code, _): sayClose(code, pair)
                }
            }
        } catch {
            sayClose((error as? WebSocketError)?.closeCode ?? 1011, pair)
        }
    }

    private func fromServer(_ bytes: [UInt8], _ pair: Pair) {
        pair.frames.feed(bytes)
        do {
            while let text = try pair.frames.next() { pair.browser.say(webSocket.encodeFrame(.text, text, true, nil)) }
        } catch {
            sayClose(1011, pair)
        }
    }

    private func shakeHands(_ bytes: [UInt8], _ pair: Pair) {
        let request = (pair.request ?? []) + bytes
        pair.request = request
        switch webSocket.serverHandshake(request, rules.allowedOrigins) {
        case .incomplete: return
        case .refused(let status, let response):
            pair.browser.say(status == 426 ? rules.page : response)
            pair.browser.finish()
        case .accepted(let response, let length):
            pair.request = nil
            pair.browser.due = nil
            pair.browser.say(response)
            guard let server = reachServer() else { return sayClose(1013, pair) }
            pair.server = server
            fromBrowser(Array(request.dropFirst(length)), pair)
        }
    }

    private func reachServer() -> Leg? {
        guard let address = try? SocketAddress(host: rules.serverHost, port: rules.serverPort) else { return nil }
        let fd = socket(address.family, SOCK_STREAM, 0)
        guard fd >= 0 else { return nil }
        if address.withSockaddr({ connect(fd, $0, $1) }) == 0 || errno == EINTR {
            // Also where it is connected already: then the first poll says so.
            return Leg(fd, isConnecting: true, due: monotonicMilliseconds() + Bridge.patience)
        }
        close(fd)
        return nil
    }

    // MARK: Out

    /// The last that the browser hears; what it said before goes on to the server, and then the end.
    private func sayClose(_ code: UInt16?, _ pair: Pair) {
        let payload = code.map { [UInt8($0 / 256), UInt8($0 % 256)] } ?? []
        pair.browser.say(webSocket.encodeFrame(.close, payload, true, nil))
        pair.browser.finish()
        pair.server?.finish()
    }

    private func settle() {
        for pair in pairs {
            for leg in [pair.browser, pair.server].compactMap({ $0 }) where leg.stage != .gone {
                if !leg.flush() {
                    broken(pair, leg)
                } else if leg.stage == .closing && leg.waiting == 0 && !leg.isConnecting {
                    shutdown(leg.fd, Int32(SHUT_WR))
                    leg.stage = .waiting
                }
                if leg.stage == .waiting && leg.theyEnded { leg.forget() }
            }
        }
        bury()
    }

    /// Each descriptor is closed here, once.
    private func bury() {
        for leg in pairs.flatMap({ [$0.browser, $0.server].compactMap { $0 } })
        where leg.stage == .gone && !leg.isClosed {
            leg.isClosed = true
            close(leg.fd)
        }
        pairs.removeAll { $0.browser.isClosed && $0.server?.isClosed ?? true }
    }
}
