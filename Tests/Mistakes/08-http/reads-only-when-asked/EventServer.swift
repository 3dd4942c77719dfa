// One thread for all connections, as in lessons 06 and 07: it waits for whoever is ready, and never for anybody alone.
// What is said on a connection is ServerConnection's business; here are the sockets and the clock.
//
// A thread for each client serves as well. But a client that says nothing costs a thread then, and whoever opens a
// thousand connections has a thousand of them; here it costs a few hundred bytes.
import Course
import Sockets

struct EventServer<Waiter: Poller> {
    private var poller: Waiter
    private let listener: Int32
    private let site: any Site
    private var clients: [Int32: Client] = [:]
    /// So many that there are descriptors left for the files that they ask for.
    private let mostClients: Int
    private var hasRoom = true
    private let bodyRoom = BodyRoom(Lesson08.storeLimit)
    private var buffer = [UInt8](repeating: 0, count: 16_384)
    private var now = Moment()
    private var nextSweep = 0

    /// Runs until an error that is the server's own.
    static func run(_ site: any Site, host: String, port: UInt16, poller: Waiter) throws {
        let listener = try makeListener(host: host, port: port)
        var server = EventServer(poller: poller, listener: listener, site: site)
        defer { server.closeAll() }
        guard try server.poller.add(listener, Interest(reading: true, writing: false)) else {
            throw SocketError("select", EMFILE)
        }
        while true { try server.runOnce() }
    }

    private init(poller: Waiter, listener: Int32, site: any Site) {
        self.poller = poller
        self.listener = listener
        self.site = site
        let descriptors = sysconf(Int32(_SC_OPEN_MAX))
        mostClients = descriptors < 0 ? .max : max(1, descriptors - 64)
    }

    private func closeAll() {
        for descriptor in clients.keys { close(descriptor) }
        close(listener)
        poller.closeAll()
    }

    private final class Client {
        let connection: ServerConnection
        var interest = Interest(reading: true, writing: false)
        var stage = ServerConnection.Stage.head
        var isLingering = false
        var isFinished = false
        /// When the stage began, and how many bytes it has moved since then, the last of them when.
        var since: Int
        var moved = 0
        var lastMoved: Int
        var answered = 0

        init(_ connection: ServerConnection, at time: Int) {
            self.connection = connection
            (since, lastMoved) = (time, time)
        }

        /// When our patience ends.
        var deadline: Int {
            switch stage {
            // Bytes earn nothing here: a head that comes at a byte a second is no better than none.
            case .head: return since + Lesson08.clientTimeout
            // Here they do, a millisecond each: one that comes at less than a kilobyte a second would take minutes.
            case .body: return min(lastMoved, since + moved) + Lesson08.clientTimeout
            case .answer: return lastMoved + Lesson08.answerTimeout
            }
        }
    }

    // MARK: A round

    private mutating func runOnce() throws {
        // Without clients there is nobody to be impatient with.
        var timeout = clients.isEmpty ? nil : max(0, nextSweep - now.milliseconds)
        if !hasRoom { timeout = min(timeout ?? 100, 100) }
        let events = try poller.wait(timeout: timeout)
        now.update()
        var someoneWaits = !hasRoom
        for event in events {
            if event.descriptor == listener {
                someoneWaits = true
            } else if let client = clients[event.descriptor] {
                handle(event, client)
                try settle(event.descriptor, client)
            }
        }
        // Accepted last: a number that a client above has just given back would otherwise be handed to a new one while an
        // event for the old one is still in our list.
        if someoneWaits { try acceptClients() }
        if now.milliseconds >= nextSweep { try dropTheSlow() }
    }

    private mutating func handle(_ event: Readiness, _ client: Client) {
        let connection = client.connection
        if event.canRead && (client.isLingering || connection.wantsBytes) { receive(event.descriptor, client) }
        if client.isLingering || client.isFinished { return }
        connection.advance(date: now.date)
        // What is sent makes room for more. Not for ever: others wait, too, and we are told again.
        var rounds = 4
        while connection.hasOutput && rounds > 0 && send(event.descriptor, client) {
            connection.advance(date: now.date)
            rounds -= 1
        }
    }

    private mutating func receive(_ descriptor: Int32, _ client: Client) {
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count > 0 {
            client.moved += count
            client.lastMoved = now.milliseconds
            if !client.isLingering { client.connection.receive(buffer[..<count]) }
        } else if count == 0 {
            if client.isLingering { client.isFinished = true }
            client.connection.receiveEnd()
        } else if errno != EAGAIN && errno != EINTR {
            // ECONNRESET and the like: this client's end, not the server's.
            client.isFinished = true
        }
    }

    /// - Returns: false if the kernel takes no more for now.
    private func send(_ descriptor: Int32, _ client: Client) -> Bool {
        var count = 0
        client.connection.send { bytes in
            count = Sockets.send(descriptor, bytes.baseAddress, bytes.count, MSG_NOSIGNAL)
            if count < 0 && errno != EAGAIN && errno != EINTR { client.isFinished = true }
            return max(count, 0)
        }
        if count > 0 { client.lastMoved = now.milliseconds }
        return count > 0
    }

