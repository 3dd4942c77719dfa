import Foundation
import Sockets

/// What the thread that sends has to report.
private final class Sending: @unchecked Sendable {
    private let lock = NSLock()
    private var done = false
    private var problem: (any Error)? = nil

    func finish(_ problem: (any Error)?) {
        lock.lock()
        self.problem = problem
        self.done = true
        lock.unlock()
    }

    var isDone: Bool {
        lock.lock()
        let result = done
        lock.unlock()
        return result
    }

    var failure: (any Error)? {
        lock.lock()
        let result = problem
        lock.unlock()
        return result
    }
}

func client(message: [UInt8], host: String, port: UInt16) throws -> [UInt8] {
    let address = try SocketAddress(host: host, port: port)

    let connection = socket(address.family, SOCK_STREAM, 0)
    if connection == -1 {
        throw SocketError("socket", errno)
    }

    // From here on there is a socket, and every way out closes it.
    do {
        try connectSlowly(connection, address)
        let answer = try converse(connection, message)
        close(connection)
        return answer
    } catch {
        close(connection)
        throw error
    }
}

private func connectSlowly(_ connection: Int32, _ address: SocketAddress) throws {
    let result = address.withSockaddr { pointer, length in
        connect(connection, pointer, length)
    }
    if result == 0 {
        return
    }
    let reason = errno
    if reason != EINTR {
        throw SocketError("connect", reason)
    }

    // Interrupted: it goes on by itself. Wait until it is over.
    var isOver = false
    while isOver == false {
        var question = pollfd()
        question.fd = connection
        question.events = Int16(POLLOUT)
        question.revents = 0
        let answer = poll(&question, 1, 1000)
        if answer == -1 {
            let reason = errno
            if reason != EINTR {
                throw SocketError("poll", reason)
            }
        }
        if answer > 0 {
            isOver = true
        }
    }

    // And how did it go?
    var outcome: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    if getsockopt(connection, SOL_SOCKET, SO_ERROR, &outcome, &size) == -1 {
        throw SocketError("getsockopt", errno)
    }
    if outcome != 0 {
        throw SocketError("connect", outcome)
    }
}

private func converse(_ connection: Int32, _ message: [UInt8]) throws -> [UInt8] {
    let sending = Sending()
    let thread = Thread {
        do {
            try sendAll(connection, message)
            if shutdown(connection, SHUT_WR) == -1 {
                throw SocketError("shutdown", errno)
            }
            sending.finish(nil)
        } catch {
            sending.finish(error)
        }
    }
    thread.start()

    var answer: [UInt8] = []
    var problem: (any Error)? = nil
    var isOver = false
    while isOver == false {
        do {
            let piece = try receivePiece(connection, pieceSize)
            if piece.isEmpty {
                isOver = true
            } else {
                answer.append(contentsOf: piece)
            }
        } catch {
            problem = error
            isOver = true
        }
    }

    if problem != nil {
        // The other thread may be waiting for room in a connection that is broken.
        shutdown(connection, SHUT_RDWR)
    }
    while sending.isDone == false {
        poll(nil, 0, 5)
    }

    if let problem = problem {
        throw problem
    }
    if let failure = sending.failure {
        throw failure
    }
    return answer
}
