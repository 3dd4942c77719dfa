import Course
import Sockets

/// One thread, and poll(2) over everybody who is here.
func chatServer(host: String, port: UInt16, rules: ChatRules) throws {
    let hall = try Hall(host: host, port: port, rules: rules)
    while true { try hall.turn() }
}

private final class Guest {
    enum Phase { case asking, talking, leaving }

    let socket: Int32
    var phase = Phase.asking
    var request: [UInt8] = []
    var decoder: FrameDecoder
    var backlog = Backlog()
    /// Its side of the connection has ended.
    var hasEnded = false
    var isHalfClosed = false
    /// When it has to be gone, or to have asked.
    var deadline: Milliseconds?

    init(_ socket: Int32, limit: Int, deadline: Milliseconds) {
        self.socket = socket
        self.deadline = deadline
        decoder = FrameDecoder(role: .server, limit: limit)
    }

    var reads: Bool { !hasEnded && (phase == .leaving || backlog.count < 65_536) }
}

/// Bytes that a member has not been sent yet. They lie in blocks, so that nothing is moved when the first are gone.
private struct Backlog {
    private var blocks: [[UInt8]] = []
    private var offset = 0
    private(set) var count = 0

    mutating func add(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        count += bytes.count
        // Small frames share a block: a send for each of them would be many.
        if let size = blocks.last?.count, size + bytes.count <= 65_536 {
            blocks[blocks.count - 1] += bytes
        } else {
            blocks.append(bytes)
        }
    }

    /// Lends what comes next; `take` returns how much of it was taken.
    mutating func give(_ take: (UnsafeRawBufferPointer) -> Int) {
        guard let block = blocks.first else { return }
        let taken = block.withUnsafeBytes { take(UnsafeRawBufferPointer(rebasing: $0[offset...])) }
        count -= taken
        offset += taken
        if offset == block.count {
            blocks.removeFirst()
            offset = 0
        }
    }
}

private final class Hall {
    private let rules: ChatRules
    private let listener: Int32
    private var guests: [Int32: Guest] = [:]
    private var isFull = false
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    init(host: String, port: UInt16, rules: ChatRules) throws {
        self.rules = rules
        listener = try makeListener(host: host, port: port)
    }

    deinit {
        for socket in guests.keys { close(socket) }
        close(listener)
    }

    func turn() throws {
        var entries = [pollfd(fd: isFull ? -1 : listener, events: Int16(POLLIN), revents: 0)]
        var soonest: Milliseconds?
        for guest in guests.values {
            var events = guest.reads ? Int32(POLLIN) : 0
            if guest.backlog.count > 0 { events |= Int32(POLLOUT) }
            entries.append(pollfd(fd: guest.socket, events: Int16(events), revents: 0))
            if let deadline = guest.deadline { soonest = min(soonest ?? deadline, deadline) }
        }
        var timeout = soonest.map { max(0, $0 - monotonicMilliseconds()) } ?? -1
        if isFull { timeout = timeout < 0 ? 100 : min(timeout, 100) }
        let count = poll(&entries, nfds_t(entries.count), Int32(clamping: timeout))
        if count < 0 && errno == EINTR { return }
        try check("poll", count)

        let broken = Int16(POLLERR | POLLHUP | POLLNVAL)
        for entry in entries.dropFirst() where entry.revents != 0 {
            guard let guest = guests[entry.fd] else { continue }
            if entry.revents & Int16(POLLIN) != 0 && guest.reads {
                receive(from: guest)
            } else if entry.revents & broken != 0 {
                remove(guest)
            }
        }
        let now = monotonicMilliseconds()
        for guest in Array(guests.values) {
            flush(guest)
            if guests[guest.socket] === guest { conclude(guest, now) }
        }
        // Last, so that a number that was given back above is not somebody else's yet.
        if isFull || entries[0].revents != 0 { try acceptAll() }
    }

    private func acceptAll() throws {
        while true {
            switch try acceptClient(listener) {
            case .nobody:
                isFull = false
                return
            case .noRoom:
                isFull = true
                return
            case .client(let socket):
                var on: Int32 = 1
                setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
                guests[socket] = Guest(socket, limit: rules.messageLimit, deadline: monotonicMilliseconds() + 10_000)
            }
        }
    }

