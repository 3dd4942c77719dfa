import Course
import Sockets

/// Serves until the stopper becomes readable. A flag would not do: nobody looks at it while epoll_wait waits.
func stoppableServer(host: String, port: UInt16, stopper: Stopper) throws {
    var loop = try EventLoop(host: host, port: port)
    defer { loop.closeAll() }
    try loop.alsoWaitFor(stopper.waitOn)
    while try !loop.runOnce().isExtraReadable {}

    // What was asked for is still answered. Who does not take the answer within a second does without.
    try loop.finish()
    while !loop.clients.isEmpty {
        let asked = monotonicMilliseconds()
        try loop.runOnce(timeout: 1000)
        if monotonicMilliseconds() - asked >= 1000 { return }
    }
}

/// May be called from any thread, and in a signal handler: write is safe there (signal-safety(7)).
func requestStop(_ stopper: Stopper) {
    // 8 bytes, as an eventfd wants them (eventfd(2)); a pipe takes them as well.
    var one: UInt64 = 1
    while write(stopper.writeTo, &one, 8) < 0 && errno == EINTR {}
}
