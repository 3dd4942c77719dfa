import Course
import Sockets

func nonblockingExchange(_ socket: Int32, request: [UInt8], answerLength: Int) throws -> [UInt8] {
    if request.isEmpty && answerLength == 0 { return [] }
    let exchange = try Exchange(socket, request, answerLength)
    defer { exchange.end() }
    while !exchange.isDone { try exchange.step() }
    return exchange.answer
}

private final class Exchange {
    private let socket: Int32
    private var request: [UInt8]
    private var sent = 0
    private(set) var answer: [UInt8]
    private var received = 0
    private let flags: Int32
    private let poller: Int32
    private var mask: UInt32

    init(_ socket: Int32, _ request: [UInt8], _ length: Int) throws {
        self.socket = socket
        self.request = request
        answer = [UInt8](repeating: 0, count: length)
        flags = try check("fcntl(F_GETFL)", fcntl(socket, F_GETFL))
        poller = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
        mask = (request.isEmpty ? 0 : EPOLLOUT.rawValue) | (length == 0 ? 0 : EPOLLIN.rawValue)
        var event = epoll_event(events: mask, data: epoll_data_t(fd: socket))
        guard epoll_ctl(poller, EPOLL_CTL_ADD, socket, &event) == 0, fcntl(socket, F_SETFL, flags | O_NONBLOCK) == 0
        else {
            let code = errno
            close(poller)
            throw SocketError("epoll_ctl", code)
        }
    }

    var isDone: Bool { sent == request.count && received == answer.count }

    func step() throws {
        var event = epoll_event()
        if epoll_wait(poller, &event, 1, -1) < 0 {
            guard errno == EINTR else { throw SocketError("epoll_wait", errno) }
            return
        }
        if received < answer.count {
            let count = answer.withUnsafeMutableBytes { transfer($0, from: received, recvmsg, 0) }
            if count == 0 { throw StreamError.ended(received: received) }
            if count > 0 { received += count } else { try forgive("recvmsg") }
        }
        if sent < request.count {
            let count = request.withUnsafeMutableBytes { bytes in
                transfer(bytes, from: sent, { fd, message, flags in sendmsg(fd, message, flags) }, MSG_NOSIGNAL)
            }
            if count >= 0 { sent += count } else { try forgive("sendmsg") }
        }
        let wanted =
            (sent < request.count ? EPOLLOUT.rawValue : 0) | (received < answer.count ? EPOLLIN.rawValue : 0)
        if wanted != mask && !isDone {
            var event = epoll_event(events: wanted, data: epoll_data_t(fd: socket))
            try check("epoll_ctl", epoll_ctl(poller, EPOLL_CTL_MOD, socket, &event))
            mask = wanted
        }
    }

    private func transfer(
        _ bytes: UnsafeMutableRawBufferPointer, from start: Int,
        _ call: (Int32, UnsafeMutablePointer<msghdr>, Int32) -> Int, _ flags: Int32
    ) -> Int {
        var piece = iovec(iov_base: bytes.baseAddress! + start, iov_len: min(65_536, bytes.count - start))
        return withUnsafeMutablePointer(to: &piece) {
            var message = msghdr()
            message.msg_iov = $0
            message.msg_iovlen = 1
            return call(socket, &message, flags)
        }
    }

    private func forgive(_ call: String) throws {
        let code = errno
        guard code == EAGAIN || code == EINTR else { throw SocketError(call, code) }
    }

    func end() {
        _ = fcntl(socket, F_SETFL, flags)
        close(poller)
    }
}
