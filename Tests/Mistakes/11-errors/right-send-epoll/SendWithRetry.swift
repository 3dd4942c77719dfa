import Course
import Sockets

func sendWithRetry(_ socket: Int32, _ bytes: [UInt8], timeout: Milliseconds) throws {
    let sender = Sender(socket: socket, timeout: timeout)
    try bytes.withUnsafeBytes { try sender.send($0) }
}

private final class Sender {
    private let socket: Int32
    private let end: UInt64
    private var sent = 0
    private var epoll: Int32 = -1

    init(socket: Int32, timeout: Milliseconds) {
        self.socket = socket
        end = Sender.nanoseconds() + UInt64(min(max(timeout, 0), 1_000_000_000)) * 1_000_000
    }

    deinit { if epoll >= 0 { close(epoll) } }

    func send(_ bytes: UnsafeRawBufferPointer) throws {
        while sent < bytes.count {
            var part = iovec(
                iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress! + sent), iov_len: bytes.count - sent)
            let count = withUnsafeMutablePointer(to: &part) { part in
                var message = msghdr()
                message.msg_iov = part
                message.msg_iovlen = 1
                return sendmsg(socket, &message, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
            }
            if count >= 0 {
                sent += count
                continue
            }
            let code = errno
            if code == EINTR { continue }
            guard code == EAGAIN || code == EWOULDBLOCK else { throw SendError.failed(sent: sent, code: code) }
            try waitForRoom()
        }
    }

    private func waitForRoom() throws {
        try watch()
        var event = epoll_event()
        while true {
            let left = millisecondsLeft()
            let ready = epoll_wait(epoll, &event, 1, left)
            if ready > 0 { return }
            if ready == 0 { throw SendError.timedOut(sent: sent) }
            let code = errno
            guard code == EINTR else { throw SendError.failed(sent: sent, code: code) }
            if left == 0 { throw SendError.timedOut(sent: sent) }
        }
    }

    /// Made when the buffer is full for the first time: most messages go out at once.
    private func watch() throws {
        if epoll >= 0 { return }
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        var event = epoll_event(events: EPOLLOUT.rawValue, data: epoll_data_t(fd: socket))
        if epoll == -1 || epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event) == -1 {
            throw SendError.failed(sent: sent, code: errno)
        }
    }

    private func millisecondsLeft() -> Int32 {
        let now = Sender.nanoseconds()
        return now >= end ? 0 : Int32((end - now + 999_999) / 1_000_000)
    }

    private static func nanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
