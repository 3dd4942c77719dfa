import Course
import Sockets

func sendWithRetry(_ socket: Int32, _ bytes: [UInt8], timeout: Milliseconds) throws {
    let deadline = Deadline(in: timeout)
    var sent = 0
    try limited(SO_SNDTIMEO, of: socket) {
        while sent < bytes.count {
            try setLimit(SO_SNDTIMEO, of: socket, max(1, deadline.left))
            let count = bytes[sent...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if count >= 0 {
                sent += count
                if sent < bytes.count && deadline.left == 0 { throw SendError.timedOut(sent: sent) }
                continue
            }
            let code = errno
            if code == EINTR { continue }
            guard code == EAGAIN else { throw SendError.failed(sent: sent, code: code) }
            guard case .ready = waitUntilReady(socket, for: Int32(POLLOUT), before: deadline) else {
                throw SendError.timedOut(sent: sent)
            }
        }
    }
}
