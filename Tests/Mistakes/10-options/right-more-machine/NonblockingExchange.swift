import Course
import Sockets

/// Tries first and waits only when neither direction gets anywhere.
func nonblockingExchange(_ socket: Int32, request: [UInt8], answerLength: Int) throws -> [UInt8] {
    let flags = fcntl(socket, F_GETFL)
    if flags < 0 { throw SocketError("fcntl(F_GETFL)", errno) }
    if fcntl(socket, F_SETFL, flags | O_NONBLOCK) < 0 { throw SocketError("fcntl(F_SETFL)", errno) }
    defer { _ = fcntl(socket, F_SETFL, flags) }

    var answer = [UInt8](repeating: 0, count: answerLength)
    var outgoing = Direction(total: request.count)
    var incoming = Direction(total: answerLength)
    while true {
        try outgoing.advance("sendto") { from, count in
            request.withUnsafeBytes { sendto(socket, $0.baseAddress! + from, count, MSG_NOSIGNAL, nil, 0) }
        }
        try incoming.advance("read") { from, count in
            answer.withUnsafeMutableBytes { read(socket, $0.baseAddress! + from, count) }
        }
        switch (outgoing.state, incoming.state) {
        case (.done, .done): return answer
        case (_, .ended): throw StreamError.ended(received: incoming.moved)
        case (.goesOn, _), (_, .goesOn): continue
        default:
            var events: Int32 = 0
            if outgoing.state == .waits { events |= Int32(POLLOUT) }
            if incoming.state == .waits { events |= Int32(POLLIN) }
            var it = pollfd(fd: socket, events: Int16(events), revents: 0)
            if poll(&it, 1, -1) < 0 && errno != EINTR { throw SocketError("poll", errno) }
        }
    }
}

private struct Direction {
    enum State { case goesOn, waits, ended, done }
    let total: Int
    var moved = 0
    var state: State

    init(total: Int) {
        self.total = total
        state = total == 0 ? .done : .goesOn
    }

    mutating func advance(_ call: String, _ body: (_ from: Int, _ count: Int) -> Int) throws {
        guard state != .done else { return }
        let count = body(moved, total - moved)
        if count > 0 {
            moved += count
            state = moved == total ? .done : .goesOn
        } else if count == 0 {
            state = .ended
        } else if errno == EINTR {
            state = .goesOn
        } else if errno == EAGAIN {
            state = .waits
        } else {
            throw SocketError(call, errno)
        }
    }
}
