import Course
import Sockets

func receiveWithTimeout(_ socket: Int32, count: Int, timeout: Milliseconds) throws -> ReceivedInTime {
    let clock = Clock(timeout)
    return try withoutBlocking(socket) {
        var bytes: [UInt8] = []
        while bytes.count < count {
            var part = [UInt8](repeating: 0, count: min(4096, count - bytes.count))
            let got = read(socket, &part, part.count)
            let code = errno
            if got == 0 { return ReceivedInTime(bytes, .endOfStream) }
            if got > 0 {
                bytes.append(contentsOf: part.prefix(got))
            } else if code == EAGAIN {
                guard try ready(socket, EPOLLIN.rawValue, clock) else { return ReceivedInTime(bytes, .timedOut) }
            } else if code != EINTR {
                return ReceivedInTime(bytes, .broken(code: code))
            }
        }
        return ReceivedInTime(bytes, .complete)
    }
}
