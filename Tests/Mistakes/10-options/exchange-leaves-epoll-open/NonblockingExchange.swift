import Course
import Sockets

/// Both directions at once: a peer that answers while it reads would otherwise fill the buffers of both sides, and everybody
/// would wait.
///
/// O_NONBLOCK belongs to the open socket, not to this function or this process: whoever shares it (a parent, a child) has it
/// too. So it goes back to what it was, on every way out.
func nonblockingExchange(_ socket: Int32, request: [UInt8], answerLength: Int) throws -> [UInt8] {
    let flags = try check("fcntl(F_GETFL)", fcntl(socket, F_GETFL))
    try check("fcntl(F_SETFL)", fcntl(socket, F_SETFL, flags | O_NONBLOCK))
    // It cannot fail where it has just worked, and an error that is under way must not be hidden by it.
    defer { _ = fcntl(socket, F_SETFL, flags) }

    var unsent = request[...]
    var answer: [UInt8] = []
    while !unsent.isEmpty || answer.count < answerLength {
        try wait(socket, toSend: !unsent.isEmpty, toReceive: answer.count < answerLength)
        // Not asked which of the two it is: the one that cannot go on says EAGAIN, at the cost of a call.
        if !unsent.isEmpty {
            let count = unsent.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if count >= 0 {
                // As much as there was room for: the rest has to wait for the next round.
                unsent = unsent.dropFirst(count)
            } else if errno != EAGAIN && errno != EINTR {
                throw SocketError("send", errno)
            }
        }
        if answer.count < answerLength {
            // What is behind the answer belongs to the next one who reads.
            var buffer = [UInt8](repeating: 0, count: min(answerLength - answer.count, 16_384))
            let count = recv(socket, &buffer, buffer.count, 0)
            if count > 0 {
                answer += buffer[..<count]
            } else if count == 0 {
                throw StreamError.ended(received: answer.count)
            } else if errno != EAGAIN && errno != EINTR {
                throw SocketError("recv", errno)
            }
        }
    }
    return answer
}

/// Sleeps in the kernel until one of both is possible.
private func wait(_ socket: Int32, toSend: Bool, toReceive: Bool) throws {
    let epoll = try check("epoll_create1", epoll_create1(0))
    let events = (toSend ? EPOLLOUT.rawValue : 0) | (toReceive ? EPOLLIN.rawValue : 0)
    var interest = epoll_event(events: events, data: epoll_data_t(fd: socket))
    try check("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &interest))
    while epoll_wait(epoll, &interest, 1, -1) < 0 {
        guard errno == EINTR else { throw SocketError("epoll_wait", errno) }
    }
}
