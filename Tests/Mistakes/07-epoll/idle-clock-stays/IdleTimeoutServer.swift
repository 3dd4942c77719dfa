import Course
import Sockets

func idleTimeoutServer(host: String, port: UInt16, timeout: Milliseconds) throws {
    var loop = try EventLoop(host: host, port: port)
    defer { loop.closeAll() }
    var due: [Int32: Int] = [:]
    while true {
        let known = Set(loop.clients.keys)
        let left = due.values.min().map { max(0, $0 - monotonicMilliseconds()) }
        let (active, _) = try loop.runOnce(timeout: left)
        let now = monotonicMilliseconds()
        for descriptor in active where known.contains(descriptor) || due[descriptor] == nil {
            due[descriptor] = now + timeout
        }
        for (descriptor, moment) in due where moment <= now {
            due[descriptor] = nil
            if loop.clients[descriptor] != nil { loop.drop(descriptor) }
        }
    }
}

func monotonicMilliseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}
