import Sockets

/// A child process for each client. Nothing is shared, so nothing can be spoiled; it is the dearest way, too.
///
/// After a fork both have every descriptor: the child closes the listener, the parent closes the connection.
func forkServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    reapChildren()
    while true {
        let connection = try acceptClient(listener)
        if forkProcess() == 0 {
            close(listener)
            serve(connection)
            // The end of the process closes the connection. Not return: the child would accept clients, too. Not exit:
            // what the parent had not yet written to its output would be written twice.
            _exit(0)
        }
        // The parent; or there was no child to be had (-1), and this client is turned away.
        close(connection)
    }
}

/// A child that has ended is a zombie until its parent has asked how it ended (waitpid(2)).
private func reapChildren() {
    signal(SIGCHLD) { _ in
        // The handler interrupts other code, which may be about to look at errno.
        let saved = errno
        // One signal may stand for several children; those that still serve are not waited for.
        while true {
            let child = waitpid(-1, nil, WNOHANG)
            if child == 0 || child < 0 && errno != EINTR { break }
        }
        errno = saved
    }
}
