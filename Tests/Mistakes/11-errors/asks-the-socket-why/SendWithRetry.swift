import Course
import Sockets

private struct Sender {
    let socket: Int32
    let end: Deadline
    var sent = 0

    /// What is wrong with the connection. As after a connect: the socket keeps the reason.
    func reason() -> Int32 {
        var reason: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(socket, SOL_SOCKET, SO_ERROR, &reason, &size) == 0 else { return errno }
        return reason
    }

    /// Sends once, or waits once. False when nothing is left to do.
    mutating func step(_ bytes: UnsafeRawBufferPointer) throws -> Bool {
        guard sent < bytes.count else { return false }
        let count = send(socket, bytes.baseAddress! + sent, bytes.count - sent, MSG_DONTWAIT | MSG_NOSIGNAL)
        if count >= 0 {
            sent += count
            return true
        }
        switch errno {
        case EINTR: return true
        case EAGAIN:
            switch waitUntilReady(socket, for: Int32(POLLOUT), before: end) {
            case .ready: return true
            case .late: throw SendError.timedOut(sent: sent)
            case .failed(let code): throw SendError.failed(sent: sent, code: code)
            }
        default:
            throw SendError.failed(sent: sent, code: reason())
        }
    }
}

func sendWithRetry(_ socket: Int32, _ bytes: [UInt8], timeout: Milliseconds) throws {
    var sender = Sender(socket: socket, end: Deadline(in: timeout))
    try bytes.withUnsafeBytes { raw in
        while try sender.step(raw) {}
    }
}
