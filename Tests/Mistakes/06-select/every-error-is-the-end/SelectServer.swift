import Sockets

/// All clients in one thread: select says which descriptors will not make us wait, and we touch no other.
func selectServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    var clients: [Int32: Client] = [:]
    defer { for descriptor in clients.keys { close(descriptor) } }
    var canAccept = true

    while true {
        // select overwrites its sets with the answer, so they are made anew for each call.
        var readable = fd_set()
        var writable = fd_set()
        fdZero(&readable)
        fdZero(&writable)
        if canAccept { fdSet(listener, &readable) }
        for (descriptor, client) in clients {
            if client.wantsToReceive { fdSet(descriptor, &readable) }
            // Only while there is something to send: a socket with room in its buffer is always writable, and select
            // would come back at once, for ever.
            if client.wantsToSend { fdSet(descriptor, &writable) }
        }

        // The first argument is not a count but the highest descriptor plus one.
        let highest = max(listener, clients.keys.max() ?? listener)
        // Without room for another client the listener stays out of the set, and is tried again after a moment.
        var moment = timeval(tv_sec: 0, tv_usec: 100_000)
        let count =
            canAccept
            ? select(highest + 1, &readable, &writable, nil, nil)
            : select(highest + 1, &readable, &writable, nil, &moment)
        if count < 0 {
            if errno == EINTR { continue }
            throw SocketError("select", errno)
        }

        for descriptor in clients.keys {
            if fdIsSet(descriptor, &readable) != 0 { clients[descriptor]?.receive(from: descriptor) }
            // Right after receiving, too: mostly there is room, and the answer need not wait for another round.
            if clients[descriptor]?.wantsToSend == true { clients[descriptor]?.send(to: descriptor) }
            if clients[descriptor]?.isFinished == true {
                clients[descriptor] = nil
                close(descriptor)
            }
        }
        if !canAccept || fdIsSet(listener, &readable) != 0 {
            canAccept = try acceptClients(listener, into: &clients)
        }
    }
}

/// What is known of a connection between two rounds.
struct Client {
    /// Answers that the kernel had no room for yet.
    private var pending: [UInt8] = []
    /// It has sent its last byte, but may still be reading.
    private var hasEnded = false
    private var isBroken = false

    /// A client that sends and never reads gets no more memory than this: we stop reading, its own buffer fills, and its
    /// send waits. That is back-pressure.
    private static let most = 65_536

    var wantsToReceive: Bool { !hasEnded && pending.count < Client.most }
    var wantsToSend: Bool { !pending.isEmpty }
    var isFinished: Bool { isBroken || hasEnded && pending.isEmpty }

    mutating func receive(from descriptor: Int32) {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count > 0 {
            pending += buffer[..<count].map(uppercase)
        } else if count == 0 {
            hasEnded = true
        } else {
            isBroken = true
        }
    }

    mutating func send(to descriptor: Int32) {
        let count = Sockets.send(descriptor, pending, pending.count, MSG_NOSIGNAL)
        if count >= 0 {
            pending.removeFirst(count)
        } else if errno != EAGAIN && errno != EINTR {
            isBroken = true
        }
    }
}

/// Takes every connection that waits.
///
/// - Returns: false if there is no room for more now (EMFILE): the next one stays in the kernel's queue.
private func acceptClients(_ listener: Int32, into clients: inout [Int32: Client]) throws -> Bool {
    while true {
        let connection = accept(listener, nil, nil)
        if connection < 0 {
            switch errno {
            case EAGAIN: return true
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: return false
            default: throw SocketError("accept", errno)
            }
        }
        // An fd_set has FD_SETSIZE (1,024) bits. FD_SET with a higher number writes past its end (select(2), BUGS):
        // this client cannot be served, and has to be told so.
        guard connection < Int32(FD_SETSIZE) else {
            close(connection)
            continue
        }
        setNonblocking(connection)
        clients[connection] = Client()
    }
}

/// A listening socket that does not block: a client that select announced may be gone before accept is called, and then
/// accept would wait for the next one while all others wait for us.
private func makeListener(host: String, port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        var on: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, size))
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
func setNonblocking(_ descriptor: Int32, _ on: Bool = true) {
    let flags = fcntl(descriptor, F_GETFL)
    _ = fcntl(descriptor, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK)
}

/// a…z become A…Z; every other byte stays: they are bytes, not text in some language.
private func uppercase(_ byte: UInt8) -> UInt8 {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) ? byte - 32 : byte
}
