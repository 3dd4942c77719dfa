import Course
import Sockets

func nonblockingExchange(_ socket: Int32, request: [UInt8], answerLength: Int) throws -> [UInt8] {
    let flags = fcntl(socket, F_GETFL)
    _ = fcntl(socket, F_SETFL, flags | O_NONBLOCK)
    defer { _ = fcntl(socket, F_SETFL, flags) }
    var rest = request
    var answer: [UInt8] = []
    while rest.count > 0 || answer.count < answerLength {
        var interest = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        if rest.count > 0 { interest.events |= Int16(POLLOUT) }
        if poll(&interest, 1, -1) < 0 {
            if errno == EINTR { continue }
            throw SocketError("poll", errno)
        }
        if rest.count > 0 {
            let count = send(socket, rest, rest.count, MSG_NOSIGNAL)
            if count > 0 { rest.removeFirst(count) }
            if count < 0 && errno != EAGAIN && errno != EINTR { throw SocketError("send", errno) }
        }
        if answer.count < answerLength {
            var buffer = [UInt8](repeating: 0, count: answerLength - answer.count)
            let count = recv(socket, &buffer, buffer.count, 0)
            if count > 0 { answer += buffer.prefix(count) }
            if count == 0 { throw StreamError.ended(received: answer.count) }
            if count < 0 && errno != EAGAIN && errno != EINTR { throw SocketError("recv", errno) }
        }
    }
    return answer
}
