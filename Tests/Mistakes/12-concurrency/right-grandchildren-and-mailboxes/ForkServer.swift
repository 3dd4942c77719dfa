import Sockets

/// Each client gets a grandchild: the child in between ends at once, and is asked at once how it ended. The grandchild has no
/// parent here that would have to ask for it (init does).
func forkServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    while true {
        let connection = try acceptClient(listener)
        let child = forkProcess()
        if child == 0 { beChild(listener, connection) }
        close(connection)
        if child > 0 { waitFor(child) }
    }
}

private func beChild(_ listener: Int32, _ connection: Int32) -> Never {
    close(listener)
    // No grandchild to be had: the connection ends with this process.
    if forkProcess() == 0 { serve(connection) }
    _exit(0)
}

private func waitFor(_ child: Int32) {
    while waitpid(child, nil, 0) == -1 && errno == EINTR {}
}
