import Course
import Sockets

func uppercaseServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    while true {
        let visitor = try acceptClient(listener)
        serve(visitor)
    }
}

func makeListener(host: String, port: UInt16) throws -> Int32 {
    let name = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(name.family, SOCK_STREAM, 0))
    var yes: Int32 = 1
    var step = "setsockopt"
    var outcome = setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout.size(ofValue: yes)))
    if outcome == 0 {
        step = "bind"
        outcome = name.withSockaddr { bind(listener, $0, $1) }
    }
    if outcome == 0 {
        step = "listen"
        outcome = listen(listener, SOMAXCONN)
    }
    guard outcome == 0 else {
        let reason = SocketError(step, errno)
        close(listener)
        throw reason
    }
    return listener
}

func acceptClient(_ listener: Int32) throws -> Int32 {
    let passing: Set<Int32> = [EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH]
    let shortage: Set<Int32> = [EMFILE, ENFILE, ENOBUFS, ENOMEM]
    while true {
        let visitor = accept(listener, nil, nil)
        guard visitor < 0 else { return visitor }
        let code = errno
        if shortage.contains(code) {
            poll(nil, 0, 50)
        } else if !passing.contains(code) {
            throw SocketError("accept", code)
        }
    }
}

private enum News { case bytes, over }

/// Waits, at no cost, until there is something to read or nobody to read for.
private func news(from visitor: Int32) -> News {
    let hungUp: Int16 = 0x2000  // POLLRDHUP: the peer has ended its side
    let gone = hungUp | Int16(POLLHUP) | Int16(POLLERR) | Int16(POLLNVAL)
    var watch = pollfd(fd: visitor, events: Int16(POLLIN) | hungUp, revents: 0)
    while poll(&watch, 1, -1) < 0 {
        if errno != EINTR { return .over }
    }
    return watch.revents & gone != 0 ? .over : .bytes
}

func serve(_ visitor: Int32) {
    var buffer = [UInt8](repeating: 0, count: 8192)
    visit: while news(from: visitor) == .bytes {
        let count = recv(visitor, &buffer, buffer.count, 0)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { break }
        for i in 0..<count where (97...122).contains(buffer[i]) { buffer[i] -= 32 }
        do { try sendAll(visitor, Array(buffer.prefix(count))) } catch { break visit }
    }
    close(visitor)
}
