import Course
import Foundation
import Sockets

/// All the state in an array of places, one condition; the oldest idle connection first.
final class ConnectionPool: ConnectionLender {
    private enum Place {
        case empty
        case idle(Int32, Date)
        case lent
    }

    private let address: SocketAddress
    private let idleLimit: TimeInterval
    private let condition = NSCondition()
    private var places: [Place]
    private var isClosed = false

    init(host: String, port: UInt16, limit: Int, idleLimit: Milliseconds) throws {
        address = try SocketAddress(host: host, port: port)
        places = Array(repeating: .empty, count: limit)
        self.idleLimit = Double(idleLimit) / 1000
    }

    func withConnection<Result>(timeout: Milliseconds, _ body: (Int32) throws -> Result) throws -> Result {
        let (place, found) = try occupy(until: Date(timeIntervalSinceNow: Double(timeout) / 1000))
        var after = Place.empty
        defer {
            condition.lock()
            if case .idle(let connection, _) = after, isClosed {
                close(connection)
                after = .empty
            }
            places[place] = after
            condition.broadcast()
            condition.unlock()
        }
        let connection: Int32
        if let found {
            connection = found
        } else {
            connection = try check("socket", socket(address.family, SOCK_STREAM, 0))
            let result = address.withSockaddr { connect(connection, $0, $1) }
            if result != 0 {
                let error = SocketError("connect", errno)
                close(connection)
                throw error
            }
        }
        do {
            let result = try body(connection)
            after = .idle(connection, Date())
            return result
        } catch {
            close(connection)
            throw error
        }
    }

    private func occupy(until deadline: Date) throws -> (Int, Int32?) {
        condition.lock()
        defer { condition.unlock() }
        while true {
            if isClosed { throw PoolError.closed }
            for index in places.indices {
                guard case .idle(let connection, let since) = places[index] else { continue }
                var byte: UInt8 = 0
                let quiet = recv(connection, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN
                if quiet && -since.timeIntervalSinceNow < idleLimit {
                    places[index] = .lent
                    return (index, connection)
                }
                close(connection)
                places[index] = .empty
            }
            for index in places.indices {
                guard case .empty = places[index] else { continue }
                places[index] = .lent
                return (index, nil)
            }
            if Date() >= deadline { throw PoolError.timedOut }
            _ = condition.wait(until: deadline)
        }
    }

    func closeAll() {
        condition.lock()
        isClosed = true
        for index in places.indices {
            guard case .idle(let connection, _) = places[index] else { continue }
            close(connection)
            places[index] = .empty
        }
        condition.broadcast()
        condition.unlock()
    }
}
