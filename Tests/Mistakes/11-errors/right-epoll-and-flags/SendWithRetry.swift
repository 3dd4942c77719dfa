import Course
import Sockets

func sendWithRetry(_ socket: Int32, _ bytes: [UInt8], timeout: Milliseconds) throws {
    signal(SIGPIPE, SIG_IGN)
    let clock = Clock(timeout)
    try withoutBlocking(socket) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { write(socket, $0.baseAddress, $0.count) }
            let code = errno
            if count > 0 {
                sent += count
            } else if code == EAGAIN {
                guard try ready(socket, EPOLLOUT.rawValue, clock) else { throw SendError.timedOut(sent: sent) }
            } else if code != EINTR {
                throw SendError.failed(sent: sent, code: code)
            }
        }
    }
}