    // MARK: What next

    /// Closes a client that is finished; else asks for just what it needs next.
    private mutating func settle(_ descriptor: Int32, _ client: Client) throws {
        let connection = client.connection
        if connection.isClosing && !connection.hasOutput && !client.isLingering { linger(descriptor, client) }
        if client.isFinished || connection.isBroken && !connection.hasOutput { return drop(descriptor) }

        let stage = client.isLingering ? .head : connection.stage
        if stage != client.stage || connection.answered != client.answered {
            (client.stage, client.answered) = (stage, connection.answered)
            (client.since, client.moved, client.lastMoved) = (now.milliseconds, 0, now.milliseconds)
        }
        let interest = Interest(reading: true, writing: !client.isLingering && connection.hasOutput)
        if interest != client.interest {
            try poller.change(descriptor, interest)
            client.interest = interest
        }
    }

    /// The last answer is sent. If we closed now, bytes that are still on their way to us would be answered with a reset,
    /// and the reset can overtake our answer (RFC 9112 section 9.6). So: say that we are done, and take what comes until
    /// the client is done, too, or too slow.
    private func linger(_ descriptor: Int32, _ client: Client) {
        client.isLingering = true
        client.since = now.milliseconds
        client.stage = .head
        if client.connection.hasEnded || shutdown(descriptor, SHUT_WR) < 0 { client.isFinished = true }
    }

    /// A look at all clocks: when somebody's time may be up, and not more than once a second. Between two looks a time can
    /// only become longer, or begin anew.
    private mutating func dropTheSlow() throws {
        for (descriptor, client) in clients where client.deadline <= now.milliseconds {
            let connection = client.connection
            if client.isLingering || client.stage == .answer || !connection.isInRequest {
                // What a client does not read, the kernel would keep on offering for minutes (SO_LINGER with 0: forget it).
                var abort = Sockets.linger(l_onoff: 1, l_linger: 0)
                if connection.hasOutput {
                    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &abort, socklen_t(MemoryLayout<Sockets.linger>.size))
                }
                drop(descriptor)
            } else {
                connection.refuse(408, date: now.date)
                _ = send(descriptor, client)
                try settle(descriptor, client)
            }
        }
        let next = clients.values.map(\.deadline).min() ?? 0
        nextSweep = now.milliseconds + min(max(next - now.milliseconds, 1000), Lesson08.clientTimeout)
    }

    private mutating func drop(_ descriptor: Int32) {
        clients[descriptor] = nil
        poller.remove(descriptor)
        close(descriptor)
    }

    // MARK: New clients

    private mutating func acceptClients() throws {
        while true {
            guard clients.count < mostClients else { return try setRoom(false) }
            let descriptor = accept(listener, nil, nil)
            if descriptor < 0 {
                switch errno {
                case EAGAIN: return try setRoom(true)
                case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
                // No descriptor or no memory for one more: it stays in the queue, and is tried again soon.
                case EMFILE, ENFILE, ENOBUFS, ENOMEM: return try setRoom(false)
                default: throw SocketError("accept", errno)
                }
            }
            setNonblocking(descriptor)
            guard try poller.add(descriptor, Interest(reading: true, writing: false)) else {
                close(descriptor)
                continue
            }
            setOption(descriptor, IPPROTO_TCP, TCP_NODELAY, 1)
            // Writable means from now on: so little is unsent that there is a point in sending more. A megabyte in the
            // kernel's buffer would be memory, and hide for long whether the client still reads.
            setOption(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 131_072)
            if clients.isEmpty { nextSweep = now.milliseconds + Lesson08.clientTimeout }
            clients[descriptor] = Client(ServerConnection(site: site, room: bodyRoom), at: now.milliseconds)
        }
    }

    private mutating func setRoom(_ room: Bool) throws {
        if hasRoom != room { try poller.change(listener, Interest(reading: room, writing: false)) }
        hasRoom = room
    }
}

/// The time of a round: for patience, and for Date fields.
private struct Moment {
    /// On a clock that only moves forward.
    private(set) var milliseconds = 0
    private(set) var date = ""
    private var second = 0

    init() { update() }

    mutating func update() {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        milliseconds = Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
        clock_gettime(CLOCK_REALTIME, &time)
        if Int(time.tv_sec) != second {
            second = Int(time.tv_sec)
            date = httpDate(second)
        }
    }
}

/// A listening socket that does not block: a client that was announced may be gone before accept is called, and then
/// accept would wait for the next one while all others wait for us.
private func makeListener(host: String, port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        setOption(listener, SOL_SOCKET, SO_REUSEADDR, 1)
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
        setNonblocking(listener)
        return listener
    } catch {
        close(listener)
        throw error
    }
}

/// From now on calls on this descriptor return EAGAIN where they would wait (fcntl(2)).
private func setNonblocking(_ descriptor: Int32) {
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
}

/// An option that could not be set costs speed, or a minute before the port is free again, and is no reason to stop.
private func setOption(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
    var value = value
    setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
}
