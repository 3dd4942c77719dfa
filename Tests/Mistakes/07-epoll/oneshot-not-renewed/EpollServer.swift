import Course
import Sockets

func epollServer(host: String, port: UInt16) throws {
    let server = try OneShotServer(host: host, port: port)
    defer { server.shutDown() }
    try server.run()
}

/// Every client is asked about once (EPOLLONESHOT) and asked about again when its event is dealt with, for just what it
/// needs then.
private final class OneShotServer {
    private struct Talk {
        var answer: [UInt8] = []
        var isComplete = false
    }
    private enum Progress {
        case nothing
        case some
        case over
    }
    private let listener: Int32
    private let list: Int32
    private var talks: [Int32: Talk] = [:]
    private var buffer = [UInt8](repeating: 0, count: 32_768)
    private var isOutOfDescriptors = false
    private let mostPending = 65_536

    init(host: String, port: UInt16) throws {
        let socket = try makeListener(host: host, port: port)
        let list = epoll_create1(Int32(EPOLL_CLOEXEC))
        if list < 0 {
            let reason = errno
            close(socket)
            throw SocketError("epoll_create1", reason)
        }
        self.listener = socket
        self.list = list
        try ask(EPOLL_CTL_ADD, listener, EPOLLIN.rawValue)
    }

    func shutDown() {
        for descriptor in talks.keys { close(descriptor) }
        close(listener)
        close(list)
    }

    func run() throws {
        var events = [epoll_event](repeating: epoll_event(), count: 200)
        while true {
            let count = epoll_wait(list, &events, 200, isOutOfDescriptors ? 100 : -1)
            guard count >= 0 else {
                if errno == EINTR { continue }
                throw SocketError("epoll_wait", errno)
            }
            var isCalled = isOutOfDescriptors
            for index in 0..<Int(count) {
                let (who, what) = (events[index].data.fd, events[index].events)
                if who == listener { isCalled = true } else { try serve(who, what) }
            }
            if isCalled { try acceptAll() }
        }
    }

    private func serve(_ who: Int32, _ what: UInt32) throws {
        guard talks[who] != nil else { return }
        var progress = Progress.nothing
        if what & (EPOLLIN.rawValue | EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 { progress = hear(who) }
        if progress != .over, !talks[who]!.answer.isEmpty { progress = reply(who) }
        let talk = talks[who]!
        if progress == .over || talk.isComplete && talk.answer.isEmpty {
            talks[who] = nil
            close(who)
            return
        }
        // Nothing has changed, so what we asked about is still right.
        if progress == .nothing { return }
        try ask(EPOLL_CTL_MOD, who, interest(talk) | EPOLLONESHOT.rawValue)
    }

    private func interest(_ talk: Talk) -> UInt32 {
        var mask: UInt32 = 0
        if !talk.isComplete && talk.answer.count < mostPending { mask |= EPOLLIN.rawValue }
        if !talk.answer.isEmpty { mask |= EPOLLOUT.rawValue }
        return mask
    }

    private func hear(_ who: Int32) -> Progress {
        if talks[who]!.isComplete || talks[who]!.answer.count >= mostPending { return .some }
        while true {
            let count = recv(who, &buffer, buffer.count, 0)
            if count > 0 {
                for index in 0..<count where buffer[index] >= 97 && buffer[index] <= 122 { buffer[index] &= 0xDF }
                talks[who]!.answer.append(contentsOf: buffer[0..<count])
                return .some
            }
            if count == 0 {
                talks[who]!.isComplete = true
                return .some
            }
            if errno == EINTR { continue }
            return errno == EAGAIN ? .nothing : .over
        }
    }

    private func reply(_ who: Int32) -> Progress {
        while true {
            let count = send(who, talks[who]!.answer, talks[who]!.answer.count, MSG_NOSIGNAL)
            if count >= 0 {
                talks[who]!.answer.removeFirst(count)
                return .some
            }
            if errno == EINTR { continue }
            // No room: asked for EPOLLOUT below.
            return errno == EAGAIN ? .some : .over
        }
    }

    private func acceptAll() throws {
        while true {
            switch try acceptClient(listener) {
            case .client(let descriptor):
                talks[descriptor] = Talk()
                try ask(EPOLL_CTL_ADD, descriptor, EPOLLIN.rawValue | EPOLLONESHOT.rawValue)
            case .nobody: return try pause(false)
            case .noRoom: return try pause(true)
            }
        }
    }

    private func pause(_ isPaused: Bool) throws {
        guard isPaused != isOutOfDescriptors else { return }
        isOutOfDescriptors = isPaused
        try ask(EPOLL_CTL_MOD, listener, isPaused ? 0 : EPOLLIN.rawValue)
    }

    private func ask(_ operation: Int32, _ descriptor: Int32, _ mask: UInt32) throws {
        var event = epoll_event(events: mask, data: epoll_data_t(fd: descriptor))
        try check("epoll_ctl", epoll_ctl(list, operation, descriptor, &event))
    }
}

/// The loop that idleTimeoutServer and stoppableServer share.
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
