import Course
import Sockets

/// Level-triggered: a descriptor is reported for as long as it is ready. What is not read in this round is reported again
/// in the next, so nothing can be forgotten.
func epollServer(host: String, port: UInt16) throws {
    var loop = try EventLoop(host: host, port: port)
    defer { loop.closeAll() }
    while true { try loop.runOnce() }
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
        poller = try Poller()
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
