import Sockets

/// No signals: as long as there are children, the wait for the next client is cut into half seconds, and after each of
/// them those who have ended are collected.
func forkingServer(host: String, port: UInt16) throws {
    let listener = try listen(host, port, SOCK_NONBLOCK)
    defer { close(listener) }
    var children = 0
    while true {
        var waiting = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        let ready = poll(&waiting, 1, children > 0 ? 500 : -1)
        if ready < 0 && errno != EINTR { throw SocketError("poll", errno) }
        while children > 0 {
            let child = waitpid(-1, nil, WNOHANG)
            if child > 0 { children -= 1 } else if child == 0 || errno != EINTR { break }
        }
        guard ready > 0, let fd = try next(listener) else { continue }
        switch forkProcess() {
        case 0:
            close(listener)
            converse(fd)
            _exit(0)
        case 1...:
            children += 1
            close(fd)
        default:
            close(fd)
        }
    }
}
