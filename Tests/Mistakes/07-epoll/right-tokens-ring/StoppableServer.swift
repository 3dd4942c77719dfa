import Course
import Sockets

func stoppableServer(host: String, port: UInt16, stopper: Stopper) throws {
    let server = try Server(host: host, port: port, trigger: .level, clock: NoClock())
    defer { server.closeAll() }
    try server.ring(on: stopper.waitOn)
    while !server.wasCalled { try server.step() }
    try server.finish()
    let end = microseconds() + 1_000_000
    while !server.isEmpty {
        let left = end - microseconds()
        guard left > 0 else { break }
        try server.step(atMost: Int32((left + 999) / 1000))
    }
}

func requestStop(_ stopper: Stopper) {
    while eventfd_write(stopper.writeTo, 1) != 0 && errno == EINTR {}
}
