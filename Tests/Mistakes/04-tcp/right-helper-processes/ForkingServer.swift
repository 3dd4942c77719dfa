import Sockets

/// Children announce their end through a descriptor, so that poll can wait for a client and for them at once.
func forkingServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    // Between poll and accept a client may have gone: then accept must not wait.
    let flags = try check("fcntl", fcntl(listener, F_GETFL))
    try check("fcntl", fcntl(listener, F_SETFL, flags | O_NONBLOCK))

    var mask = sigset_t()
    var before = sigset_t()
    sigemptyset(&mask)
    sigaddset(&mask, SIGCHLD)
    pthread_sigmask(SIG_BLOCK, &mask, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    let ends = try check("signalfd", signalfd(-1, &mask, Int32(O_NONBLOCK)))
    defer { close(ends) }

    var watched = [
        pollfd(fd: listener, events: Int16(POLLIN), revents: 0), pollfd(fd: ends, events: Int16(POLLIN), revents: 0),
    ]
    while true {
        if poll(&watched, nfds_t(watched.count), -1) < 0 {
            guard errno == EINTR else { throw SocketError("poll", errno) }
            continue
        }
        if watched[1].revents != 0 {
            var announcement = [UInt8](repeating: 0, count: 128)
            while read(ends, &announcement, announcement.count) > 0 {}
        }
        // Whatever was announced: several ends may share one announcement.
        while true {
            let child = waitpid(-1, nil, WNOHANG)
            if child == 0 || (child < 0 && errno != EINTR) { break }
        }
        guard watched[0].revents != 0 else { continue }

        let connection = accept(listener, nil, nil)
        if connection < 0 {
            switch errno {
            case EINTR, EAGAIN, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, ENOPROTOOPT, EOPNOTSUPP,
                ETIMEDOUT:
                continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                poll(nil, 0, 50)
                continue
            default:
                throw SocketError("accept", errno)
            }
        }
        let child = forkProcess()
        if child == 0 {
            close(listener)
            close(ends)
            pthread_sigmask(SIG_SETMASK, &before, nil)
            serve(connection)
            _exit(0)
        }
        // A child has its own copy; without a child (-1) this client is turned away.
        close(connection)
    }
}
