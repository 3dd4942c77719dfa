import Course
import Foundation
import Sockets

final class ConnectionPool: ConnectionLender {
    let address: SocketAddress
    let free: DispatchSemaphore
    let idleLimit: Milliseconds
    var last: Int32 = -1
    var lastUsed = Date()
    var isClosed = false

    init(host: String, port: UInt16, limit: Int, idleLimit: Milliseconds) throws {
        address = try SocketAddress(host: host, port: port)
        free = DispatchSemaphore(value: limit)
        self.idleLimit = idleLimit
    }

    func withConnection<Result>(timeout: Milliseconds, _ body: (Int32) throws -> Result) throws -> Result {
        guard free.wait(timeout: .now() + .milliseconds(timeout)) == .success else { throw PoolError.timedOut }
        defer { free.signal() }
        if isClosed { throw PoolError.closed }
        if last < 0 {
            let made = try check("socket", socket(address.family, SOCK_STREAM, 0))
            try check("connect", address.withSockaddr { connect(made, $0, $1) })
            last = made
        }
        return try body(last)
    }

    func closeAll() {
        isClosed = true
        if last >= 0 { close(last) }
        last = -1
    }
}
