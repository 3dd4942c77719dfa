import Course
import Sockets

func unixEchoServer(path: String, stop: Int32) throws {
    let address = try SocketAddress(unixPath: path)
    try makeRoom(at: path, for: address)
    let listener = try check("socket", socket(AF_UNIX, SOCK_STREAM, 0))
    defer { close(listener) }
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    defer { unlink(path) }
    try check("chmod", chmod(path, 0o600))
    try check("listen", listen(listener, SOMAXCONN))

    var guest: Guest?
    defer { guest?.leave() }
    while true {
        // One guest at a time: while there is one, the door is not looked at.
        var waiting = [
            pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
            pollfd(fd: guest?.descriptor ?? listener, events: guest?.wish ?? Int16(POLLIN), revents: 0),
        ]
        if poll(&waiting, 2, -1) < 0 {
            if errno == EINTR { continue }
            throw SocketError("poll", errno)
        }
        if waiting[0].revents != 0 { return }
        guard waiting[1].revents != 0 else { continue }
        if var present = guest {
            let stays = present.move(Int32(waiting[1].revents))
            if stays {
                guest = present
            } else {
                present.leave()
                guest = nil
            }
            continue
        }
        let descriptor = accept(listener, nil, nil)
        if descriptor >= 0 {
            guest = Guest(descriptor: descriptor)
        } else if errno != EINTR && errno != ECONNABORTED && errno != EAGAIN {
            throw SocketError("accept", errno)
        }
    }
}

/// A client, and what it has sent and not got back yet.
private struct Guest {
    let descriptor: Int32
    private var waiting: [UInt8] = []
    private static let most = 65_536

    init(descriptor: Int32) { self.descriptor = descriptor }

    /// To read while there is room, to write while there is something.
    var wish: Int16 {
        var events: Int32 = 0
        if waiting.count < Guest.most { events |= POLLIN }
        if !waiting.isEmpty { events |= POLLOUT }
        return Int16(events)
    }

    /// False when the client has ended or is broken.
    mutating func move(_ happened: Int32) -> Bool {
        if !waiting.isEmpty, happened & (POLLOUT | POLLERR | POLLHUP) != 0 {
            let sent = send(descriptor, waiting, waiting.count, MSG_DONTWAIT | MSG_NOSIGNAL)
            if sent >= 0 {
                waiting.removeFirst(sent)
            } else if errno != EINTR && errno != EAGAIN {
                return false
            }
        }
        guard waiting.count < Guest.most, happened & (POLLIN | POLLERR | POLLHUP) != 0 else { return true }
        var room = [UInt8](repeating: 0, count: Guest.most - waiting.count)
        let got = recv(descriptor, &room, room.count, MSG_DONTWAIT)
        if got > 0 { waiting += room[..<got] }
        if got < 0 { return errno == EINTR || errno == EAGAIN }
        return got != 0
    }

    func leave() { close(descriptor) }
}

private func makeRoom(at path: String, for address: SocketAddress) throws {
    var found = stat()
    guard lstat(path, &found) == 0 else { return }
    let inUse = SocketError("bind", EADDRINUSE)
    if found.st_mode & S_IFMT != S_IFSOCK { throw inUse }
    let knock = try check("socket", socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0))
    defer { close(knock) }
    if address.withSockaddr({ connect(knock, $0, $1) }) == 0 || errno != ECONNREFUSED { throw inUse }
    if unlink(path) < 0 && errno != ENOENT { throw SocketError("unlink", errno) }
}
