import Course
import Sockets

nonisolated(unsafe) private var isStopping = false

func stoppableServer(host: String, port: UInt16, stopper: Stopper) throws {
    var loop = try EventLoop(host: host, port: port)
    defer { loop.closeAll() }
    while !isStopping { try loop.runOnce() }

    // What was asked for is still answered. Who does not take the answer within a second does without.
    try loop.finish()
    let deadline = monotonicMilliseconds() + 1000
    while !loop.clients.isEmpty {
        let left = deadline - monotonicMilliseconds()
        if left <= 0 { return }
        try loop.runOnce(timeout: left)
    }
}

func requestStop(_ stopper: Stopper) {
    isStopping = true
}
