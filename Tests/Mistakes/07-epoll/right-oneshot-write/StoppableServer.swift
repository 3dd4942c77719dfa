import Course
import Sockets

func requestStop(_ stopper: Stopper) {
    withUnsafeBytes(of: UInt64(1)) { one in
        repeat {
            if write(stopper.writeTo, one.baseAddress, one.count) >= 0 { return }
        } while errno == EINTR
    }
}

func stoppableServer(host: String, port: UInt16, stopper: Stopper) throws {
    var shop = try OneShot(host: host, port: port)
    defer { shop.closeEverything() }
    // Once is enough: it is not armed again, so it does not come back while the last answers go out.
    try shop.watch(stopper.waitOn, EPOLLIN.rawValue | EPOLLONESHOT.rawValue)
    while !shop.calls.contains(stopper.waitOn) { _ = try shop.round(atMost: -1) }

    try shop.lastOrders()
    let closingTime = milliseconds() + 1000
    while shop.count > 0 {
        let left = closingTime - milliseconds()
        if left <= 0 { break }
        _ = try shop.round(atMost: left)
    }
}
