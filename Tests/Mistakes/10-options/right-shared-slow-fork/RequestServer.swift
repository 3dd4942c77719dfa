import Course
import Sockets

func requestServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port, sharing: false)
    defer {
        close(listener)
    }
    try serveClients(listener)
}

func makeListener(host: String, port: UInt16, sharing: Bool) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, Int32(SOCK_STREAM.rawValue), 0))
    do {
        try set(listener, SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR", to: 1 as Int32)
        if sharing {
            try set(listener, SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT", to: 1 as Int32)
        }
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, Int32(SOMAXCONN)))
    } catch {
        close(listener)
        throw error
    }
    return listener
}

/// A process for each client. We wait until it has ended: one client after another. Whatever it does to itself, the next
/// client finds a server without a scratch.
func serveClients(_ listener: Int32) throws {
    while true {
        let connection = accept(listener, nil, nil)
        if connection < 0 {
            let reason = errno
            switch reason {
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH:
                break
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                usleep(50_000)
            default:
                throw SocketError("accept", reason)
            }
            continue
        }
        let child = forkProcess()
        if child == 0 {
            close(listener)
            talk(connection)
            close(connection)
            _exit(0)
        }
        if child < 0 {
            // No process to be had: then by ourselves.
            talk(connection)
            close(connection)
            continue
        }
        close(connection)
        while waitpid(child, nil, 0) < 0 {
            if errno != EINTR {
                break
            }
        }
    }
}

/// Reads one byte at a time, and answers each line as soon as its newline is there.
private func talk(_ connection: Int32) {
    var line = [UInt8]()
    while true {
        var byte: UInt8 = 0
        let count = recv(connection, &byte, 1, 0)
        if count < 0 {
            if errno == EINTR {
                continue
            }
            return
        }
        if count == 0 {
            return
        }
        if byte != 10 {
            if line.count == 1024 {
                return
            }
            line.append(byte)
            continue
        }
        if !answer(connection, line) {
            return
        }
        line = []
    }
}

/// Corked: the pieces below leave together, when the cork is taken out.
private func answer(_ connection: Int32, _ line: [UInt8]) -> Bool {
    if !cork(connection, true) {
        return false
    }
    var allSent = sendWhole(connection, Array(String(line.count).utf8))
    allSent = allSent && sendWhole(connection, [10])
    var start = 0
    while allSent && start < line.count {
        let end = min(start + 200, line.count)
        var piece = [UInt8]()
        for byte in line[start..<end] {
            if byte >= 97 && byte <= 122 {
                piece.append(byte - 32)
            } else {
                piece.append(byte)
            }
        }
        allSent = sendWhole(connection, piece)
        start = end
    }
    return cork(connection, false) && allSent
}

private func cork(_ connection: Int32, _ isIn: Bool) -> Bool {
    var value: Int32 = isIn ? 1 : 0
    return setsockopt(
        connection, Int32(IPPROTO_TCP), TCP_CORK, &value, socklen_t(MemoryLayout<Int32>.size)) == 0
}

private func sendWhole(_ connection: Int32, _ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
        let count = bytes.withUnsafeBytes { all in
            send(connection, all.baseAddress! + sent, all.count - sent, MSG_NOSIGNAL)
        }
        if count < 0 {
            if errno == EINTR {
                continue
            }
            return false
        }
        sent += count
    }
    return true
}
