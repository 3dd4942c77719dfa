import Course
import Sockets

/// A list for epoll with one socket on it.
private final class Watch {
    private let list: Int32

    init() throws { list = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC))) }

    deinit { close(list) }

    func add(_ socket: Int32) throws {
        var event = epoll_event()
        // Told once, for both directions: with EPOLLET it wakes up only when something changes, so there is no need to
        // take EPOLLOUT off when everything has been sent.
        event.events = EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLET.rawValue
        event.data.fd = socket
        try check("epoll_ctl", epoll_ctl(list, EPOLL_CTL_ADD, socket, &event))
    }

    func next() throws -> UInt32 {
        var event = epoll_event()
        while true {
            let count = epoll_wait(list, &event, 1, -1)
            if count > 0 { return event.events }
            if count < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
        }
    }
}

func nonblockingExchange(_ socket: Int32, request: [UInt8], answerLength: Int) throws -> [UInt8] {
    let oldFlags = fcntl(socket, F_GETFL)
    guard oldFlags != -1 else { throw SocketError("fcntl(F_GETFL)", errno) }
    guard fcntl(socket, F_SETFL, oldFlags | O_NONBLOCK) != -1 else { throw SocketError("fcntl(F_SETFL)", errno) }
    defer { _ = fcntl(socket, F_SETFL, oldFlags) }

    let watch = try Watch()
    try watch.add(socket)
    let trouble = EPOLLERR.rawValue | EPOLLHUP.rawValue
    var sent = 0
    var answer = [UInt8](repeating: 0, count: answerLength)
    var received = 0

    while sent < request.count || received < answerLength {
        let events = try watch.next()

        if events & (EPOLLOUT.rawValue | trouble) != 0 {
            sending: while sent < request.count {
                let count = request[sent...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
                if count >= 0 {
                    sent += count
                } else {
                    switch errno {
                    case EINTR: continue
                    case EAGAIN: break sending
                    default: throw SocketError("send", errno)
                    }
                }
            }
        }

        if events & (EPOLLIN.rawValue | trouble) != 0 {
            // As sending: until it would block, for what is left unread now is not announced again.
            receiving: while received < answerLength {
                let count = answer.withUnsafeMutableBytes {
                    recv(socket, $0.baseAddress! + received, answerLength - received, 0)
                }
                if count > 0 {
                    received += count
                } else if count == 0 {
                    throw StreamError.ended(received: received)
                } else {
                    switch errno {
                    case EINTR: continue
                    case EAGAIN: break receiving
                    default: throw SocketError("recv", errno)
                    }
                }
            }
        }
    }
    return answer
}
