import Course
import Sockets

/// Serves until the stopper is readable, and then leaves as one leaves a party: says goodbye to everybody.
func stoppableServer(host: String, port: UInt16, stopper: Stopper) throws {
    var server = try PoliteServer(host: host, port: port, stopOn: stopper.waitOn)
    defer { server.closeEverything() }
    while try server.round() {}
}

func requestStop(_ stopper: Stopper) {
    var count: UInt64 = 1
    var result: Int
    repeat {
        result = write(stopper.writeTo, &count, MemoryLayout<UInt64>.size)
    } while result < 0 && errno == EINTR
}

private enum Phase {
    /// It is read from and written to.
    case talking
    /// Nothing more is read: it gets what it has been promised.
    case lastWords
    /// We have ended our side, and read on until it has ended its own: a close on unread bytes would be a reset, and could
    /// cost it the end of its answer.
    case goodbye
}

private struct Visitor {
    var phase = Phase.talking
    var hasEnded = false
    var outgoing: [UInt8] = []
    var sent = 0
    var asked = EPOLLIN.rawValue

    var owed: Int { outgoing.count - sent }
    var events: UInt32 {
        switch phase {
        case .talking:
            return (!hasEnded && owed < 65_536 ? EPOLLIN.rawValue : 0) | (owed > 0 ? EPOLLOUT.rawValue : 0)
        case .lastWords: return EPOLLOUT.rawValue
        case .goodbye: return EPOLLIN.rawValue
        }
    }
}

private struct PoliteServer {
    private let listener: Int32
    private let epoll: Int32
    private let stop: Int32
    private var visitors: [Int32: Visitor] = [:]
    private var isStopping = false
    private var isFull = false
    private var deadline = 0
    private var scratch = [UInt8](repeating: 0, count: 12_288)
    private var events = [epoll_event](repeating: epoll_event(), count: 128)

    init(host: String, port: UInt16, stopOn stop: Int32) throws {
        self.stop = stop
        listener = try makeListener(host: host, port: port)
        let created = epoll_create1(Int32(EPOLL_CLOEXEC))
        if created < 0 {
            let code = errno
            close(listener)
            throw SocketError("epoll_create1", code)
        }
        epoll = created
        do {
            try watch(EPOLL_CTL_ADD, listener, EPOLLIN.rawValue)
            try watch(EPOLL_CTL_ADD, stop, EPOLLIN.rawValue)
        } catch {
            close(listener)
            close(epoll)
            throw error
        }
    }

    mutating func closeEverything() {
        for descriptor in visitors.keys { close(descriptor) }
        if !isStopping { close(listener) }
        close(epoll)
    }

    private func watch(_ operation: Int32, _ descriptor: Int32, _ mask: UInt32) throws {
        var event = epoll_event(events: mask, data: epoll_data_t(fd: descriptor))
        try check("epoll_ctl", epoll_ctl(epoll, operation, descriptor, &event))
    }

    private var someoneIsOwed: Bool { visitors.values.contains { $0.phase == .lastWords } }

    /// - Returns: false when everything is said.
    mutating func round() throws -> Bool {
        var patience: Int32 = isFull ? 100 : -1
        if isStopping {
            if someoneIsOwed {
                let left = deadline - monotonicMilliseconds()
                if left <= 0 {
                    for (descriptor, visitor) in visitors where visitor.phase == .lastWords { leave(descriptor) }
                } else {
                    patience = Int32(left)
                }
            }
            if visitors.isEmpty { return false }
        }
        let count = epoll_wait(epoll, &events, Int32(events.count), patience)
        if count < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
        var knocks = isFull
        for event in events.prefix(max(0, Int(count))) {
            switch event.data.fd {
            case listener where !isStopping: knocks = true
            case stop: try sayGoodbye()
            default: try attend(event.data.fd, event.events)
            }
        }
        if knocks && !isStopping { try welcome() }
        return true
    }

    private mutating func leave(_ descriptor: Int32) {
        visitors[descriptor] = nil
        close(descriptor)
    }

    private mutating func sayGoodbye() throws {
        isStopping = true
        deadline = monotonicMilliseconds() + 1000
        try watch(EPOLL_CTL_DEL, stop, 0)
        close(listener)
        for (descriptor, visitor) in visitors {
            if visitor.owed > 0 {
                visitors[descriptor]?.phase = .lastWords
            } else {
                endOurSide(descriptor)
            }
            try update(descriptor)
        }
    }

    private mutating func endOurSide(_ descriptor: Int32) {
        shutdown(descriptor, Int32(SHUT_WR))
        visitors[descriptor]?.phase = .goodbye
    }

    private mutating func update(_ descriptor: Int32) throws {
        guard let visitor = visitors[descriptor], visitor.events != visitor.asked else { return }
        try watch(EPOLL_CTL_MOD, descriptor, visitor.events)
        visitors[descriptor]?.asked = visitor.events
    }

    private mutating func attend(_ descriptor: Int32, _ what: UInt32) throws {
        guard var visitor = visitors.removeValue(forKey: descriptor) else { return }
        var isLost = false
        if what & ~EPOLLOUT.rawValue != 0 && visitor.events & EPOLLIN.rawValue != 0 {
            let count = recv(descriptor, &scratch, scratch.count, 0)
            if count == 0 { visitor.hasEnded = true }
            if count < 0 && errno != EAGAIN && errno != EINTR { isLost = true }
            if count > 0 && visitor.phase == .talking {
                for byte in scratch[..<count] { visitor.outgoing.append(byte >= 97 && byte <= 122 ? byte - 32 : byte) }
            }
        }
        if visitor.owed > 0 && !isLost {
            let count = visitor.outgoing.withUnsafeBytes {
                send(descriptor, $0.baseAddress! + visitor.sent, $0.count - visitor.sent, MSG_NOSIGNAL)
            }
            if count > 0 { visitor.sent += count }
            if count < 0 && errno != EAGAIN && errno != EINTR { isLost = true }
            if visitor.owed == 0 {
                visitor.outgoing.removeAll(keepingCapacity: true)
                visitor.sent = 0
            } else if visitor.sent > 65_536 {
                visitor.outgoing.removeFirst(visitor.sent)
                visitor.sent = 0
            }
        }
        if isLost || visitor.hasEnded && visitor.owed == 0 {
            close(descriptor)
            return
        }
        visitors[descriptor] = visitor
        if visitor.phase == .lastWords && visitor.owed == 0 { endOurSide(descriptor) }
        try update(descriptor)
    }

    private mutating func welcome() throws {
        while true {
            switch try acceptClient(listener) {
            case .client(let descriptor):
                do {
                    try watch(EPOLL_CTL_ADD, descriptor, EPOLLIN.rawValue)
                    visitors[descriptor] = Visitor()
                } catch {
                    close(descriptor)
                }
            case .nobody:
                if isFull { try watch(EPOLL_CTL_MOD, listener, EPOLLIN.rawValue) }
                isFull = false
                return
            case .noRoom:
                if !isFull { try watch(EPOLL_CTL_MOD, listener, 0) }
                isFull = true
                return
            }
        }
    }
}
