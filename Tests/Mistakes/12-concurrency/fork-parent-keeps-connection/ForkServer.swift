import Sockets

func forkServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    while true {
        let connection = try acceptClient(listener)
        if forkProcess() == 0 {
            close(listener)
            serve(connection)
            _exit(0)
        }
        waitpid(-1, nil, WNOHANG)
    }
}

private func reapChildren() {
    signal(SIGCHLD) { _ in
        let saved = errno
        while true {
            let child = waitpid(-1, nil, WNOHANG)
            if child == 0 || child < 0 && errno != EINTR { break }
        }
        errno = saved
    }
}
