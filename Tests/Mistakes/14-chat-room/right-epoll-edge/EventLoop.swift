import Course
import Sockets

/// One connection, edge-triggered: what epoll said once is remembered until EAGAIN says the contrary.
final class Wire {
    let descriptor: Int32
    /// Given once: not the descriptor, which comes again.
    let number: UInt64

    var onBytes: (ArraySlice<UInt8>) -> Void = { _ in }
    /// Its end, or its failure; once; not after `finish`.
    var onEnd: () -> Void = {}
    var onDrained: () -> Void = {}
    var limit = Int.max
    var isPaused = false

    fileprivate(set) var out = Output()
    fileprivate(set) var isConnecting: Bool
    fileprivate var canRead = true
    fileprivate var canWrite = true
    fileprivate var isQueued = false
    fileprivate var hasEnded = false
    fileprivate var phase = Phase.open

    fileprivate enum Phase { case open, finishing, shut, broken, buried }

    fileprivate init(_ descriptor: Int32, _ number: UInt64, isConnecting: Bool) {
        self.descriptor = descriptor
        self.number = number
        self.isConnecting = isConnecting
        canWrite = !isConnecting
        canRead = !isConnecting
    }
}

final class EdgeLoop {
    var onAccept: (Wire) -> Void = { _ in }

    private let epoll: Int32
    private let listener: Int32
    private var wires: [UInt64: Wire] = [:]
    private var lastNumber: UInt64 = 0
    /// To be looked at in the next round.
    private var queue: [Wire] = []
    private var deadlines: [UInt64: Milliseconds] = [:]
    private var acceptsAgain: Milliseconds?
    private var room = [UInt8](repeating: 0, count: 16_384)

    init(host: String, port: UInt16) throws {
        listener = try makeListener(host: host, port: port)
        epoll = epoll_create1(0)
        guard epoll >= 0 else { throw SocketError("epoll_create1", errno) }
        try watch(listener, 0, EPOLLIN.rawValue, EPOLL_CTL_ADD)
    }

    // The loop lives as long as the process, and so do its two descriptors.

    private func watch(_ descriptor: Int32, _ number: UInt64, _ events: UInt32, _ operation: Int32) throws {
        var event = epoll_event(events: events, data: epoll_data_t(u64: number))
        try check("epoll_ctl", epoll_ctl(epoll, operation, descriptor, &event))
    }

    @discardableResult
    func add(_ descriptor: Int32, isConnecting: Bool = false) throws -> Wire {
        lastNumber += 1
        let wire = Wire(descriptor, lastNumber, isConnecting: isConnecting)
        let edges = EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue
        try watch(descriptor, wire.number, edges, EPOLL_CTL_ADD)
        wires[wire.number] = wire
        if !isConnecting { enqueue(wire) }
        return wire
    }

    func send(_ bytes: [UInt8], to wire: Wire) {
        guard wire.phase == .open else { return }
        wire.out.append(bytes)
        if wire.out.count > wire.limit {
            push(wire)
            if wire.out.count > wire.limit { wire.phase = .broken }
        }
        enqueue(wire)
    }

    /// Sends what waits, then says the end, and waits a little for the end of the other side.
    func finish(_ wire: Wire) {
        guard wire.phase == .open else { return }
        wire.phase = .finishing
        wire.onBytes = { _ in }
        wire.onEnd = {}
        wire.onDrained = {}
        wire.isPaused = false
        deadlines[wire.number] = now() + 10_000
        enqueue(wire)
    }

    func expect(_ wire: Wire, within patience: Milliseconds) { deadlines[wire.number] = now() + patience }
    func expectNothing(_ wire: Wire) { deadlines[wire.number] = nil }

    func resume(_ wire: Wire) {
        guard wire.isPaused else { return }
        wire.isPaused = false
        enqueue(wire)
    }

    private func enqueue(_ wire: Wire) {
        guard !wire.isQueued, wire.phase != .buried else { return }
        wire.isQueued = true
        queue.append(wire)
    }

    func run() throws -> Never {
        var events = [epoll_event](repeating: epoll_event(), count: 128)
        while true {
            let count = epoll_wait(epoll, &events, 128, timeout())
            if count < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
            var hasClients = false
            for event in events.prefix(max(0, Int(count))) {
                guard event.data.u64 != 0 else {
                    hasClients = true
                    continue
                }
                guard let wire = wires[event.data.u64] else { continue }
                let broken = EPOLLERR.rawValue | EPOLLHUP.rawValue
                if event.events & (EPOLLIN.rawValue | EPOLLRDHUP.rawValue | broken) != 0 { wire.canRead = true }
                if event.events & (EPOLLOUT.rawValue | broken) != 0 { wire.canWrite = true }
                // Nobody is made to wait any more by not being read from.
                if event.events & broken != 0 { wire.isPaused = false }
                enqueue(wire)
            }
            let round = queue
            queue.removeAll()
            for wire in round {
                wire.isQueued = false
                turn(wire)
            }
            let time = now()
            for (number, due) in deadlines where due <= time {
                deadlines[number] = nil
                guard let wire = wires[number] else { continue }
                wire.phase = .broken
                enqueue(wire)
            }
            if let again = acceptsAgain, again <= time {
                acceptsAgain = nil
                try watch(listener, 0, EPOLLIN.rawValue, EPOLL_CTL_MOD)
                hasClients = true
            }
            if hasClients { try acceptAll() }
        }
    }

