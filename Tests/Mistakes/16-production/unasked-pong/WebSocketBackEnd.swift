import Course
import Foundation
import Solution09
import Sockets

private enum Happening {
    case heard([UInt8])
    case hungUp
    case stopped
    case tick
}

private enum Phase {
    /// What has come of the handshake.
    case handshaking([UInt8])
    case open
    /// We have sent our close frame and wait for theirs.
    case leaving
    /// Nothing more is said; the other side is to close.
    case closing
    case over
}

private func milliseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1_000 + Int(time.tv_nsec) / 1_000_000
}

private func untilReady(_ entries: inout [pollfd], _ timeout: Int) -> Bool {
    let end = timeout < 0 ? nil : milliseconds() + timeout
    while true {
        let left = end.map { max(0, $0 - milliseconds()) } ?? -1
        let count = poll(&entries, nfds_t(entries.count), Int32(clamping: left))
        if count >= 0 { return true }
        if errno != EINTR { return false }
    }
}

private func watch(_ descriptor: Int32) -> pollfd { pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0) }

// MARK: A client's process

private final class Peer {
    let socket: Int32
    let stop: Int32
    let interval: Int
    var phase = Phase.handshaking([])
    var frames = Solution09.reference.makeFrameDecoder(.server, 1 << 20)
    /// When the next tick comes: a ping while we talk, the end of patience after that. Nil: never.
    var alarm: Int?
    var isStopped = false
    /// The ping that was not answered yet: it says when it was sent.
    var question: [UInt8]?
    var room = [UInt8](repeating: 0, count: 16_384)

    init(socket: Int32, stop: Int32, interval: Int) {
        (self.socket, self.stop, self.interval) = (socket, stop, interval)
    }

    func live() {
        while true {
            for message in collect() {
                if case .over = phase { return }
                phase = take(message)
            }
            // Looked at last: what was said above may have moved the alarm.
            if let alarm, alarm <= milliseconds() { phase = take(.tick) }
            if case .over = phase { return }
        }
    }

    /// All that one poll has found, the client's words first.
    private func collect() -> [Happening] {
        var entries = [watch(socket), watch(isStopped ? -1 : stop)]
        guard untilReady(&entries, alarm.map { max(0, $0 - milliseconds()) } ?? -1) else { return [.hungUp] }
        var messages: [Happening] = []
        if entries[0].revents != 0 { messages += hear() }
        if entries[1].revents != 0 {
            isStopped = true
            messages.append(.stopped)
        }
        return messages
    }

    private func hear() -> [Happening] {
        var count: Int
        repeat {
            count = recv(socket, &room, room.count, 0)
        } while count < 0 && errno == EINTR
        return count > 0 ? [.heard(Array(room[..<count]))] : [.hungUp]
    }

    private func take(_ message: Happening) -> Phase {
        switch (phase, message) {
        case (_, .hungUp): return .over
        case (.over, _): return .over

        case (.handshaking(let before), .heard(let bytes)): return greet(before + bytes)
        case (.handshaking, .stopped): return close()
        case (.handshaking, .tick): return phase

        case (.open, .heard(let bytes)):
            frames.feed(bytes)
            return converse()
        case (.open, .stopped):
            alarm = milliseconds() + Lesson16.stopPatience
            return say(.close, [0x03, 0xE9]) ? .leaving : .over
        case (.open, .tick):
            alarm = milliseconds() + interval
            let payload = withUnsafeBytes(of: UInt64(milliseconds()).bigEndian) { Array($0) }
            question = payload
            return say(.ping, payload) ? .open : .over

        case (.leaving, .heard(let bytes)):
            frames.feed(bytes)
            return converse()
        case (.leaving, .stopped): return .leaving
        case (.leaving, .tick): return close()

        case (.closing, .heard), (.closing, .stopped): return .closing
        case (.closing, .tick): return .over
        }
    }

