import Sockets

func iterativeServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    while true { converse(try acceptClient(listener)) }
}

private func converse(_ connection: Int32) {
    defer { close(connection) }
    serve(connection)
}

// What the five share.

func makeListener(host: String, port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    return try opened(check("socket", socket(address.family, SOCK_STREAM, 0))) { listener in
        var one: Int32 = 1
        try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, 4))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
    }
}

/// The descriptor; closed if something cannot be done with it.
private func opened(_ descriptor: Int32, _ prepare: (Int32) throws -> Void) throws -> Int32 {
    do {
        try prepare(descriptor)
        return descriptor
    } catch {
        close(descriptor)
        throw error
    }
}

private enum Verdict { case again, later, never }

private func verdict(on code: Int32) -> Verdict {
    switch code {
    case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: .again
    case EMFILE, ENFILE, ENOBUFS, ENOMEM: .later
    default: .never
    }
}

func acceptClient(_ listener: Int32) throws -> Int32 {
    while true {
        let connection = accept(listener, nil, nil)
        guard connection < 0 else { return connection }
        let code = errno
        switch verdict(on: code) {
        case .again: continue
        case .later: usleep(50_000)
        case .never: throw SocketError("accept", code)
        }
    }
}

func serve(_ connection: Int32) {
    while let question = receiveSome(connection), sendAll(connection, question.map { capitals[Int($0)] }) {}
}

/// nil: the end, or a broken connection.
private func receiveSome(_ connection: Int32) -> [UInt8]? {
    var result = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: 2_048) { room, count in
        repeat { result = recv(connection, room.baseAddress, room.count, 0) } while result < 0 && errno == EINTR
        count = max(0, result)
    }
    return result > 0 ? bytes : nil
}

func sendAll(_ connection: Int32, _ bytes: [UInt8]) -> Bool {
    sendRest(connection, bytes[...])
}

private func sendRest(_ connection: Int32, _ bytes: ArraySlice<UInt8>) -> Bool {
    var rest = bytes
    while true {
        if rest.isEmpty { return true }
        let count = rest.withUnsafeBytes { bytes in
            var part = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
            return withUnsafeMutablePointer(to: &part) { parts in
                var message = msghdr()
                message.msg_iov = parts
                message.msg_iovlen = 1
                return sendmsg(connection, &message, Int32(MSG_NOSIGNAL))
            }
        }
        if count < 0 && errno == EINTR { continue }
        if count < 0 { return false }
        rest = rest[(rest.startIndex + count)...]
    }
}

/// What each byte becomes.
private let capitals: [UInt8] = (UInt8.min...UInt8.max).map(uppercase)

func uppercase(_ byte: UInt8) -> UInt8 {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"): byte & 0b1101_1111
    default: byte
    }
}
