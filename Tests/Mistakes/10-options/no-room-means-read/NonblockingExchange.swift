import Course
import Sockets

func nonblockingExchange(_ socket: Int32, request: [UInt8], answerLength: Int) throws -> [UInt8] {
    var exchange = Exchange(socket: socket, request: request, answerLength: answerLength)
    return try withoutWaiting(socket) { try exchange.run() }
}

/// Calls `body` with O_NONBLOCK set on the socket, and puts its flags back, whether `body` throws or not.
private func withoutWaiting<Result>(_ socket: Int32, _ body: () throws -> Result) throws -> Result {
    let flags = try check("fcntl(F_GETFL)", fcntl(socket, F_GETFL))
    try check("fcntl(F_SETFL)", fcntl(socket, F_SETFL, flags | O_NONBLOCK))
    defer { _ = fcntl(socket, F_SETFL, flags) }
    return try body()
}

private struct Exchange {
    let socket: Int32
    let request: [UInt8]
    let answerLength: Int
    private var offset = 0
    private var answer: [UInt8] = []
    /// The peer takes nothing: its own answer is in its way. Before we go on sending, some of that has to be read.
    private var peerIsStuck = false

    init(socket: Int32, request: [UInt8], answerLength: Int) {
        self.socket = socket
        self.request = request
        self.answerLength = answerLength
        answer.reserveCapacity(answerLength)
    }

    private var hasToSend: Bool { offset < request.count }
    private var hasToReceive: Bool { answer.count < answerLength }

    mutating func run() throws -> [UInt8] {
        while hasToSend || hasToReceive {
            var events: Int32 = 0
            if hasToReceive { events |= Int32(POLLIN) }
            if hasToSend && !(peerIsStuck && hasToReceive) { events |= Int32(POLLOUT) }
            let ready = try wait(for: events)
            if hasToReceive && ready & ~Int32(POLLOUT) != 0 { try receive() }
            if hasToSend && ready & ~Int32(POLLIN) != 0 { try send() }
        }
        return answer
    }

    private func wait(for events: Int32) throws -> Int32 {
        var question = pollfd(fd: socket, events: Int16(events), revents: 0)
        while true {
            if poll(&question, 1, -1) > 0 { return Int32(question.revents) }
            if errno != EINTR { throw SocketError("poll", errno) }
        }
    }

    private mutating func send() throws {
        let count = request[offset...].withUnsafeBytes { Sockets.send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count >= 0 {
            offset += count
            return
        }
        switch errno {
        case EINTR: return
        case EAGAIN: peerIsStuck = true
        case let code: throw SocketError("send", code)
        }
    }

    private mutating func receive() throws {
        var piece = [UInt8](repeating: 0, count: min(8192, answerLength - answer.count))
        let count = recv(socket, &piece, piece.count, 0)
        if count > 0 {
            answer.append(contentsOf: piece.prefix(count))
            peerIsStuck = false
        } else if count == 0 {
            throw StreamError.ended(received: answer.count)
        } else if errno != EAGAIN && errno != EINTR {
            throw SocketError("recv", errno)
        }
    }
}
