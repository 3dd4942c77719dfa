import Course
import Sockets

func nonblockingExchange(_ socket: Int32, request: [UInt8], answerLength: Int) throws -> [UInt8] {
    let before = try check("fcntl(F_GETFL)", fcntl(socket, F_GETFL))
    try check("fcntl(F_SETFL)", fcntl(socket, F_SETFL, before | O_NONBLOCK))
    defer { _ = fcntl(socket, F_SETFL, before) }

    let epfd = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
    var sent = 0
    var answer: [UInt8] = []
    answer.reserveCapacity(answerLength)
    var event = epoll_event(events: 0, data: epoll_data_t(fd: socket))
    try check("epoll_ctl", epoll_ctl(epfd, EPOLL_CTL_ADD, socket, &event))

    while sent < request.count || answer.count < answerLength {
        event.events =
            (sent < request.count ? EPOLLOUT.rawValue : 0) | (answer.count < answerLength ? EPOLLIN.rawValue : 0)
        try check("epoll_ctl", epoll_ctl(epfd, EPOLL_CTL_MOD, socket, &event))
        var happened = epoll_event()
        if epoll_wait(epfd, &happened, 1, -1) < 0 {
            if errno == EINTR { continue }
            throw SocketError("epoll_wait", errno)
        }
        if sent < request.count {
            let n = request.withUnsafeBytes { send(socket, $0.baseAddress! + sent, request.count - sent, MSG_NOSIGNAL) }
            if n >= 0 { sent += n } else if errno != EAGAIN && errno != EINTR { throw SocketError("send", errno) }
        }
        if answer.count < answerLength {
            var piece = [UInt8](repeating: 0, count: min(8192, answerLength - answer.count))
            let n = recv(socket, &piece, piece.count, 0)
            if n == 0 { throw StreamError.ended(received: answer.count) }
            if n > 0 {
                answer += piece.prefix(n)
            } else if errno != EAGAIN && errno != EINTR {
                throw SocketError("recv", errno)
            }
        }
    }
    close(epfd)
    return answer
}
