import Course
import Sockets

func receiveWithTimeout(_ socket: Int32, count: Int, timeout: Milliseconds) -> ReceivedInTime {
    var bytes: [UInt8] = []
    while bytes.count < count {
        var entry = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        let ready = poll(&entry, 1, Int32(timeout))
        if ready == -1 && errno == EINTR { continue }
        if ready == 0 { return ReceivedInTime(bytes, .timedOut) }
        var buffer = [UInt8](repeating: 0, count: count - bytes.count)
        let got = recv(socket, &buffer, buffer.count, 0)
        if got == -1 && errno == EINTR { continue }
        if got == -1 { return ReceivedInTime(bytes, .broken(code: errno)) }
        if got == 0 { return ReceivedInTime(bytes, .endOfStream) }
        bytes += buffer[..<got]
    }
    return ReceivedInTime(bytes, .complete)
}
