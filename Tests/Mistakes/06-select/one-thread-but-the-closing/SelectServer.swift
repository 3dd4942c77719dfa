import Course
import Dispatch
import Sockets

/// Closing may take its time (the last bytes, SO_LINGER), and between two selects nothing may wait. So it is not done here.
private let reaper = DispatchQueue(label: "reaper")

private func retire(_ descriptor: Int32) {
    reaper.async {
        shutdown(descriptor, SHUT_RDWR)
        close(descriptor)
    }
}

func setNonblocking(_ descriptor: Int32, _ on: Bool = true) {
    let flags = fcntl(descriptor, F_GETFL)
    _ = fcntl(descriptor, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK)
}

private enum Phase { case open, draining, gone }

private struct Session {
    var phase = Phase.open
    var owed: [UInt8] = []

    mutating func settle() { if phase == .draining && owed.isEmpty { phase = .gone } }

    mutating func receive(_ descriptor: Int32) {
        withUnsafeTemporaryAllocation(byteCount: 16_384, alignment: 1) { room in
            let count = recv(descriptor, room.baseAddress, room.count, 0)
            if count > 0 {
                owed.append(contentsOf: room[..<count].lazy.map { $0 >= 0x61 && $0 <= 0x7A ? $0 ^ 0x20 : $0 })
            } else if count == 0 {
                phase = .draining
            } else if errno != EAGAIN, errno != EINTR {
                phase = .gone
            }
        }
        settle()
    }

    mutating func deliver(_ descriptor: Int32) {
        let count = send(descriptor, owed, owed.count, MSG_NOSIGNAL)
        if count >= 0 {
            owed.removeFirst(count)
        } else if errno != EAGAIN, errno != EINTR {
            phase = .gone
        }
        settle()
    }
}

func selectServer(host: String, port: UInt16) throws {
    let listener = try bindAndListen(SocketAddress(host: host, port: port))
    defer { close(listener) }
    var sessions: [Int32: Session] = [:]
    var full = false

    while true {
        var reading = fd_set(), writing = fd_set()
        fdZero(&reading)
        fdZero(&writing)
        if !full { fdSet(listener, &reading) }
        for (descriptor, session) in sessions {
            if session.phase == .open && session.owed.count <= 65_536 { fdSet(descriptor, &reading) }
            if !session.owed.isEmpty { fdSet(descriptor, &writing) }
        }
        let limit = sessions.keys.reduce(listener, max) + 1
        let result: Int32
        if full {
            var delay = timeval(tv_sec: 0, tv_usec: 100_000)
            result = select(limit, &reading, &writing, nil, &delay)
        } else {
            result = select(limit, &reading, &writing, nil, nil)
        }
        if result < 0 {
            if errno == EINTR { continue }
            throw SocketError("select", errno)
        }

        for descriptor in Array(sessions.keys) {
            guard var session = sessions.removeValue(forKey: descriptor) else { continue }
            if fdIsSet(descriptor, &reading) != 0 { session.receive(descriptor) }
            if session.phase != .gone, !session.owed.isEmpty { session.deliver(descriptor) }
            if session.phase == .gone {
                retire(descriptor)
            } else {
                sessions[descriptor] = session
            }
        }

        if full || fdIsSet(listener, &reading) != 0 {
            full = false
            collecting: while true {
                let descriptor = accept(listener, nil, nil)
                if descriptor >= Int32(FD_SETSIZE) {
                    close(descriptor)
                } else if descriptor >= 0 {
                    setNonblocking(descriptor)
                    sessions[descriptor] = Session()
                } else {
                    switch errno {
                    case EAGAIN: break collecting
                    case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                        full = true
                        break collecting
                    case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
                    default: throw SocketError("accept", errno)
                    }
                }
            }
        }
    }
}

private func bindAndListen(_ address: SocketAddress) throws -> Int32 {
    let descriptor = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        var on: Int32 = 1
        try check(
            "setsockopt", setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
        try check("bind", address.withSockaddr { bind(descriptor, $0, $1) })
        try check("listen", listen(descriptor, SOMAXCONN))
    } catch {
        close(descriptor)
        throw error
    }
    setNonblocking(descriptor)
    return descriptor
}
