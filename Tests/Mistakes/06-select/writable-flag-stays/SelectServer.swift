import Course
import Sockets

/// What the server knows of a client.
private struct Line {
    var queue: [UInt8] = []
    /// The kernel had no room the last time: select has to tell when there is some again.
    var isBlocked = false
    var hasSaidAll = false
    var isDead = false

    var isDone: Bool { isDead || (hasSaidAll && queue.isEmpty) }

    mutating func hear(_ fd: Int32) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16_384) { room in
            let count = recv(fd, room.baseAddress, room.count, 0)
            guard count >= 0 else {
                if errno != EAGAIN && errno != EINTR { isDead = true }
                return
            }
            if count == 0 {
                hasSaidAll = true
                return
            }
            queue.reserveCapacity(queue.count + count)
            for byte in room[..<count] {
                queue.append(byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z") ? byte & 0xDF : byte)
            }
        }
        speak(fd)
    }

    /// Sends as much as goes.
    mutating func speak(_ fd: Int32) {
        var sent = 0
        while sent < queue.count {
            let count = queue.withUnsafeBytes { send(fd, $0.baseAddress! + sent, $0.count - sent, MSG_NOSIGNAL) }
            if count < 0 {
                if errno == EINTR { continue }
                if errno == EAGAIN {
                    isBlocked = true
                } else {
                    isDead = true
                }
                break
            }
            sent += count
        }
        queue.removeFirst(sent)
    }
}

func selectServer(host: String, port: UInt16) throws {
    let listener = try openListener(try SocketAddress(host: host, port: port))
    var lines: [Int32: Line] = [:]
    var isFull = false
    defer {
        lines.keys.forEach { close($0) }
        close(listener)
    }

    while true {
        var (toRead, toWrite) = (fd_set(), fd_set())
        fdZero(&toRead)
        fdZero(&toWrite)
        var top: Int32 = listener
        if !isFull { fdSet(listener, &toRead) }
        for (fd, line) in lines {
            top = max(top, fd)
            if !line.hasSaidAll && line.queue.count < 65_536 { fdSet(fd, &toRead) }
            if line.isBlocked { fdSet(fd, &toWrite) }
        }

        let count: Int32
        if isFull {
            var pause = timespec(tv_sec: 0, tv_nsec: 100_000_000)
            count = pselect(top + 1, &toRead, &toWrite, nil, &pause, nil)
        } else {
            count = pselect(top + 1, &toRead, &toWrite, nil, nil, nil)
        }
        if count == -1 {
            guard errno == EINTR else { throw SocketError("pselect", errno) }
            continue
        }

        let mayAccept = isFull || fdIsSet(listener, &toRead) != 0
        for fd in Array(lines.keys) {
            if fdIsSet(fd, &toWrite) != 0 { lines[fd]!.speak(fd) }
            if fdIsSet(fd, &toRead) != 0 { lines[fd]!.hear(fd) }
            if lines[fd]!.isDone {
                lines.removeValue(forKey: fd)
                close(fd)
            }
        }

        guard mayAccept else { continue }
        isFull = false
        accepting: while true {
            let fd = accept(listener, nil, nil)
            if fd < 0 {
                switch errno {
                case EAGAIN: break accepting
                case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                    isFull = true
                    break accepting
                case EBADF, EINVAL, ENOTSOCK, EOPNOTSUPP, EFAULT: throw SocketError("accept", errno)
                default: continue accepting
                }
            }
            if Int(fd) >= Int(FD_SETSIZE) {
                close(fd)
            } else {
                setNonblocking(fd)
                lines[fd] = Line()
            }
        }
    }
}

private func openListener(_ address: SocketAddress) throws -> Int32 {
    let fd = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        var one: Int32 = 1
        try check(
            "setsockopt", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout.size(ofValue: one))))
        try check("bind", address.withSockaddr { bind(fd, $0, $1) })
        setNonblocking(fd)
        try check("listen", listen(fd, SOMAXCONN))
    } catch {
        close(fd)
        throw error
    }
    return fd
}

func setNonblocking(_ descriptor: Int32, _ on: Bool = true) {
    let old = fcntl(descriptor, F_GETFL)
    _ = fcntl(descriptor, F_SETFL, on ? old | O_NONBLOCK : old & ~O_NONBLOCK)
}
