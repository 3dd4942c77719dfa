import Course
import Sockets

/// A loop around one poll. What has been received and not yet sent back lies in `pending`.
private final class EchoLoop {
    private let listener: Int32
    private let stop: Int32
    private var client: Int32 = -1
    private var pending: [UInt8] = []
    private var room = [UInt8](repeating: 0, count: 65_536)

    init(listener: Int32, stop: Int32) {
        self.listener = listener
        self.stop = stop
    }

    deinit { hangUp() }

    func run() throws {
        while true {
            // One thing at a time: a guest, its bytes, or room for the answer.
            var watched = [pollfd(fd: stop, events: Int16(POLLIN), revents: 0)]
            if client < 0 {
                watched.append(pollfd(fd: listener, events: Int16(POLLIN), revents: 0))
            } else {
                watched.append(pollfd(fd: client, events: Int16(pending.isEmpty ? POLLIN : POLLOUT), revents: 0))
            }
            if poll(&watched, nfds_t(watched.count), -1) < 0 {
                if errno == EINTR { continue }
                throw SocketError("poll", errno)
            }
            if watched[0].revents != 0 { return }
            if client < 0 {
                try welcome()
            } else if pending.isEmpty {
                read()
            } else {
                write()
            }
        }
    }

    private func welcome() throws {
        let number = accept(listener, nil, nil)
        if number >= 0 {
            client = number
        } else if errno != EINTR && errno != ECONNABORTED && errno != EAGAIN {
            throw SocketError("accept", errno)
        }
    }

    private func read() {
        let count = recv(client, &room, room.count, MSG_DONTWAIT)
        if count > 0 {
            pending = Array(room[..<count])
        } else if count == 0 || (errno != EINTR && errno != EAGAIN) {
            hangUp()
        }
    }

    private func write() {
        let count = pending.withUnsafeBytes { send(client, $0.baseAddress, $0.count, MSG_DONTWAIT | MSG_NOSIGNAL) }
        if count >= 0 {
            pending.removeFirst(count)
        } else if errno != EINTR && errno != EAGAIN {
            hangUp()
        }
    }

    private func hangUp() {
        guard client >= 0 else { return }
        close(client)
        client = -1
    }
}

func unixEchoServer(path: String, stop: Int32) throws {
    let address = try SocketAddress(unixPath: path)
    var status = stat()
    if lstat(path, &status) == 0 {
        guard status.st_mode & S_IFMT == S_IFSOCK, try !answers(address) else { throw SocketError("bind", EADDRINUSE) }
        if unlink(path) != 0 && errno != ENOENT { throw SocketError("unlink", errno) }
    }
    let listener = try check("socket", socket(AF_UNIX, SOCK_STREAM, 0))
    defer { close(listener) }
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    defer { unlink(path) }
    try check("chmod", chmod(path, 0o600))
    try check("listen", listen(listener, 64))
    try EchoLoop(listener: listener, stop: stop).run()
}

/// Is anybody behind that door? Only a refusal says no.
private func answers(_ address: SocketAddress) throws -> Bool {
    let probe = try check("socket", socket(AF_UNIX, SOCK_STREAM, 0))
    defer { close(probe) }
    try check("fcntl", fcntl(probe, F_SETFL, O_NONBLOCK))
    return address.withSockaddr { connect(probe, $0, $1) } == 0 || errno != ECONNREFUSED
}
