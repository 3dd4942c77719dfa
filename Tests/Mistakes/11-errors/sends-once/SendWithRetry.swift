import Course
import Sockets

func sendWithRetry(_ socket: Int32, _ bytes: [UInt8], timeout: Milliseconds) throws {
    let deadline = Deadline(in: timeout)
    while true {
        if send(socket, bytes, bytes.count, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 { return }
        let code = errno
        if code == EINTR { continue }
        guard code == EAGAIN else { throw SendError.failed(sent: 0, code: code) }
        guard case .ready = waitUntilReady(socket, for: Int32(POLLOUT), before: deadline) else {
            throw SendError.timedOut(sent: 0)
        }
    }
}
