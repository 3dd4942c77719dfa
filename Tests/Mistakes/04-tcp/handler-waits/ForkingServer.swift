import Sockets

/// Many clients at once: a child process each. A descriptor is open until everybody who has it has closed it, and after a
/// fork two have it: the child closes the listener, the parent closes the connection.
func forkingServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    reapChildren()
    while true {
        let connection = try acceptClient(listener)
        switch forkProcess() {
        case 0:
            close(listener)
            serve(connection)
            // Not exit: what the parent had not yet written to its output would be written again, by every child. And
            // not return: a child that went on would accept clients, too.
            _exit(0)
        case -1:
            // No room for another process (EAGAIN, ENOMEM). This client is turned away; those who are served stay.
            close(connection)
        default:
            // Ours to close as well, or the client would never see the end of the stream.
            close(connection)
        }
    }
}

/// A child that has ended stays in the process table, a zombie, until its parent has asked how it ended (waitpid(2)).
func reapChildren() {
    signal(SIGCHLD) { _ in
        // The handler interrupts some other code, which may be about to look at errno.
        let saved = errno
        // A loop: children that end at the same time may send one signal between them. WNOHANG: those that still
        // serve are not waited for.
        while waitpid(-1, nil, 0) > 0 {}
        errno = saved
    }
}
