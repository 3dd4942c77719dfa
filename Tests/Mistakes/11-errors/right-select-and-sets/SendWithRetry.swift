import Course
import Sockets

func sendWithRetry(_ socket: Int32, _ bytes: [UInt8], timeout: Milliseconds) throws {
    let end = milliseconds() + timeout
    var rest = bytes[...]
    while !rest.isEmpty {
        guard isReady(socket, toWrite: true, before: end) else {
            throw SendError.timedOut(sent: bytes.count - rest.count)
        }
        let count = rest.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_DONTWAIT | MSG_NOSIGNAL) }
        if count >= 0 {
            rest = rest.dropFirst(count)
        } else if errno != EAGAIN && errno != EINTR {
            throw SendError.failed(sent: bytes.count - rest.count, code: errno)
        }
    }
}
