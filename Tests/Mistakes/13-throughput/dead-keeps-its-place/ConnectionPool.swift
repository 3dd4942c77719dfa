import Course
import Foundation
import Sockets

final class ConnectionPool: ConnectionLender {
    private let address: SocketAddress
    private let limit: Int
    private let idleLimit: Milliseconds
    private let condition = NSCondition()
    private var idle: [(fd: Int32, since: TimeInterval)] = []
    private var open = 0  // lent and idle
    private var closed = false

    init(host: String, port: UInt16, limit: Int, idleLimit: Milliseconds) throws {
        address = try SocketAddress(host: host, port: port)
        self.limit = limit
        self.idleLimit = idleLimit
    }

    func withConnection<Result>(timeout: Milliseconds, _ body: (Int32) throws -> Result) throws -> Result {
        let fd = try lend(timeout)
        do {
            let result = try body(fd)
            condition.lock()
            if closed {
                close(fd)
                open -= 1
            } else {
                idle.append((fd, uptime))
            }
            condition.signal()
            condition.unlock()
            return result
        } catch {
            close(fd)
            lost()
            throw error
        }
    }

    private func lend(_ timeout: Milliseconds) throws -> Int32 {
        let deadline = uptime + Double(timeout) / 1000
        condition.lock()
        while true {
            if closed {
                condition.unlock()
                throw PoolError.closed
            }
            while let next = idle.popLast() {
                var byte: UInt8 = 0
                if uptime - next.since <= Double(idleLimit) / 1000,
                    recv(next.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == -1, errno == EAGAIN
                {
                    condition.unlock()
                    return next.fd
                }
                close(next.fd)
            }
            if open < limit {
                open += 1
                condition.unlock()
                return try dial()
            }
            let left = deadline - uptime
            if left <= 0 {
                condition.unlock()
                throw PoolError.timedOut
            }
            _ = condition.wait(until: Date(timeIntervalSinceNow: left))
        }
    }

    private func dial() throws -> Int32 {
        do {
            let fd = try check("socket", socket(address.family, SOCK_STREAM, 0))
            while address.withSockaddr({ connect(fd, $0, $1) }) != 0 {
                if errno == EINTR { continue }
                if errno == EISCONN { break }
                let error = SocketError("connect", errno)
                close(fd)
                throw error
            }
            return fd
        } catch {
            lost()
            throw error
        }
    }

    private func lost() {
        condition.lock()
        open -= 1
        condition.signal()
        condition.unlock()
    }

    func closeAll() {
        condition.lock()
        closed = true
        for one in idle { close(one.fd) }
        open -= idle.count
        idle = []
        condition.broadcast()
        condition.unlock()
    }

    private var uptime: TimeInterval { ProcessInfo.processInfo.systemUptime }
}
