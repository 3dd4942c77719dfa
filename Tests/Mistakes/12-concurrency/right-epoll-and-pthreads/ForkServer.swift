import Sockets

func forkServer(host: String, port: UInt16) throws {
    let listener = try openListener(host, port)
    defer { close(listener) }
    // POSIX: children of who ignores SIGCHLD leave nothing behind.
    signal(SIGCHLD, SIG_IGN)
    try welcome(listener) { fd in
        if forkProcess() == 0 {
            close(listener)
            converse(fd)
            _exit(0)
        }
        close(fd)
    }
}
