import Course
import Sockets

/// Works on a descriptor of its own, so that the caller's stays as it is.
func nonblockingExchange(_ socket: Int32, request: [UInt8], answerLength: Int) throws -> [UInt8] {
    let own = try check("dup", dup(socket))
    defer { close(own) }
    try check("fcntl(F_SETFL)", fcntl(own, F_SETFL, try check("fcntl(F_GETFL)", fcntl(own, F_GETFL)) | O_NONBLOCK))
    var exchange = Exchange(socket: own, request: request, answerLength: answerLength)
    while !exchange.isDone { try exchange.step() }
    return exchange.answer
}

private struct Exchange {
    let socket: Int32
    let request: [UInt8]
    let answerLength: Int
    var sent = 0
    var answer: [UInt8] = []

    init(socket: Int32, request: [UInt8], answerLength: Int) {
        (self.socket, self.request, self.answerLength) = (socket, request, answerLength)
        answer.reserveCapacity(answerLength)
    }

    var missing: Int { answerLength - answer.count }
    var isDone: Bool { sent == request.count && missing == 0 }

    mutating func step() throws {
        var events: Int32 = 0
        if sent < request.count { events |= Int32(POLLOUT) }
        if missing > 0 { events |= Int32(POLLIN) }
        var it = pollfd(fd: socket, events: Int16(events), revents: 0)
        guard poll(&it, 1, -1) >= 0 else {
            if errno == EINTR { return }
            throw SocketError("poll", errno)
        }
        if sent < request.count, Int32(it.revents) & ~Int32(POLLIN) != 0 { try write() }
        if missing > 0, Int32(it.revents) & ~Int32(POLLOUT) != 0 { try read() }
    }

    private mutating func write() throws {
        let count = request.withUnsafeBytes { send(socket, $0.baseAddress! + sent, $0.count - sent, MSG_NOSIGNAL) }
        if count >= 0 {
            sent += count
        } else if errno != EAGAIN && errno != EINTR {
            throw SocketError("send", errno)
        }
    }

    private mutating func read() throws {
        var room = [UInt8](repeating: 0, count: min(missing, 65_536))
        let count = recv(socket, &room, room.count, 0)
        if count > 0 {
            answer += room.prefix(count)
        } else if count == 0 {
            throw StreamError.ended(received: answer.count)
        } else if errno != EAGAIN && errno != EINTR {
            throw SocketError("recv", errno)
        }
    }
}
