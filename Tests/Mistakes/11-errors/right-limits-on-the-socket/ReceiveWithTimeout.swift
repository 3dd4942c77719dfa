import Course
import Sockets

func receiveWithTimeout(_ socket: Int32, count: Int, timeout: Milliseconds) throws -> ReceivedInTime {
    let deadline = Deadline(in: timeout)
    var bytes: [UInt8] = []
    return try limited(SO_RCVTIMEO, of: socket) {
        while bytes.count < count {
            let left = deadline.left
            var part = [UInt8](repeating: 0, count: count - bytes.count)
            if left > 0 { try setLimit(SO_RCVTIMEO, of: socket, left) }
            let got = recv(socket, &part, part.count, left == 0 ? MSG_DONTWAIT : 0)
            let code = errno
            if got > 0 { bytes += part[..<got] }
            if got == 0 { return ReceivedInTime(bytes, .endOfStream) }
            if got > 0 || code == EINTR { continue }
            guard code == EAGAIN else { return ReceivedInTime(bytes, .broken(code: code)) }
            guard case .ready = waitUntilReady(socket, for: Int32(POLLIN), before: deadline) else {
                return ReceivedInTime(bytes, .timedOut)
            }
        }
        return ReceivedInTime(bytes, .complete)
    }
}