    private func greet(_ bytes: [UInt8]) -> Phase {
        switch Solution09.reference.serverHandshake(bytes, nil) {
        case .incomplete:
            return .handshaking(bytes)
        case .refused(_, let response):
            return write(response) ? close() : .over
        case .accepted(let response, let length):
            guard write(response) else { return .over }
            alarm = milliseconds() + interval
            phase = .open
            frames.feed(Array(bytes.dropFirst(length)))
            return converse()
        }
    }

    /// What the frames say. While we leave, only a close frame says anything.
    private func converse() -> Phase {
        var isOpen = false
        if case .open = phase { isOpen = true }
        do {
            while let event = try frames.next() {
                let isSaid: Bool
                switch event {
                case .text(let payload): isSaid = !isOpen || say(.text, payload)
                case .binary(let payload): isSaid = !isOpen || say(.binary, payload)
                case .ping(let payload): isSaid = !isOpen || say(.pong, payload)
                case .pong(let payload):
                    // The same bytes have to come back (section 5.5.3).
                    guard !isOpen || payload == question else {
                        throw WebSocketError.protocolError("a pong for no ping of ours")
                    }
                    question = nil
                    isSaid = true
                case .close(let code, _):
                    let payload = code.map { [UInt8($0 / 256), UInt8($0 % 256)] } ?? []
                    if isOpen && !say(.close, payload) { return .over }
                    return close()
                }
                if !isSaid { return .over }
            }
            return phase
        } catch {
            let code = (error as? WebSocketError)?.closeCode ?? 1011
            if isOpen && !say(.close, [UInt8(code >> 8), UInt8(code & 0xFF)]) { return .over }
            return close()
        }
    }

    private func close() -> Phase {
        shutdown(socket, Int32(SHUT_WR))
        alarm = milliseconds() + 2500
        return .closing
    }

    private func say(_ opcode: Opcode, _ payload: [UInt8]) -> Bool {
        write(Solution09.reference.encodeFrame(opcode, payload, true, nil))
    }

    private func write(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }
}

// MARK: The house

private final class House: @unchecked Sendable {
    private let guests = DispatchGroup()
    private let lock = NSLock()
    private var sockets: Set<Int32> = []

    func start(_ socket: Int32, _ stop: Int32, _ interval: Int) {
        lock.withLock { _ = sockets.insert(socket) }
        guests.enter()
        let thread = Thread { [self] in
            Peer(socket: socket, stop: stop, interval: interval).live()
            lock.withLock {
                sockets.remove(socket)
                close(socket)
            }
            guests.leave()
        }
        thread.start()
    }

    func end(within patience: Int) {
        if guests.wait(timeout: .now() + .milliseconds(patience)) == .timedOut {
            lock.withLock { for socket in sockets { shutdown(socket, Int32(SHUT_RDWR)) } }
            guests.wait()
        }
    }
}

func webSocketBackEnd(host: String, port: UInt16, proxyTimeout: Milliseconds, stop: Int32) throws {
    let house = House()
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        defer { close(listener) }
        var one: Int32 = 1
        try check(
            "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size)))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
        try check("fcntl", fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK))

        // A third, and never none at all.
        let interval = max(1, proxyTimeout / 3)
        var isStopped = false
        while true {
            if !isStopped {
                var entries = [watch(listener), watch(stop)]
                guard untilReady(&entries, -1) else { throw SocketError("poll", errno) }
                isStopped = entries[1].revents != 0
            }
            // Stopped: until nobody stands in the queue.
            let client = accept(listener, nil, nil)
            if client >= 0 {
                house.start(client, stop, interval)
                continue
            }
            switch errno {
            case EINTR, ECONNABORTED, EPROTO: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                if isStopped { break }
                var entry = [watch(stop)]
                _ = untilReady(&entry, 60)
                continue
            case EAGAIN: if !isStopped { continue }
            case let code:
                house.end(within: 0)
                throw SocketError("accept", code)
            }
            break
        }
    }
    house.end(within: Lesson16.stopPatience)
}
