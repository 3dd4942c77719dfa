import Sockets

func forkingServer(host: String, port: UInt16) throws {
    var action = sigaction()
    sigemptyset(&action.sa_mask)
    // No SA_RESTART: then accept comes back with EINTR, and is called again. Nothing is lost by that.
    action.sa_flags = 0
    action.__sigaction_handler.sa_handler = { _ in
        let before = errno
        var isOver = false
        while isOver == false {
            let child = waitpid(-1, nil, WNOHANG)
            if child == 0 {
                isOver = true
            }
            if child == -1 && errno != EINTR {
                isOver = true
            }
        }
        errno = before
    }
    if sigaction(SIGCHLD, &action, nil) == -1 {
        throw SocketError("sigaction", errno)
    }

    let listener = try makeListener(host: host, port: port)
    while true {
        let connection: Int32
        do {
            connection = try acceptClient(listener)
        } catch {
            close(listener)
            throw error
        }

        let process = forkProcess()
        if process == -1 {
            // No room for another process.
            close(connection)
        } else if process == 0 {
            // The child.
            close(listener)
            serve(connection)
            _exit(0)
        } else {
            // The parent.
            close(connection)
        }
    }
}
