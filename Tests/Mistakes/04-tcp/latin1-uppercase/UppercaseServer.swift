import Sockets

/// One client after another: while this one is served, the next wait in the listener's queue.
func uppercaseServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    while true {
        serve(try acceptClient(listener))
    }
}

/// A socket that connections can be accepted from. The three servers of this lesson share it.
func makeListener(host: String, port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        // Without it bind fails with EADDRINUSE for a minute after a restart, while old connections on this port are in
        // TIME_WAIT. (On Linux it does not let two servers listen on one port.)
        var on: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, size))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        // The kernel completes handshakes for us and queues the connections: as many as it permits, not 5.
        try check("listen", listen(listener, SOMAXCONN))
        return listener
    } catch {
        close(listener)
        throw error
    }
}

/// The next connection. Throws only what waiting would not cure: what goes wrong with one client, or for a while, must not
/// end the server for all.
func acceptClient(_ listener: Int32) throws -> Int32 {
    while true {
        let connection = accept(listener, nil, nil)
        if connection >= 0 { return connection }
        switch errno {
        case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH:
            // A signal; or a client that was gone before we got to it (accept(2): the new connection's own errors are
            // reported here).
            continue
        case EMFILE, ENFILE, ENOBUFS, ENOMEM:
            // No room now, and the client still in the queue: trying at once would only spin. Clients leave, in time.
            poll(nil, 0, 50)
        default:
            throw SocketError("accept", errno)
        }
    }
}

/// Answers each byte as it comes, in upper case, until the client ends its side. Owns the connection, and closes it.
///
/// What breaks here (a client that resets, or leaves without reading) is this client's end only, so nothing is thrown.
func serve(_ connection: Int32) {
    defer { close(connection) }
    var buffer = [UInt8](repeating: 0, count: 16_384)
    while true {
        let count = recv(connection, &buffer, buffer.count, 0)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return }
        let answer = buffer[..<count].map(uppercase)
        do { try sendAll(connection, answer) } catch { return }
    }
}

/// a…z become A…Z; every other byte stays: they are bytes, not text in some language.
func uppercase(_ byte: UInt8) -> UInt8 {
    // By Unicode, byte by byte: so nothing can be cut in the middle.
    guard let upper = UnicodeScalar(byte).properties.uppercaseMapping.unicodeScalars.first else { return byte }
    return UInt8(exactly: upper.value) ?? byte
}
