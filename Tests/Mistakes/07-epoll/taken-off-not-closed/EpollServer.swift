import Course
import Sockets

func epollServer(host: String, port: UInt16) throws {
    let server = try Shouter(host: host, port: port)
    defer { server.shutDown() }
    while true { try server.round() }
}

/// Everything about the server in one object.
private final class Shouter {
    private final class Guest {
        let number: Int32
        var answer: [UInt8] = []
        var done = 0
        var saidAll = false
        var events = EPOLLIN.rawValue
        init(_ number: Int32) { self.number = number }

        var owes: Int { answer.count - done }
        var needs: UInt32 {
            (saidAll || owes >= 65_536 ? 0 : EPOLLIN.rawValue) | (owes > 0 ? EPOLLOUT.rawValue : 0)
        }
    }

    private let listener: Int32
    private let epoll: Int32
    private var guests: [Int32: Guest] = [:]
    private var isFull = false
    private var events = [epoll_event](repeating: epoll_event(), count: 200)
    private var bytes = [UInt8](repeating: 0, count: 8192)

    init(host: String, port: UInt16) throws {
        listener = try makeListener(host: host, port: port)
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard epoll >= 0 else {
            let reason = errno
            close(listener)
            throw SocketError("epoll_create1", reason)
        }
        try control(EPOLL_CTL_ADD, listener, EPOLLIN.rawValue)
    }

    func shutDown() {
        for number in guests.keys { close(number) }
        close(listener)
        close(epoll)
    }

    private func control(_ what: Int32, _ number: Int32, _ mask: UInt32) throws {
        var event = epoll_event(events: mask, data: epoll_data_t(fd: number))
        try check("epoll_ctl", epoll_ctl(epoll, what, number, &event))
    }

    func round() throws {
        let count = epoll_wait(epoll, &events, Int32(events.count), isFull ? 100 : -1)
        if count < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
        var callers = isFull
        for index in 0..<max(0, Int(count)) {
            let (number, mask) = (events[index].data.fd, events[index].events)
            if number == listener {
                callers = true
            } else if let guest = guests[number] {
                try look(after: guest, mask)
            }
        }
        if callers { try letIn() }
    }

    private func look(after guest: Guest, _ mask: UInt32) throws {
        // The connection is broken: off the list with it, or we are told of it for ever.
        if mask & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 {
            try control(EPOLL_CTL_DEL, guest.number, 0)
            guests[guest.number] = nil
            return
        }
        if mask & EPOLLIN.rawValue != 0 {
            let count = recv(guest.number, &bytes, bytes.count, 0)
            if count == 0 { guest.saidAll = true }
            if count > 0 {
                for byte in bytes[..<count] { guest.answer.append(byte >= 0x61 && byte <= 0x7A ? byte & 0xDF : byte) }
            }
            if count < 0 && errno != EAGAIN && errno != EINTR { return part(guest) }
        }
        if guest.owes > 0 {
            let count = guest.answer.withUnsafeBytes {
                send(guest.number, $0.baseAddress! + guest.done, guest.owes, MSG_NOSIGNAL)
            }
            if count < 0 && errno != EAGAIN && errno != EINTR { return part(guest) }
            guest.done += max(0, count)
            if guest.owes == 0 {
                guest.answer.removeAll(keepingCapacity: true)
                guest.done = 0
            } else if guest.done > 65_536 {
                guest.answer.removeFirst(guest.done)
                guest.done = 0
            }
        }
        if guest.saidAll && guest.owes == 0 { return part(guest) }
        if guest.needs != guest.events {
            guest.events = guest.needs
            try control(EPOLL_CTL_MOD, guest.number, guest.needs)
        }
    }

    private func part(_ guest: Guest) {
        guests[guest.number] = nil
        close(guest.number)
    }

    private func letIn() throws {
        while case let answer = try acceptClient(listener) {
            switch answer {
            case .client(let number):
                guests[number] = Guest(number)
                try control(EPOLL_CTL_ADD, number, EPOLLIN.rawValue)
            case .nobody:
                return try watchDoor(true)
            case .noRoom:
                return try watchDoor(false)
            }
        }
    }

    private func watchDoor(_ on: Bool) throws {
        if isFull == on { try control(EPOLL_CTL_MOD, listener, on ? EPOLLIN.rawValue : 0) }
        isFull = !on
    }
}

