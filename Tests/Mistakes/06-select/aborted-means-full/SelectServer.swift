import Sockets

/// One thread for all. A round is: ask select, serve whom it names, let in whoever waits.
func selectServer(host: String, port: UInt16) throws {
    let listener = try startListening(host: host, port: port)
    var clients: [Int32: Connection] = [:]
    defer {
        close(listener)
        clients.keys.forEach { close($0) }
    }
    // No more clients for now: the listener is left out of the set until one of them has gone.
    var isFull = false

    while true {
        var sources = fd_set()
        var sinks = fd_set()
        fdZero(&sources)
        fdZero(&sinks)
        if !isFull { fdSet(listener, &sources) }
        for (descriptor, client) in clients {
            if client.mayBeRead { fdSet(descriptor, &sources) }
            if client.hasAnswers { fdSet(descriptor, &sinks) }
        }
        let highest = clients.keys.reduce(listener, max)
        guard select(highest + 1, &sources, &sinks, nil, nil) >= 0 else {
            if errno == EINTR { continue }
            throw SocketError("select", errno)
        }

        var gone: [Int32] = []
        for descriptor in clients.keys {
            let serve = clients[descriptor]!.serve(
                descriptor, readable: fdIsSet(descriptor, &sources) != 0, writable: fdIsSet(descriptor, &sinks) != 0)
            if serve == .over { gone.append(descriptor) }
        }
        for descriptor in gone {
            clients[descriptor] = nil
            close(descriptor)
            isFull = false
        }

        if !isFull && fdIsSet(listener, &sources) != 0 {
            isFull = !letIn(listener, &clients)
        }
    }
}

private enum Verdict { case goesOn, over }

private struct Connection {
    private var answers: [UInt8] = []
    private var hasEnded = false

    var mayBeRead: Bool { !hasEnded && answers.count < 65_536 }
    var hasAnswers: Bool { !answers.isEmpty }

    mutating func serve(_ descriptor: Int32, readable: Bool, writable: Bool) -> Verdict {
        if readable {
            let taken = withUnsafeTemporaryAllocation(byteCount: 16_384, alignment: 1) { room -> Int in
                let count = recv(descriptor, room.baseAddress, room.count, 0)
                if count > 0 { answers += room[..<count].map(Connection.upper) }
                return count
            }
            if taken == 0 { hasEnded = true }
            if taken < 0 && errno != EAGAIN && errno != EINTR { return .over }
        }
        if (readable || writable) && hasAnswers {
            let count = send(descriptor, answers, answers.count, MSG_NOSIGNAL)
            if count < 0 && errno != EAGAIN && errno != EINTR { return .over }
            answers.removeFirst(max(0, count))
        }
        return hasEnded && answers.isEmpty ? .over : .goesOn
    }

    private static func upper(_ byte: UInt8) -> UInt8 { byte > 96 && byte < 123 ? byte - 32 : byte }
}

/// - Returns: whether there may be room for more.
private func letIn(_ listener: Int32, _ clients: inout [Int32: Connection]) -> Bool {
    while true {
        let client = accept(listener, nil, nil)
        if client < 0 {
            if errno == EINTR { continue }
            return errno == EAGAIN
        }
        guard client < Int32(FD_SETSIZE) else {
            close(client)
            continue
        }
        setNonblocking(client)
        clients[client] = Connection()
    }
}

private func startListening(host: String, port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        var on: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, size))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
    } catch {
        close(listener)
        throw error
    }
    setNonblocking(listener)
    return listener
}

func setNonblocking(_ descriptor: Int32, _ on: Bool = true) {
    let flags = fcntl(descriptor, F_GETFL)
    _ = fcntl(descriptor, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK)
}
