import Sockets

func forkServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    reapChildren()
    while true {
        let connection = try acceptClient(listener)
        if forkProcess() == 0 {
            close(listener)
            serve(connection)
            _exit(0)
        }
        close(connection)
    }
}

private func reapChildren() {
    signal(SIGCHLD) { _ in
        let saved = errno
        waitpid(-1, nil, WNOHANG)
        errno = saved
    }
}
