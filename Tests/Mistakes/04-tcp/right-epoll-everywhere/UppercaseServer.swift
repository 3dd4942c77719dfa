import Sockets

func uppercaseServer(host: String, port: UInt16) throws {
    let door = try Door(host, port)
    defer { door.close() }
    while true { serve(try door.next()) }
}

/// A listener that never waits in accept, and the epoll that waits in its place.
struct Door {
    let listener: Int32
    let epoll: Int32

    init(_ host: String, _ port: UInt16) throws {
        let address = try SocketAddress(host: host, port: port)
        var opened: [Int32] = []
        do {
            listener = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
            opened.append(listener)
            var on: Int32 = 1
            try check(
                "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
            let socket = listener
            try check("bind", address.withSockaddr { bind(socket, $0, $1) })
            try check("listen", listen(listener, SOMAXCONN))
            epoll = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
            opened.append(epoll)
            try Door.watch(epoll, listener, EPOLLIN.rawValue | EPOLLET.rawValue)
        } catch {
            for descriptor in opened { Sockets.close(descriptor) }
            throw error
        }
    }

    static func watch(_ epoll: Int32, _ descriptor: Int32, _ events: UInt32) throws {
        var event = epoll_event()
        event.events = events
        event.data.fd = descriptor
        try check("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event))
    }

    /// The next connection, non-blocking. `other` hears of every other descriptor that is watched here.
    func next(other: (Int32) -> Void = { _ in }) throws -> Int32 {
        while true {
            let connection = accept4(listener, nil, nil, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if connection >= 0 { return connection }
            switch errno {
            case EAGAIN:
                // Drained: the edge is behind us, a new one will come.
                var event = epoll_event()
                let count = epoll_wait(epoll, &event, 1, -1)
                if count < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
                if count > 0 && event.data.fd != listener { other(event.data.fd) }
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, EPERM, ENOPROTOOPT, EHOSTDOWN,
                ENONET:
                continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                poll(nil, 0, 50)
            case let code:
                throw SocketError("accept4", code)
            }
        }
    }

    func close() {
        Sockets.close(epoll)
        Sockets.close(listener)
    }
}

/// Owns the connection.
func serve(_ connection: Int32) {
    defer { close(connection) }
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 10_000, alignment: 16)
    defer { room.deallocate() }
    do {
        while true {
            switch try receiveSome(connection, room) {
            case .end: return
            case .nothingYet: try waitFor(connection, POLLIN)
            case .bytes(let count):
                try sendAll(connection, room[..<count].map { (97...122).contains($0) ? $0 ^ 32 : $0 })
            }
        }
    } catch {
        // This client's end, and nobody else's.
    }
}
