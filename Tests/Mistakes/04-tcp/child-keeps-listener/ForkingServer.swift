import Sockets

func forkingServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    reapChildren()
    while true {
        let connection = try acceptClient(listener)
        switch forkProcess() {
        case 0:
            serve(connection)
            _exit(0)
        case -1:
            close(connection)
        default:
            close(connection)
        }
    }
}

func reapChildren() {
    signal(SIGCHLD) { _ in
        let saved = errno
        while true {
            let child = waitpid(-1, nil, WNOHANG)
            if child == 0 || (child < 0 && errno != EINTR) { break }
        }
        errno = saved
    }
}
