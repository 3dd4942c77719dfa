import Course
import Sockets

/// A listening socket that blocks: one thread does nothing but accept.
func listening(host: String, port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    var on: Int32 = 1
    let size = socklen_t(MemoryLayout<Int32>.size)
    guard setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, size) == 0,
        address.withSockaddr({ bind(listener, $0, $1) }) == 0, listen(listener, 1024) == 0
    else {
        let code = errno
        Sockets.close(listener)
        throw SocketError("bind", code)
    }
    return listener
}

/// The next client; waits for it, and for a free descriptor if there is none.
func nextClient(_ listener: Int32) throws -> Int32 {
    while true {
        let client = accept4(listener, nil, nil, closeOnExec)
        if client >= 0 { return client }
        switch errno {
        case EINTR, ECONNABORTED, EPROTO, ENETDOWN, EHOSTUNREACH, ENETUNREACH, EAGAIN: continue
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: usleep(100_000)
        default: throw SocketError("accept", errno)
        }
    }
}

/// SOCK_CLOEXEC, which Swift knows as an enum.
private let closeOnExec = Int32(SOCK_CLOEXEC.rawValue)

func now() -> Milliseconds {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}

/// - Returns: what poll saw; 0 if the time is over.
func wait(_ descriptor: Int32, for events: Int32, until deadline: Milliseconds?) -> Int32 {
    var asked = pollfd(fd: descriptor, events: Int16(events), revents: 0)
    while true {
        let left = deadline.map { $0 - now() }
        if let left, left <= 0 { return 0 }
        let count = poll(&asked, 1, left.map { Int32(clamping: $0) } ?? -1)
        if count > 0 { return Int32(asked.revents) }
        if count < 0 && errno != EINTR { return Int32(POLLERR) }
    }
}

/// Receives once; a signal does not count.
func receiveSome(_ descriptor: Int32, _ buffer: inout [UInt8], _ flags: Int32 = 0) -> Int {
    while true {
        let count = recv(descriptor, &buffer, buffer.count, flags)
        if count >= 0 || errno != EINTR { return count }
    }
}

/// Blocks until all is sent. False: the connection is broken, or SO_SNDTIMEO is over.
func sendWhole(_ descriptor: Int32, _ bytes: [UInt8]) -> Bool {
    bytes.withUnsafeBytes { all in
        var rest = all[...]
        while !rest.isEmpty {
            let piece = UnsafeRawBufferPointer(rebasing: rest)
            let count = send(descriptor, piece.baseAddress, piece.count, MSG_NOSIGNAL)
            if count < 0 {
                if errno == EINTR { continue }
                return false
            }
            rest = rest.dropFirst(count)
        }
        return true
    }
}
