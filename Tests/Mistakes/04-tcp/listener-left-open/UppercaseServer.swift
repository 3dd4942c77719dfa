import Sockets

func uppercaseServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    while true {
        serve(try acceptClient(listener))
    }
}

func makeListener(host: String, port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    var on: Int32 = 1
    let size = socklen_t(MemoryLayout<Int32>.size)
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, size))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))
    return listener
}

func acceptClient(_ listener: Int32) throws -> Int32 {
    while true {
        let connection = accept(listener, nil, nil)
        if connection >= 0 { return connection }
        switch errno {
        case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH:
            continue
        case EMFILE, ENFILE, ENOBUFS, ENOMEM:
            poll(nil, 0, 50)
        default:
            throw SocketError("accept", errno)
        }
    }
}

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

func uppercase(_ byte: UInt8) -> UInt8 {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) ? byte - 32 : byte
}
