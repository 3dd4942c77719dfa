import Course
import Sockets

func receiveWithTimeout(_ socket: Int32, count: Int, timeout: Milliseconds) -> ReceivedInTime {
    let end = milliseconds() + timeout
    var all = [UInt8](repeating: 0, count: count)
    var filled = 0
    while filled < count {
        guard isReady(socket, toWrite: false, before: end) else {
            return ReceivedInTime(Array(all[..<filled]), .timedOut)
        }
        let got = all[filled...].withUnsafeMutableBytes { recv(socket, $0.baseAddress, $0.count, MSG_DONTWAIT) }
        let code = errno
        if got == 0 { return ReceivedInTime(Array(all[..<filled]), .endOfStream) }
        if got > 0 { filled += got }
        if got < 0 && code != EAGAIN && code != EINTR {
            return ReceivedInTime(Array(all[..<filled]), .broken(code: code))
        }
    }
    return ReceivedInTime(all, .complete)
}