/// The loop that the level-triggered servers of this lesson share.
struct EventLoop {
    private var poller: Poller
    private let listener: Int32
    private(set) var clients: [Int32: Client] = [:]
    private var buffer = makeReceiveBuffer()
    private var listens = true
    private var hasRoom = true
    private var extra: Int32?

    init(host: String, port: UInt16) throws {
        listener = try makeListener(host: host, port: port)
        do {
            poller = try Poller()
        } catch {
            close(listener)
            throw error
        }
        try poller.add(listener, .init(reading: true, writing: false))
    }

    func closeAll() {
        for descriptor in clients.keys { close(descriptor) }
        if listens { close(listener) }
        close(poller.descriptor)
    }

    /// Another descriptor to wait for; `runOnce` says when it is readable.
    mutating func alsoWaitFor(_ descriptor: Int32) throws {
        try poller.add(descriptor, .init(reading: true, writing: false))
        extra = descriptor
    }

    /// Waits for events and handles them.
    ///
    /// - Parameter timeout: in milliseconds; nil waits as long as it takes.
    /// - Returns: the clients that sent something, and those that joined; and whether the extra descriptor is readable.
    @discardableResult
    mutating func runOnce(timeout: Int? = nil) throws -> (active: [Int32], isExtraReadable: Bool) {
        // Without room for another client the listener is not watched: it is tried again when one has left, or soon.
        let moment = hasRoom ? timeout : min(timeout ?? 100, 100)
        var active: [Int32] = []
        var isExtraReadable = false
        var someoneWaits = !hasRoom
        for event in try poller.wait(timeout: moment) {
            if event.descriptor == listener {
                someoneWaits = true
            } else if event.descriptor == extra {
                isExtraReadable = true
            } else {
                if event.canRead { active.append(event.descriptor) }
                try handle(event)
            }
        }
        // Accepted last: a number that a client above has just given back would otherwise be handed to a new one while an
        // event for the old one is still in our list.
        if someoneWaits && listens { active += try acceptClients() }
        return (active, isExtraReadable)
    }

    private mutating func handle(_ event: Poller.Event) throws {
        guard let client = clients[event.descriptor] else { return }
        if event.canRead && client.wantsToReceive { _ = client.receive(from: event.descriptor, using: &buffer) }
        // Right after receiving, too: mostly there is room, and the answer need not wait for another round.
        if client.wantsToSend { _ = client.send(to: event.descriptor) }
        try settle(client, event.descriptor)
    }

    /// Closes a client that is finished; else asks for just what it needs next. Writing only while there is something to
    /// write: a socket with room is always writable, and epoll_wait would come back at once, for ever.
    private mutating func settle(_ client: Client, _ descriptor: Int32) throws {
        // After a stop nothing more is received: a client that has its answers is done.
        if client.isFinished || !listens && !client.wantsToSend { return drop(descriptor) }
        let interest = Poller.Interest(reading: listens && client.wantsToReceive, writing: client.wantsToSend)
        if client.interest != interest {
            try poller.change(descriptor, interest)
            client.interest = interest
        }
    }

    mutating func drop(_ descriptor: Int32) {
        clients[descriptor] = nil
        close(descriptor)
    }

    private mutating func acceptClients() throws -> [Int32] {
        var joined: [Int32] = []
        while true {
            switch try acceptClient(listener) {
            case .client(let connection):
                let client = Client()
                try poller.add(connection, client.interest)
                clients[connection] = client
                joined.append(connection)
            case .nobody:
                try setRoom(true)
                return joined
            case .noRoom:
                try setRoom(false)
                return joined
            }
        }
    }

    private mutating func setRoom(_ room: Bool) throws {
        if hasRoom != room { try poller.change(listener, .init(reading: room, writing: false)) }
        hasRoom = room
    }

    /// From now on nobody joins, and nothing more is read: what is pending is sent, and then each client is closed.
    mutating func finish() throws {
        listens = false
        close(listener)
        // It stays readable, and would be reported in every round.
        if let extra { try poller.change(extra, .init(reading: false, writing: false)) }
        for (descriptor, client) in clients {
            if client.wantsToSend { try settle(client, descriptor) } else { drop(descriptor) }
        }
    }
}
