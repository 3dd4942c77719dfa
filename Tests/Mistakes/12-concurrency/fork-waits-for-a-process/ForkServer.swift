import Sockets

func forkServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    signal(SIGCHLD) { _ in
        let before = errno
        while waitpid(-1, nil, WNOHANG) > 0 {}
        errno = before
    }
    while true {
        let connection = try acceptClient(listener)
        if try newProcess() {
            close(connection)
            continue
        }
        close(listener)
        serve(connection)
        _exit(0)
    }
}

/// - Returns: true in the parent, false in the child.
private func newProcess() throws -> Bool {
    while true {
        let number = forkProcess()
        if number >= 0 { return number > 0 }
        // No room for a process: others end in time, as with descriptors.
        poll(nil, 0, 50)
    }
}
