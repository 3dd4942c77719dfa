import Course
import Sockets

func sendWithRetry(_ socket: Int32, _ bytes: [UInt8], timeout: Milliseconds) throws {
    let clock = SuspendingClock()
    let end = clock.now.advanced(by: .milliseconds(timeout))
    var sent = 0
    while sent < bytes.count {
        // One piece of 64 KiB at a time, with the flags that a message takes.
        let piece = bytes[sent..<min(sent + 65536, bytes.count)]
        let taken = piece.withUnsafeBytes { raw -> Int in
            var vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: raw.baseAddress), iov_len: raw.count)
            return withUnsafeMutablePointer(to: &vector) {
                var message = msghdr()
                message.msg_iov = $0
                message.msg_iovlen = 1
                return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
            }
        }
        let code = errno
        if taken >= 0 {
            sent += taken
            continue
        }
        switch code {
        case EINTR: break
        case EAGAIN:
            let left = end - clock.now
            if left <= .zero { throw SendError.timedOut(sent: sent) }
            let (seconds, atto) = left.components
            var rest = timespec(tv_sec: Int(seconds), tv_nsec: Int(atto / 1_000_000_000))
            var set = fd_set()
            guard socket < FD_SETSIZE else { throw SendError.failed(sent: sent, code: EMFILE) }
            fdZero(&set)
            fdSet(socket, &set)
            if pselect(socket + 1, nil, &set, nil, &rest, nil) == -1 && errno != EINTR {
                throw SendError.failed(sent: sent, code: errno)
            }
        default: throw SendError.failed(sent: sent, code: code)
        }
    }
}
