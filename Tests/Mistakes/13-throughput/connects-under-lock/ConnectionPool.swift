import Course
import Dispatch
import Foundation
import Sockets

/// Everything that is counted is touched on `state` only. Whoever finds no place queues a ticket; whoever frees a place
/// hands it to the first ticket directly.
final class ConnectionPool: ConnectionLender {
    private final class Ticket {
        let served = DispatchSemaphore(value: 0)
        var grant: Grant?
    }
    private enum Grant {
        case connection(Int32)
        case place
        case closed
    }
    private struct Idle {
        let descriptor: Int32
        let since: DispatchTime
    }

    private let address: SocketAddress
    private let limit: Int
    private let idleLimit: Milliseconds
    private let state = DispatchQueue(label: "pool")
    private var idle: [Idle] = []
    private var lent = 0
    private var queue: [Ticket] = []
    private var isClosed = false

    init(host: String, port: UInt16, limit: Int, idleLimit: Milliseconds) throws {
        address = try SocketAddress(host: host, port: port)
        self.limit = limit
        self.idleLimit = idleLimit
    }

    func withConnection<Result>(timeout: Milliseconds, _ body: (Int32) throws -> Result) throws -> Result {
        let connection = try borrow(timeout)
        do {
            let result = try body(connection)
            giveBack(connection)
            return result
        } catch {
            close(connection)
            giveBack(nil)
            throw error
        }
    }

    private func borrow(_ timeout: Milliseconds) throws -> Int32 {
        let ticket = Ticket()
        let grant: Grant? = state.sync {
            if isClosed { return .closed }
            if lent < limit {
                lent += 1
                if case .connection(let c) = nextIdle() { return .connection(c) }
                if let fresh = try? open() { return .connection(fresh) }
                return .place
            }
            queue.append(ticket)
            return nil
        }
        var given = grant
        if given == nil {
            if ticket.served.wait(timeout: .now() + .milliseconds(timeout)) == .timedOut {
                state.sync { queue.removeAll { $0 === ticket } }
            }
            given = state.sync { ticket.grant }
        }
        switch given {
        case nil: throw PoolError.timedOut
        case .closed: throw PoolError.closed
        case .connection(let descriptor): return descriptor
        case .place:
            do {
                return try open()
            } catch {
                giveBack(nil)
                throw error
            }
        }
    }

    private func nextIdle() -> Grant {
        while let last = idle.popLast() {
            let age = DispatchTime.now().uptimeNanoseconds - last.since.uptimeNanoseconds
            if age <= UInt64(idleLimit) * 1_000_000 && isQuiet(last.descriptor) { return .connection(last.descriptor) }
            close(last.descriptor)
        }
        return .place
    }

    /// Anything that poll has to say of a connection nobody uses means that it is of no use.
    private func isQuiet(_ descriptor: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        var said: Int32
        repeat { said = poll(&entry, 1, 0) } while said == -1 && errno == EINTR
        return said == 0
    }

    private func giveBack(_ descriptor: Int32?) {
        state.sync {
            lent -= 1
            if isClosed {
                if let descriptor { close(descriptor) }
                return
            }
            if let descriptor { idle.append(Idle(descriptor: descriptor, since: .now())) }
            if !queue.isEmpty {
                let ticket = queue.removeFirst()
                lent += 1
                ticket.grant = nextIdle()
                ticket.served.signal()
            }
        }
    }

    private func open() throws -> Int32 {
        let descriptor = try check("socket", socket(address.family, SOCK_STREAM, 0))
        do {
            if address.withSockaddr({ connect(descriptor, $0, $1) }) == -1 {
                if errno != EINTR { throw SocketError("connect", errno) }
                var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                while poll(&entry, 1, -1) == -1 && errno == EINTR {}
                var code: Int32 = 0
                var size = socklen_t(4)
                try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size))
                if code != 0 { throw SocketError("connect", code) }
            }
            return descriptor
        } catch {
            close(descriptor)
            throw error
        }
    }

    func closeAll() {
        state.sync {
            isClosed = true
            for entry in idle { close(entry.descriptor) }
            idle = []
            for ticket in queue {
                ticket.grant = .closed
                ticket.served.signal()
            }
            queue = []
        }
    }
}
