import Course
import Sockets

func stoppableServer(host: String, port: UInt16, stopper: Stopper) throws {
    var server = try EventLoop(host: host, port: port)
    // listener, clients and the epoll descriptor, however we leave
    defer { server.closeAll() }
    try server.alsoWaitFor(stopper.waitOn)

    var stopped = false
    while !stopped {
        stopped = try server.runOnce().isExtraReadable
    }

    // Whatever is still pending goes out before everything is closed.
    for (fd, client) in server.clients where client.wantsToSend {
        sendRest(client, fd)
    }
}

/// Sends what is pending for a client, as far as the kernel has room for it.
private func sendRest(_ client: Client, _ fd: Int32) {
    while client.wantsToSend {
        if !client.send(to: fd) { return }
    }
}

func requestStop(_ stopper: Stopper) {
    var number: UInt64 = 1
    var result = -1
    repeat {
        result = write(stopper.writeTo, &number, MemoryLayout<UInt64>.size)
    } while result == -1 && errno == EINTR
}