    private func timeout() -> Int32 {
        if !queue.isEmpty { return 0 }
        let dues = [deadlines.values.min(), acceptsAgain].compactMap { $0 }
        return dues.min().map { Int32(clamping: max(0, $0 - now())) } ?? -1
    }

    private func acceptAll() throws {
        while true {
            let client = accept4(listener, nil, nil, Int32(SOCK_NONBLOCK.rawValue))
            if client >= 0 {
                do { onAccept(try add(client)) } catch { close(client) }
                continue
            }
            switch errno {
            case EAGAIN: return
            case EMFILE, ENFILE, ENOMEM, ENOBUFS:
                // It would be reported for ever.
                acceptsAgain = now() + 100
                return try watch(listener, 0, 0, EPOLL_CTL_MOD)
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, EHOSTUNREACH, ENETUNREACH: continue
            case let code: throw SocketError("accept4", code)
            }
        }
    }

    private func turn(_ wire: Wire) {
        if wire.phase == .broken { return bury(wire) }
        guard wire.phase != .buried else { return }
        if wire.isConnecting {
            guard wire.canWrite else { return }
            var code: Int32 = 0
            var size = socklen_t(4)
            if getsockopt(wire.descriptor, SOL_SOCKET, SO_ERROR, &code, &size) != 0 || code != 0 { return bury(wire) }
            wire.isConnecting = false
            if wire.phase == .open { expectNothing(wire) }
        }
        push(wire)
        pull(wire)
        if wire.phase == .finishing && wire.out.isEmpty {
            shutdown(wire.descriptor, Int32(SHUT_WR))
            wire.phase = .shut
            deadlines[wire.number] = now() + 2000
        }
        if wire.phase == .broken || wire.phase == .shut && wire.hasEnded { bury(wire) }
    }

    private func pull(_ wire: Wire) {
        guard wire.canRead, !wire.hasEnded, !wire.isPaused, wire.phase != .broken else { return }
        let count = recv(wire.descriptor, &room, room.count, 0)
        if count > 0 {
            // There may be more: until EAGAIN nobody will tell us again. But others are next.
            enqueue(wire)
            wire.onBytes(room[..<count])
        } else if count == 0 {
            wire.hasEnded = true
            let onEnd = wire.onEnd
            finish(wire)
            onEnd()
        } else if errno == EAGAIN {
            wire.canRead = false
        } else if errno == EINTR {
            enqueue(wire)
        } else {
            wire.phase = .broken
        }
    }

    /// Up to 64 pieces with one call.
    private func push(_ wire: Wire) {
        guard !wire.isConnecting, wire.phase == .open || wire.phase == .finishing, !wire.out.isEmpty else { return }
        while wire.canWrite && !wire.out.isEmpty {
            let pieces = wire.out.prefix(64)
            let count = sendPieces(pieces, wire.descriptor)
            if count >= 0 {
                wire.out.removeFirst(count)
            } else if errno == EAGAIN {
                wire.canWrite = false
            } else if errno != EINTR {
                wire.phase = .broken
                return
            }
        }
        if wire.out.isEmpty { wire.onDrained() }
    }

    private func sendPieces(_ pieces: [ArraySlice<UInt8>], _ descriptor: Int32) -> Int {
        // The pieces stand still while `keep` holds their pointers.
        func keep(_ rest: ArraySlice<ArraySlice<UInt8>>, _ vectors: inout [iovec]) -> Int {
            guard let piece = rest.first else {
                return vectors.withUnsafeMutableBufferPointer { vectors in
                    var message = msghdr()
                    message.msg_iov = vectors.baseAddress
                    message.msg_iovlen = .init(vectors.count)
                    return sendmsg(descriptor, &message, MSG_NOSIGNAL)
                }
            }
            return piece.withUnsafeBytes { bytes in
                vectors.append(
                    iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count))
                return keep(rest.dropFirst(), &vectors)
            }
        }
        var vectors: [iovec] = []
        return keep(pieces[...], &vectors)
    }

    private func bury(_ wire: Wire) {
        guard wire.phase != .buried else { return }
        wire.phase = .buried
        wires[wire.number] = nil
        deadlines[wire.number] = nil
        wire.out = Output()
        let onEnd = wire.onEnd
        wire.onBytes = { _ in }
        wire.onEnd = {}
        wire.onDrained = {}
        close(wire.descriptor)
        onEnd()
    }
}

func now() -> Milliseconds {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}
