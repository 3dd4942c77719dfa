import Course
import Sockets

/// Serves until `stopper.waitOn` becomes readable; then sends what is owed, for at most a second, and returns.
func stoppableServer(host: String, port: UInt16, stopper: Stopper) throws {
    let service = try Service(host: host, port: port, bell: stopper.waitOn)
    defer { service.closeEverything() }
    while !service.isStopping { try service.handleEvents(within: -1) }
    let end = monotonicMilliseconds() + 1000
    while service.owesSomething {
        let left = end - monotonicMilliseconds()
        if left <= 0 { break }
        try service.handleEvents(within: Int32(left))
    }
}

/// May be called in a signal handler: nothing but write (signal-safety(7)).
func requestStop(_ stopper: Stopper) {
    var rings: UInt64 = 1
    while write(stopper.writeTo, &rings, MemoryLayout<UInt64>.size) == -1 {
        if errno != EINTR { return }
    }
}

private final class Service {
    private struct Debt {
        var bytes: [UInt8] = []
        var hasEnded = false
        var mask = EPOLLIN.rawValue
    }

    private(set) var isStopping = false
    private let listener: Int32
    private let epoll: Int32
    private let bell: Int32
    private var debts: [Int32: Debt] = [:]
    private var events = [epoll_event](repeating: epoll_event(), count: 64)
    private var buffer = [UInt8](repeating: 0, count: 16_384)
    private var isFull = false

    init(host: String, port: UInt16, bell: Int32) throws {
        self.bell = bell
        listener = try makeListener(host: host, port: port)
        do {
            epoll = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
        } catch {
            close(listener)
            throw error
        }
        try control(EPOLL_CTL_ADD, listener, EPOLLIN.rawValue)
        try control(EPOLL_CTL_ADD, bell, EPOLLIN.rawValue)
    }

    var owesSomething: Bool { !debts.isEmpty }

    func closeEverything() {
        for client in debts.keys { close(client) }
        if !isStopping { close(listener) }
        close(epoll)
    }

    private func control(_ operation: Int32, _ descriptor: Int32, _ mask: UInt32) throws {
        var event = epoll_event(events: mask, data: epoll_data_t(fd: descriptor))
        try check("epoll_ctl", epoll_ctl(epoll, operation, descriptor, &event))
    }

    func handleEvents(within time: Int32) throws {
        let patience = isFull && !isStopping && (time < 0 || time > 100) ? 100 : time
        let count = epoll_wait(epoll, &events, Int32(events.count), patience)
        if count < 0 {
            if errno == EINTR { return }
            throw SocketError("epoll_wait", errno)
        }
        var (knocks, rings) = (isFull, false)
        for event in events[..<Int(count)] {
            switch event.data.fd {
            case listener where !isStopping: knocks = true
            case bell: rings = true
            case let client: try handle(client, event.events)
            }
        }
        if rings { try stop() }
        if knocks && !isStopping { try acceptAll() }
    }

    private func handle(_ client: Int32, _ what: UInt32) throws {
        guard var debt = debts[client] else { return }
        debts[client]?.bytes = []
        let broken = what & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
        var isAlive = true
        if what & EPOLLOUT.rawValue != 0 || broken { isAlive = payBack(client, &debt) }
        if isAlive && debt.mask & EPOLLIN.rawValue != 0 && (broken || what & EPOLLIN.rawValue != 0) {
            isAlive = receive(client, &debt)
        }
        guard isAlive, !(debt.bytes.isEmpty && (debt.hasEnded || isStopping)) else {
            debts[client] = nil
            close(client)
            return
        }
        try settle(client, &debt)
        debts[client] = debt
    }

    private func settle(_ client: Int32, _ debt: inout Debt) throws {
        let reading = !isStopping && !debt.hasEnded && debt.bytes.count < 65_536
        let mask = (reading ? EPOLLIN.rawValue : 0) | (debt.bytes.isEmpty ? 0 : EPOLLOUT.rawValue)
        if mask != debt.mask { try control(EPOLL_CTL_MOD, client, mask) }
        debt.mask = mask
    }

    private func receive(_ client: Int32, _ debt: inout Debt) -> Bool {
        let count = recv(client, &buffer, buffer.count, 0)
        if count < 0 { return errno == EAGAIN || errno == EINTR }
        if count == 0 {
            debt.hasEnded = true
            return true
        }
        for index in 0..<count where buffer[index] >= 97 && buffer[index] <= 122 { buffer[index] -= 32 }
        // Mostly there is room, and the answer need not be copied: only what the kernel does not take is kept.
        var taken = send(client, buffer, count, MSG_NOSIGNAL)
        if taken < 0 {
            guard errno == EAGAIN || errno == EINTR else { return false }
            taken = 0
        }
        debt.bytes += buffer[taken..<count]
        return true
    }

    private func payBack(_ client: Int32, _ debt: inout Debt) -> Bool {
        guard !debt.bytes.isEmpty else { return true }
        let count = send(client, debt.bytes, debt.bytes.count, MSG_NOSIGNAL)
        if count < 0 { return errno == EAGAIN || errno == EINTR }
        debt.bytes.removeFirst(count)
        return true
    }

    private func acceptAll() throws {
        while true {
            switch try acceptClient(listener) {
            case .client(let client):
                try control(EPOLL_CTL_ADD, client, EPOLLIN.rawValue)
                debts[client] = Debt()
            case .nobody:
                if isFull { try control(EPOLL_CTL_MOD, listener, EPOLLIN.rawValue) }
                isFull = false
                return
            case .noRoom:
                if !isFull { try control(EPOLL_CTL_MOD, listener, 0) }
                isFull = true
                return
            }
        }
    }

    private func stop() throws {
        guard !isStopping else { return }
        isStopping = true
        close(listener)
        try control(EPOLL_CTL_DEL, bell, 0)
        for (client, var debt) in debts {
            if debt.bytes.isEmpty {
                debts[client] = nil
                close(client)
            } else {
                try settle(client, &debt)
                debts[client] = debt
            }
        }
    }
}
