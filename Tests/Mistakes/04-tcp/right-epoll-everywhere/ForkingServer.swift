import Sockets

/// That a child has ended is read from a descriptor (signalfd(2)), by the same epoll that waits for clients.
func forkingServer(host: String, port: UInt16) throws {
    let door = try Door(host, port)
    defer { door.close() }
    var ended = sigset_t()
    sigemptyset(&ended)
    sigaddset(&ended, SIGCHLD)
    sigprocmask(SIG_BLOCK, &ended, nil)
    let news = try check("signalfd", signalfd(-1, &ended, Int32(SFD_NONBLOCK) | Int32(SFD_CLOEXEC)))
    defer { close(news) }
    try Door.watch(door.epoll, news, EPOLLIN.rawValue)
    while true {
        let guest = try door.next { descriptor in
            // What it says is only that there is at least one.
            var text = [UInt8](repeating: 0, count: 128)
            while read(descriptor, &text, text.count) > 0 {}
            reap()
        }
        let child = forkProcess()
        if child == 0 {
            door.close()
            close(news)
            serve(guest)
            _exit(0)
        }
        close(guest)
        // A crowd at the door is no reason to keep the dead.
        reap()
    }
}

private func reap() {
    while true {
        let child = waitpid(-1, nil, WNOHANG)
        if child == 0 || (child < 0 && errno != EINTR) { return }
    }
}
