import Course
import Sockets

func receiveWithTimeout(_ socket: Int32, count: Int, timeout: Milliseconds) throws -> ReceivedInTime {
    var limit = timeval(tv_sec: timeout / 1000, tv_usec: timeout % 1000 * 1000)
    try check(
        "setsockopt",
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size)))
    var bytes: [UInt8] = []
    while bytes.count < count {
        var buffer = [UInt8](repeating: 0, count: count - bytes.count)
        let got = recv(socket, &buffer, buffer.count, 0)
        let code = errno
        if got > 0 {
            bytes += buffer[..<got]
        } else if got == 0 {
            return ReceivedInTime(bytes, .endOfStream)
        } else if code == EAGAIN {
            return ReceivedInTime(bytes, .timedOut)
        } else if code != EINTR {
            return ReceivedInTime(bytes, .broken(code: code))
        }
    }
    return ReceivedInTime(bytes, .complete)
}
