import Course
import Sockets

func sendWithRetry(_ socket: Int32, _ bytes: [UInt8], timeout: Milliseconds) throws {
    let end = pointInTime(after: timeout)
    var sent = 0
    while sent < bytes.count {
        // First wait, then send: most of a long message finds the buffer full anyway.
        let isLast: Bool
        switch pause(socket, for: Int32(POLLOUT), until: end) {
        case .no: isLast = false
        case .yes: isLast = true
        case .failed(let code): throw SendError.failed(sent: sent, code: code)
        }
        let count = bytes.withUnsafeBytes {
            sendto(socket, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL), nil, 0)
        }
        let code = errno
        if count >= 0 {
            sent += count
        } else if code == EAGAIN {
            if isLast { throw SendError.timedOut(sent: sent) }
        } else if code != EINTR {
            throw SendError.failed(sent: sent, code: code)
        }
    }
}
