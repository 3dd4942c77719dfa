import Course
import Dispatch
import Foundation
import Sockets

/// One owner keeps the books: a serial queue. Whoever wants a connection leaves a letter with it and waits at his own
/// letter box for the answer; the answers go out in the order of the letters.
final class ConnectionPool: ConnectionLender {
    private enum Answer {
        case use(Int32)
        case makeOne
        case closed
    }

    private final class Letter {
        let box = DispatchSemaphore(value: 0)
        /// Only read and written on the owner's queue.
        var answer: Answer?
    }

    private struct Idle {
        let connection: Int32
        let since: UInt64
    }

    private let address: SocketAddress
    private let idleLimit: UInt64
    private let owner = DispatchQueue(label: "connection pool")

    // Only touched on the owner's queue.
    private var freePlaces: Int
    private var idle: [Idle] = []
    private var letters: [Letter] = []
    private var isClosed = false

    init(host: String, port: UInt16, limit: Int, idleLimit: Milliseconds) throws {
        address = try SocketAddress(host: host, port: port)
        self.idleLimit = UInt64(idleLimit) * 1_000_000
        freePlaces = limit
    }

    func withConnection<Result>(timeout: Milliseconds, _ body: (Int32) throws -> Result) throws -> Result {
        let connection: Int32
        switch try ask(timeout) {
        case .use(let old):
            connection = old
        case .makeOne:
            do { connection = try connected() } catch {
                owner.sync { placeIsFree() }
                throw error
            }
        case .closed:
            throw PoolError.closed
        }

        switch Swift.Result(catching: { try body(connection) }) {
        case .success(let value):
            owner.sync {
                if isClosed {
                    close(connection)
                } else {
                    idle.append(Idle(connection: connection, since: DispatchTime.now().uptimeNanoseconds))
                }
                placeIsFree()
            }
            return value
        case .failure(let error):
            owner.sync {
                close(connection)
                placeIsFree()
            }
            throw error
        }
    }

    func closeAll() {
        owner.sync {
            isClosed = true
            for unused in idle { close(unused.connection) }
            idle.removeAll()
            for letter in letters { reply(.closed, to: letter) }
            letters.removeAll()
        }
    }

    private func ask(_ timeout: Milliseconds) throws -> Answer {
        let deadline = DispatchTime.now() + .milliseconds(timeout)
        let letter = Letter()
        let immediate: Answer? = owner.sync {
            if isClosed { return .closed }
            if freePlaces > 0 { return takePlace() }
            letters.append(letter)
            return nil
        }
        if let immediate { return immediate }

        let inTime = letter.box.wait(timeout: deadline) == .success
        return try owner.sync {
            // The answer may have come at the very moment in which the time was over: then it counts.
            if let answer = letter.answer { return answer }
            letters.removeAll { $0 === letter }
            assert(!inTime)
            throw PoolError.timedOut
        }
    }

    // MARK: On the owner's queue

    private func reply(_ answer: Answer, to letter: Letter) {
        letter.answer = answer
        letter.box.signal()
    }

    private func placeIsFree() {
        freePlaces += 1
        if !letters.isEmpty {
            reply(takePlace(), to: letters.removeFirst())
        }
    }

    private func takePlace() -> Answer {
        freePlaces -= 1
        let now = DispatchTime.now().uptimeNanoseconds
        while let last = idle.popLast() {
            if now - last.since <= idleLimit && isQuiet(last.connection) { return .use(last.connection) }
            close(last.connection)
        }
        return .makeOne
    }

    private func isQuiet(_ connection: Int32) -> Bool {
        var byte: UInt8 = 0
        let count = recv(connection, &byte, 1, MSG_PEEK | MSG_DONTWAIT)
        if count >= 0 { return false }
        if errno == EINTR { return isQuiet(connection) }
        return errno == EAGAIN || errno == EWOULDBLOCK
    }

    // MARK: In the caller's thread

    private func connected() throws -> Int32 {
        let connection = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0))
        let began: Int32 = address.withSockaddr { connect(connection, $0, $1) == 0 ? 0 : errno }
        let outcome = began == EINTR ? decision(on: connection) : began
        if outcome == 0 { return connection }
        close(connection)
        throw SocketError("connect", outcome)
    }

    private func decision(on connection: Int32) -> Int32 {
        var interest = pollfd(fd: connection, events: Int16(POLLOUT), revents: 0)
        if poll(&interest, 1, -1) < 0 { return errno == EINTR ? decision(on: connection) : errno }
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(connection, SOL_SOCKET, SO_ERROR, &code, &size) == 0 ? code : errno
    }
}