    private func remove(_ guest: Guest) {
        guard guests[guest.socket] === guest else { return }
        guests[guest.socket] = nil
        close(guest.socket)
    }

    // MARK: From a guest

    private func receive(from guest: Guest) {
        let count = recv(guest.socket, &buffer, buffer.count, 0)
        if count < 0 {
            if errno != EINTR && errno != EAGAIN { remove(guest) }
            return
        }
        if count == 0 {
            guest.hasEnded = true
            guest.phase = .leaving
            return
        }
        switch guest.phase {
        case .leaving: return
        case .talking: guest.decoder.feed(Array(buffer[..<count]))
        case .asking:
            guest.request += buffer[..<count]
            // A request that comes byte by byte is looked at once a line.
            guard buffer[..<count].contains(10) || guest.request.count >= Lesson09.headLimit else { return }
            switch serverHandshake(guest.request, allowedOrigins: rules.allowedOrigins) {
            case .incomplete: return
            case .refused(let status, let response):
                guest.backlog.add(status == 426 ? rules.page ?? response : response)
                guest.phase = .leaving
                guest.deadline = nil
                return
            case .accepted(let response, let length):
                guest.backlog.add(response)
                guest.decoder.feed(Array(guest.request[length...]))
                guest.phase = .talking
                guest.deadline = nil
            }
            guest.request = []
        }
        listen(to: guest)
    }

    private func listen(to guest: Guest) {
        do {
            while guest.phase == .talking, let event = try guest.decoder.next() {
                switch event {
                case .text(let text): pass(encodeFrame(.text, text), from: guest)
                case .binary(let bytes): pass(encodeFrame(.binary, bytes), from: guest)
                case .ping(let payload): guest.backlog.add(encodeFrame(.pong, payload))
                case .pong: break
                case .close(let code, _): dismiss(guest, code)
                }
            }
        } catch {
            dismiss(guest, (error as? WebSocketError)?.closeCode ?? 1011)
        }
    }

    private func dismiss(_ guest: Guest, _ code: UInt16?) {
        guest.backlog.add(encodeFrame(.close, code.map { [UInt8($0 >> 8), UInt8($0 & 0xFF)] } ?? []))
        guest.phase = .leaving
    }

    // MARK: To the guests

    private func pass(_ frame: [UInt8], from sender: Guest) {
        for guest in Array(guests.values) where guest.phase == .talking {
            if guest === sender && !rules.echoesToSender { continue }
            guest.backlog.add(frame)
            guard guest.backlog.count > rules.queueLimit else { continue }
            // Perhaps the kernel was not asked yet. If it takes nothing, nobody reads there.
            flush(guest)
            if guest.backlog.count > rules.queueLimit {
                leaveOut(guest)
                return
            }
        }
    }

    private func leaveOut(_ guest: Guest) {
        guest.phase = .leaving
        remove(guest)
    }

    private func flush(_ guest: Guest) {
        while guest.backlog.count > 0, guests[guest.socket] === guest {
            var code: Int32 = 0
            guest.backlog.give { bytes in
                let count = send(guest.socket, bytes.baseAddress, bytes.count, MSG_NOSIGNAL)
                if count < 0 { code = errno }
                return max(0, count)
            }
            switch code {
            case 0, EINTR: continue
            case EAGAIN: return
            default: leaveOut(guest)
            }
        }
    }

    /// Who is leaving gets what is left, then the end of our side, and then two seconds.
    private func conclude(_ guest: Guest, _ now: Milliseconds) {
        if let deadline = guest.deadline, deadline <= now { return remove(guest) }
        guard guest.phase == .leaving else { return }
        if guest.backlog.count > 0 {
            guest.deadline = guest.deadline ?? now + 10_000
            return
        }
        if guest.hasEnded { return remove(guest) }
        guard !guest.isHalfClosed else { return }
        guest.isHalfClosed = true
        shutdown(guest.socket, Int32(SHUT_WR))
        guest.deadline = now + 2000
    }
}
