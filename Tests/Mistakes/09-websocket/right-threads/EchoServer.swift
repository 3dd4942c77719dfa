// A thread for each client, and a class for each kind of server. The thread waits in poll(2) for its client, for its next
// deadline, and, in the chat, for the bell that others ring.
import Course
import Foundation
import Sockets

func echoServer(host: String, port: UInt16) throws {
    try answerCallers(host: host, port: port) { EchoCaller($0) }
}

private final class EchoCaller: Caller, @unchecked Sendable {
    override func heard(_ event: WebSocketEvent) {
        switch event {
        case .text(let bytes): reply(.text, bytes)
        case .binary(let bytes): reply(.binary, bytes)
        default: break
        }
    }
}

// MARK: Listening

func answerCallers(host: String, port: UInt16, _ make: @escaping @Sendable (Int32) -> Caller) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0))
    defer { close(listener) }
    var yes: Int32 = 1
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size)))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))
    while true {
        let socket = accept4(listener, nil, nil, SOCK_CLOEXEC)
        if socket < 0 {
            switch errno {
            case EINTR, EAGAIN, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: break
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: _ = poll(nil, 0, 50)
            default: throw SocketError("accept4", errno)
            }
            continue
        }
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
        let caller = make(socket)
        Thread.detachNewThread { caller.run() }
    }
}

// MARK: A client

class Caller: @unchecked Sendable {
    private enum Phase {
        case handshake, open
        /// We have said close, and wait for the client's.
        case closing
        /// What is in the queue is the last.
        case lastWords
        case draining
    }

    // For the one thread that runs this.
    private let socket: Int32
    private var phase = Phase.handshake
    private var request: [UInt8] = []
    private var decoder: FrameDecoder
    private let allowedOrigins: [String]?
    private let page: [UInt8]?
    private var deadline: Milliseconds? = monotonicMilliseconds() + 10_000
    private var hasEnded = false

    // For all threads, under the lock.
    private let lock = NSLock()
    private let bell: Int32?
    private var queue: [UInt8] = []
    private var taken = 0
    private var mayTalk = false
    private var isBroken = false

    init(
        _ socket: Int32, allowedOrigins: [String]? = nil, messageLimit: Int = Lesson09.messageLimit,
        page: [UInt8]? = nil,
        hasBell: Bool = false
    ) {
        self.socket = socket
        (self.allowedOrigins, self.page) = (allowedOrigins, page)
        decoder = FrameDecoder(role: .server, limit: messageLimit)
        guard hasBell else {
            bell = nil
            return
        }
        while true {
            let descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
            if descriptor >= 0 {
                bell = descriptor
                return
            }
            // No descriptor now: somebody will leave.
            _ = poll(nil, 0, 50)
        }
    }

    // What the kinds of servers differ in. All called on the caller's own thread.
    func opened() {}
    func heard(_ event: WebSocketEvent) {}
    func left() {}
    var nextTime: Milliseconds? { nil }
    /// - Returns: false to end the connection.
    func timeHasCome(_ now: Milliseconds) -> Bool { true }

    // MARK: Talking

    /// By the caller's own thread, in `heard`: sent when all that one recv brought is answered.
    final func reply(_ opcode: Opcode, _ payload: [UInt8]) {
        let frame = encodeFrame(opcode, payload)
        lock.withLock { if mayTalk { queue += frame } }
    }

    /// By anybody: what the kernel takes goes out now, and nobody waits.
    ///
    /// - Parameter limit: more than so many bytes left behind, and the connection is over.
    final func tell(_ frame: [UInt8], limit: Int) {
        lock.withLock {
            guard mayTalk, !isBroken else { return }
            let wasEmpty = taken == queue.count
            queue += frame
            push()
            if queue.count - taken > limit {
                (isBroken, mayTalk) = (true, false)
                shutdown(socket, SHUT_RDWR)
                ring()
            } else if wasEmpty && taken < queue.count {
                ring()
            }
        }
    }

    final func hangUp(_ code: UInt16, _ reason: String) {
        guard phase == .open else { return }
        sayClose(code, reason)
        phase = .closing
        deadline = monotonicMilliseconds() + 2000
    }

    private func sayClose(_ code: UInt16?, _ reason: String = "") {
        let payload = code.map { [UInt8($0 >> 8), UInt8($0 & 255)] + Array(reason.utf8) } ?? []
        lock.withLock {
            if mayTalk { queue += encodeFrame(.close, payload) }
            mayTalk = false
        }
    }

