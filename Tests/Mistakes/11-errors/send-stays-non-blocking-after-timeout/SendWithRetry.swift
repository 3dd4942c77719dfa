import Course
import Sockets

func sendWithRetry(_ socket: Int32, _ bytes: [UInt8], timeout: Milliseconds) throws {
    let deadline = Deadline(in: timeout)
    let flags = fcntl(socket, F_GETFL)
    _ = fcntl(socket, F_SETFL, flags | O_NONBLOCK)
    var sent = 0
    while sent < bytes.count {
        let count = bytes[sent...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count >= 0 {
            sent += count
            continue
        }
        let code = errno
        if code == EINTR { continue }
        guard code == EAGAIN else { throw SendError.failed(sent: sent, code: code) }
        switch waitUntilReady(socket, for: Int32(POLLOUT), before: deadline) {
        case .ready: continue
        case .late: throw SendError.timedOut(sent: sent)
        case .failed(let code): throw SendError.failed(sent: sent, code: code)
        }
    }
    _ = fcntl(socket, F_SETFL, flags)
}
