import Course
import Sockets

func receiveWithTimeout(_ socket: Int32, count: Int, timeout: Milliseconds) -> ReceivedInTime {
    let deadline = Deadline(in: timeout)
    guard case .ready = waitUntilReady(socket, for: Int32(POLLIN), before: deadline) else {
        return ReceivedInTime([], .timedOut)
    }
    var buffer = [UInt8](repeating: 0, count: count)
    while true {
        let got = recv(socket, &buffer, count, 0)
        let code = errno
        if got > 0 { return ReceivedInTime(Array(buffer[..<got]), .complete) }
        if got == 0 { return ReceivedInTime([], .endOfStream) }
        if code != EINTR { return ReceivedInTime([], .broken(code: code)) }
    }
}