    /// With the lock.
    private func push() {
        while taken < queue.count && !isBroken {
            let count = queue.withUnsafeBytes {
                send(socket, $0.baseAddress! + taken, $0.count - taken, MSG_DONTWAIT | MSG_NOSIGNAL)
            }
            if count >= 0 {
                taken += count
            } else if errno == EAGAIN {
                break
            } else if errno != EINTR {
                isBroken = true
            }
        }
        if taken == queue.count {
            (queue, taken) = ([], 0)
        } else if taken > queue.count / 2 {
            queue.removeFirst(taken)
            taken = 0
        }
    }

    private func ring() {
        guard let bell else { return }
        var one: UInt64 = 1
        _ = write(bell, &one, 8)
    }

    // MARK: The thread

    final func run() {
        defer { finish() }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var lastPending = 0
        while true {
            let (pending, broken) = lock.withLock {
                push()
                return (queue.count - taken, isBroken)
            }
            if broken { return }
            if phase == .lastWords {
                if pending == 0 {
                    if hasEnded { return }
                    shutdown(socket, SHUT_WR)
                    phase = .draining
                    deadline = monotonicMilliseconds() + 2000
                } else if pending != lastPending {
                    deadline = monotonicMilliseconds() + 10_000
                }
            }
            lastPending = pending

            let wantsInput = phase == .draining || phase != .lastWords && pending < 65_536
            let events = (wantsInput ? Int16(POLLIN) : 0) | (pending > 0 ? Int16(POLLOUT) : 0)
            var entries = [pollfd(fd: socket, events: events, revents: 0)]
            if let bell { entries.append(pollfd(fd: bell, events: Int16(POLLIN), revents: 0)) }
            let times = [deadline, phase == .open ? nextTime : nil].compactMap { $0 }
            let timeout = times.min().map { Int32(clamping: max(0, $0 - monotonicMilliseconds())) } ?? -1
            let count = poll(&entries, nfds_t(entries.count), timeout)
            if count < 0 && errno != EINTR { return }

            let now = monotonicMilliseconds()
            if let deadline, deadline <= now { return }
            if phase == .open, let time = nextTime, time <= now, !timeHasCome(now) { return }
            if count <= 0 { continue }
            if let bell, entries[1].revents != 0 {
                var rings: UInt64 = 0
                _ = read(bell, &rings, 8)
            }
            guard wantsInput, entries[0].revents & ~Int16(POLLOUT) != 0 else { continue }
            let got = recv(socket, &buffer, buffer.count, MSG_DONTWAIT)
            if got > 0 {
                take(Array(buffer[..<got]))
            } else if got == 0 {
                if phase == .draining { return }
                // What was complete is answered still.
                hasEnded = true
                lock.withLock { mayTalk = false }
                (phase, deadline) = (.lastWords, monotonicMilliseconds() + 10_000)
            } else if errno != EINTR && errno != EAGAIN {
                return
            }
        }
    }

    private func take(_ bytes: [UInt8]) {
        switch phase {
        case .draining, .lastWords: return
        case .handshake:
            request += bytes
            guard bytes.contains(10) || request.count >= Lesson09.headLimit else { return }
            switch serverHandshake(request, allowedOrigins: allowedOrigins) {
            case .incomplete: return
            case .refused(let status, let response):
                lock.withLock { queue += status == 426 ? page ?? response : response }
                (phase, deadline) = (.lastWords, monotonicMilliseconds() + 10_000)
                return
            case .accepted(let response, let length):
                lock.withLock {
                    queue += response
                    mayTalk = true
                }
                decoder.feed(Array(request[length...]))
                (request, deadline, phase) = ([], nil, .open)
                opened()
            }
        case .open, .closing: decoder.feed(bytes)
        }
        do {
            while phase == .open || phase == .closing, let event = try decoder.next() {
                switch event {
                case .ping(let payload): reply(.pong, payload)
                case .close(let code, _):
                    sayClose(code)
                    (phase, deadline) = (.lastWords, monotonicMilliseconds() + 10_000)
                default: if phase == .open { heard(event) }
                }
            }
        } catch {
            sayClose((error as? WebSocketError)?.closeCode ?? 1011)
            (phase, deadline) = (.lastWords, monotonicMilliseconds() + 10_000)
        }
    }

    private func finish() {
        left()
        lock.withLock {
            (isBroken, mayTalk) = (true, false)
            close(socket)
            if let bell { close(bell) }
        }
    }
}
