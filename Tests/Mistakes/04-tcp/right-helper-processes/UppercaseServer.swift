import Sockets

/// Written as in C: pointers, a page of memory from the kernel, cleanup at one label.
func uppercaseServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    while true {
        do {
            serve(try acceptClient(listener))
        } catch {
            close(listener)
            throw error
        }
    }
}

func makeListener(host: String, port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = socket(address.family, SOCK_STREAM | 0o2000000, IPPROTO_TCP_NUMBER)  // SOCK_CLOEXEC
    guard listener >= 0 else { throw SocketError("socket", errno) }
    var on: Int32 = 1
    var call = "setsockopt"
    var result = setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    if result == 0 {
        call = "bind"
        result = address.withSockaddr { bind(listener, $0, $1) }
    }
    if result == 0 {
        call = "listen"
        result = listen(listener, SOMAXCONN)
    }
    if result == 0 { return listener }
    let error = SocketError(call, errno)
    close(listener)
    throw error
}

private let IPPROTO_TCP_NUMBER: Int32 = 6

func acceptClient(_ listener: Int32) throws -> Int32 {
    while true {
        let connection = accept4(listener, nil, nil, 0o2000000)
        if connection >= 0 { return connection }
        switch errno {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM:
            // As long as a signal permits, at most 60 ms.
            var pause = timespec(tv_sec: 0, tv_nsec: 60_000_000)
            nanosleep(&pause, nil)
        case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, ENOPROTOOPT, EOPNOTSUPP, ETIMEDOUT:
            continue
        default:
            throw SocketError("accept4", errno)
        }
    }
}

func serve(_ connection: Int32) {
    let size = 16_384
    let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let memory, memory != MAP_FAILED else {
        close(connection)
        return
    }
    let bytes = memory.bindMemory(to: UInt8.self, capacity: size)
    var alive = true
    while alive {
        let count = read(connection, bytes, size)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { break }
        for place in 0..<count where bytes[place] &- 97 < 26 { bytes[place] -= 32 }
        var done = 0
        while alive && done < count {
            let taken = send(connection, bytes + done, count - done, MSG_NOSIGNAL)
            if taken >= 0 { done += taken } else if errno != EINTR { alive = false }
        }
    }
    munmap(memory, size)
    close(connection)
}
