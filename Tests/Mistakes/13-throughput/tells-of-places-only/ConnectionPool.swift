import Course
import Foundation
import Sockets

final class ConnectionPool: ConnectionLender {
    private struct Idle {
        var connection: Int32
        var since: UInt64
    }

    private let address: SocketAddress
    private let limit: Int
    private let idleLimit: Milliseconds
    private let changed = NSCondition()

    private var idle: [Idle] = []
    private var lent = 0
    private var isClosed = false

    init(host: String, port: UInt16, limit: Int, idleLimit: Milliseconds) throws {
        address = try SocketAddress(host: host, port: port)
        self.limit = limit
        self.idleLimit = idleLimit
    }

    func withConnection<Result>(timeout: Milliseconds, _ body: (Int32) throws -> Result) throws -> Result {
        let connection = try borrow(timeout: timeout)
        do {
            let result = try body(connection)
            giveBack(connection, isWhole: true)
            return result
        } catch {
            giveBack(connection, isWhole: false)
            throw error
        }
    }

    func closeAll() {
        changed.withLock {
            isClosed = true
            for unused in idle { close(unused.connection) }
            idle = []
            changed.broadcast()
        }
    }

    private func borrow(timeout: Milliseconds) throws -> Int32 {
        if let connection = try takePlace(timeout: timeout) { return connection }
        do { return try connectToServer() } catch {
            changed.withLock {
                lent -= 1
                changed.signal()
            }
            throw error
        }
    }

    private func takePlace(timeout: Milliseconds) throws -> Int32? {
        let deadline = now() + UInt64(timeout) * 1_000_000
        return try changed.withLock {
            while !isClosed && lent == limit {
                let time = now()
                guard time < deadline else { throw PoolError.timedOut }
                _ = changed.wait(until: Date(timeIntervalSinceNow: Double(deadline - time) / 1e9))
            }
            guard !isClosed else { throw PoolError.closed }
            lent += 1
            let oldest = now() - min(UInt64(idleLimit) * 1_000_000, now())
            while let last = idle.popLast() {
                if last.since >= oldest && isUsable(last.connection) { return last.connection }
                close(last.connection)
            }
            return nil
        }
    }

    private func giveBack(_ connection: Int32, isWhole: Bool) {
        changed.withLock {
            lent -= 1
            if isWhole && !isClosed {
                idle.append(Idle(connection: connection, since: now()))
            } else {
                close(connection)
                changed.signal()
            }
        }
    }

    private func isUsable(_ connection: Int32) -> Bool {
        var byte: UInt8 = 0
        return recv(connection, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN
    }

    private func connectToServer() throws -> Int32 {
        let connection = try check("socket", socket(address.family, SOCK_STREAM, 0))
        do {
            if address.withSockaddr({ connect(connection, $0, $1) }) != 0 {
                guard errno == EINTR else { throw SocketError("connect", errno) }
                try finishConnecting(connection)
            }
            return connection
        } catch {
            close(connection)
            throw error
        }
    }

    private func finishConnecting(_ connection: Int32) throws {
        var interest = pollfd(fd: connection, events: Int16(POLLOUT), revents: 0)
        while poll(&interest, 1, -1) < 0 {
            guard errno == EINTR else { throw SocketError("poll", errno) }
        }
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        try check("getsockopt", getsockopt(connection, SOL_SOCKET, SO_ERROR, &code, &length))
        guard code == 0 else { throw SocketError("connect", code) }
    }
}

private func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
