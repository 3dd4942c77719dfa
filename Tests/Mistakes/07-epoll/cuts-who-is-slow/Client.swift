import Sockets

/// What is known of a connection between two events. A class, so that the one in the table is changed where it is.
final class Client {
    /// Answers that the kernel had no room for yet.
    private(set) var pending: [UInt8] = []
    /// It has sent its last byte, but may still be reading.
    private(set) var hasEnded = false
    private(set) var isBroken = false
    /// What the poller was last asked about it.
    var interest = Poller.Interest(reading: true, writing: false)

    /// A client that sends and never reads gets no more memory than this: we stop reading, its own buffer fills, and its
    /// send waits. That is back-pressure.
    static let most = 65_536

    var wantsToReceive: Bool { !hasEnded && !isBroken }
    var wantsToSend: Bool { !isBroken && !pending.isEmpty }
    var isFinished: Bool { isBroken || hasEnded && pending.isEmpty }

    /// One receive.
    ///
    /// - Parameter buffer: room for what comes. One serves all clients: it is empty again when this returns.
    /// - Returns: true if there may be more: it was not the end, no error, and not "nothing now" (EAGAIN).
    func receive(from descriptor: Int32, using buffer: inout [UInt8]) -> Bool {
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count > 0 {
            uppercase(&buffer, count: count)
            pending += buffer[..<count]
            // Redis does it, too: whoever does not read its answers is disconnected, before it eats our memory.
            if pending.count > Client.most { isBroken = true }
            return !isBroken
        }
        if count == 0 {
            hasEnded = true
        } else if errno == EINTR {
            return true
        } else if errno != EAGAIN {
            // ECONNRESET and the like: this client's end, not the server's.
            isBroken = true
        }
        return false
    }

    /// One send of what is pending.
    ///
    /// - Returns: true if the kernel may take more.
    func send(to descriptor: Int32) -> Bool {
        let count = Sockets.send(descriptor, pending, pending.count, MSG_NOSIGNAL)
        if count >= 0 {
            // Mostly all of it. Its memory is kept for the next answer.
            if count == pending.count { pending.removeAll(keepingCapacity: true) } else { pending.removeFirst(count) }
            return true
        }
        if errno == EINTR { return true }
        if errno != EAGAIN { isBroken = true }
        return false
    }
}

/// a…z become A…Z; every other byte stays: they are bytes, not text in some language.
private func uppercase(_ bytes: inout [UInt8], count: Int) {
    for index in 0..<count where (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(bytes[index]) {
        bytes[index] -= UInt8(ascii: "a") - UInt8(ascii: "A")
    }
}

/// As large as a receive is worth making it: more clients get their turn sooner than one gets more.
func makeReceiveBuffer() -> [UInt8] { [UInt8](repeating: 0, count: 16_384) }

/// A listening socket that does not block: a client that was announced may be gone before accept is called, and then
/// accept would wait for the next one while all others wait for us.
func makeListener(host: String, port: UInt16) throws -> Int32 {
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
func setNonblocking(_ descriptor: Int32) {
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
}

enum Accepted {
    case client(Int32)
    /// The queue is empty.
    case nobody
    /// No descriptor or no memory for one more: it stays in the queue (EMFILE).
    case noRoom
}

/// The next connection, non-blocking.
func acceptClient(_ listener: Int32) throws -> Accepted {
    while true {
        let connection = accept(listener, nil, nil)
        if connection >= 0 {
            setNonblocking(connection)
            return .client(connection)
        }
        switch errno {
        case EAGAIN: return .nobody
        case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .noRoom
        default: throw SocketError("accept", errno)
        }
    }
}
