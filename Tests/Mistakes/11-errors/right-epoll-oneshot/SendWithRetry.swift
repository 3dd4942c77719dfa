import Course
import Sockets

func sendWithRetry(_ socket: Int32, _ bytes: [UInt8], timeout: Milliseconds) throws {
    let sender = Sender(socket, until: Moment.now.after(timeout))
    defer { sender.finish() }
    try bytes.withUnsafeBytes { try sender.send($0) }
}

private final class Sender {
    private let socket: Int32
    private let watch: ReadinessWatch
    private var taken = 0

    init(_ socket: Int32, until end: Moment) {
        self.socket = socket
        watch = ReadinessWatch(socket, forWriting: true, until: end)
    }

    func finish() { watch.dispose() }

    func send(_ bytes: UnsafeRawBufferPointer) throws {
        while taken < bytes.count {
            let (count, code) = push(bytes)
            if count >= 0 {
                taken += count
                continue
            }
            switch code {
            case EINTR: continue
            case EAGAIN: try waitForRoom()
            default: throw SendError.failed(sent: taken, code: code)
            }
        }
    }

    /// The rest, as two pieces in one message; the second may be empty.
    private func push(_ bytes: UnsafeRawBufferPointer) -> (Int, Int32) {
        let rest = bytes.count - taken
        let start = UnsafeMutableRawPointer(mutating: bytes.baseAddress! + taken)
        let first = min(rest, 100_000)
        let second = min(rest - first, 100_000)
        var pieces = [iovec(iov_base: start, iov_len: first), iovec(iov_base: start + first, iov_len: second)]
        return pieces.withUnsafeMutableBufferPointer { pieces in
            var message = msghdr()
            message.msg_iov = pieces.baseAddress
            message.msg_iovlen = second > 0 ? 2 : 1
            let count = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
            return (count, errno)
        }
    }

    private func waitForRoom() throws {
        switch watch.wait() {
        case .ready: return
        case .late: throw SendError.timedOut(sent: taken)
        case .failed(let code): throw SendError.failed(sent: taken, code: code)
        }
    }
}
