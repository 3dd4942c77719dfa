import Course
import Sockets

// Everything in small steps: what is read is at most 200 bytes, and the wait looks every few milliseconds whether it is
// time to stop.

func unixEchoServer(path: String, stop: Int32) throws {
    let address = try SocketAddress(unixPath: path)

    // What is at the path?
    if try somethingIsThere(path) {
        if try isSocket(path) == false {
            throw SocketError("bind", EADDRINUSE)
        }
        if try somebodyListens(address) {
            throw SocketError("bind", EADDRINUSE)
        }
        let removed = unlink(path)
        if removed == -1 {
            let code = errno
            if code != ENOENT {
                throw SocketError("unlink", code)
            }
        }
    }

    let listener = socket(AF_UNIX, SOCK_STREAM, 0)
    if listener == -1 {
        throw SocketError("socket", errno)
    }
    let bound = address.withSockaddr { bind(listener, $0, $1) }
    if bound == -1 {
        let code = errno
        close(listener)
        throw SocketError("bind", code)
    }
    do {
        if chmod(path, 0o600) == -1 {
            throw SocketError("chmod", errno)
        }
        if listen(listener, 128) == -1 {
            throw SocketError("listen", errno)
        }
        try serveAll(listener, stop)
    } catch {
        close(listener)
        unlink(path)
        throw error
    }
    close(listener)
    unlink(path)
}

private func somethingIsThere(_ path: String) throws -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
}

private func isSocket(_ path: String) throws -> Bool {
    var status = stat()
    if lstat(path, &status) == -1 {
        throw SocketError("lstat", errno)
    }
    return (status.st_mode & S_IFMT) == S_IFSOCK
}

private func somebodyListens(_ address: SocketAddress) throws -> Bool {
    let probe = socket(AF_UNIX, SOCK_STREAM, 0)
    if probe == -1 {
        throw SocketError("socket", errno)
    }
    let flags = fcntl(probe, F_GETFL)
    if flags == -1 || fcntl(probe, F_SETFL, flags | O_NONBLOCK) == -1 {
        let code = errno
        close(probe)
        throw SocketError("fcntl", code)
    }
    var code: Int32 = EINTR
    while code == EINTR {
        let result = address.withSockaddr { connect(probe, $0, $1) }
        code = result == 0 ? 0 : errno
    }
    close(probe)
    return code != ECONNREFUSED
}

private enum Turn {
    case goOn
    case stop
}

private func serveAll(_ listener: Int32, _ stop: Int32) throws {
    while true {
        if try waitFor(listener, Int32(POLLIN), stop) == .stop {
            return
        }
        let client = accept(listener, nil, nil)
        if client == -1 {
            let code = errno
            if code == EINTR || code == ECONNABORTED || code == EAGAIN {
                continue
            }
            throw SocketError("accept", code)
        }
        var turn = Turn.goOn
        do {
            turn = try serveOne(client, stop)
        } catch {
            close(client)
            throw error
        }
        close(client)
        if turn == .stop {
            return
        }
    }
}

private func serveOne(_ client: Int32, _ stop: Int32) throws -> Turn {
    while true {
        // Read a little.
        if try waitFor(client, Int32(POLLIN), stop) == .stop {
            return .stop
        }
        var bytes = [UInt8](repeating: 0, count: 200)
        let count = recv(client, &bytes, 200, MSG_DONTWAIT)
        if count == 0 {
            return .goOn
        }
        if count == -1 {
            let code = errno
            if code == EINTR || code == EAGAIN {
                continue
            }
            return .goOn
        }

        // Send all of it.
        var rest = Array(bytes[0..<count])
        while rest.count > 0 {
            if try waitFor(client, Int32(POLLOUT), stop) == .stop {
                return .stop
            }
            let sent = send(client, rest, rest.count, MSG_DONTWAIT | MSG_NOSIGNAL)
            if sent == -1 {
                let code = errno
                if code == EINTR || code == EAGAIN {
                    continue
                }
                return .goOn
            }
            rest = Array(rest[sent...])
        }
    }
}

/// First a look at `stop`, then a short wait for the other, and again.
private func waitFor(_ descriptor: Int32, _ events: Int32, _ stop: Int32) throws -> Turn {
    while true {
        if try isReady(stop, Int32(POLLIN), milliseconds: 0) {
            return .stop
        }
        if try isReady(descriptor, events, milliseconds: 4) {
            return .goOn
        }
    }
}

/// One look, of so many milliseconds. A signal ends it early.
func isReady(_ descriptor: Int32, _ events: Int32, milliseconds: Int32) throws -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
    let count = poll(&entry, 1, milliseconds)
    if count == -1 {
        let code = errno
        if code == EINTR {
            return false
        }
        throw SocketError("poll", code)
    }
    return count == 1
}
