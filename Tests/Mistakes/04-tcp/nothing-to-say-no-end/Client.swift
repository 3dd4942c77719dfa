import Course
import Sockets

/// One thread, one poll, both directions.
func client(message: [UInt8], host: String, port: UInt16) throws -> [UInt8] {
    let server = try SocketAddress(host: host, port: port)
    let line = try check("socket", socket(server.family, SOCK_STREAM, 0))
    defer { close(line) }
    try dial(line, server)

    var talk = Talk(line: line, unsent: message[...])
    while !talk.isOver { try talk.step() }
    return talk.answer
}

private func dial(_ line: Int32, _ server: SocketAddress) throws {
    let result = server.withSockaddr { connect(line, $0, $1) }
    if result == 0 { return }
    if errno != EINTR { throw SocketError("connect", errno) }
    // It goes on without us.
    var done = pollfd(fd: line, events: Int16(POLLOUT), revents: 0)
    while poll(&done, 1, -1) == -1 {
        guard errno == EINTR else { throw SocketError("poll", errno) }
    }
    var error: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    try check("getsockopt", getsockopt(line, SOL_SOCKET, SO_ERROR, &error, &size))
    guard error == 0 else { throw SocketError("connect", error) }
}

private struct Talk {
    let line: Int32
    var unsent: ArraySlice<UInt8>
    var answer: [UInt8] = []
    var isOver = false
    private var page = [UInt8](repeating: 0, count: 32_768)

    init(line: Int32, unsent: ArraySlice<UInt8>) {
        self.line = line
        self.unsent = unsent
    }

    mutating func step() throws {
        // Room is of interest only as long as there is something to put into it.
        let interest = unsent.isEmpty ? POLLIN : POLLIN | POLLOUT
        var entry = pollfd(fd: line, events: Int16(interest), revents: 0)
        guard poll(&entry, 1, -1) > 0 else {
            if errno == EINTR { return }
            throw SocketError("poll", errno)
        }
        let seen = Int32(entry.revents)
        if seen & Int32(POLLIN | POLLHUP | POLLERR) != 0 { try listen() }
        if seen & Int32(POLLOUT) != 0, !isOver { try speak() }
    }

    private mutating func listen() throws {
        let room = page.count
        let count = recv(line, &page, room, MSG_DONTWAIT)
        if count == 0 { isOver = true }
        if count > 0 { answer += page[..<count] }
        if count < 0 { try unlessTemporary("recv") }
    }

    private mutating func speak() throws {
        guard !unsent.isEmpty else { return }
        let count = unsent.withUnsafeBytes { send(line, $0.baseAddress, $0.count, MSG_DONTWAIT | MSG_NOSIGNAL) }
        if count < 0 { return try unlessTemporary("send") }
        unsent = unsent.dropFirst(count)
        // That was all: say so.
        if unsent.isEmpty { try check("shutdown", shutdown(line, SHUT_WR)) }
    }

    private func unlessTemporary(_ call: String) throws {
        let code = errno
        if code != EINTR && code != EAGAIN { throw SocketError(call, code) }
    }
}
