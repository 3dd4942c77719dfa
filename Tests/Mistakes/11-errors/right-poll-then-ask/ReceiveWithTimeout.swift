import Course
import Sockets

func receiveWithTimeout(_ socket: Int32, count: Int, timeout: Milliseconds) throws -> ReceivedInTime {
    let end = pointInTime(after: timeout)
    var bytes: [UInt8] = []
    func stop(_ ending: ReceivedInTime.Ending) -> ReceivedInTime { ReceivedInTime(bytes, ending) }
    while bytes.count < count {
        let last = pause(socket, for: Int32(POLLIN), until: end)
        if case .failed(let code) = last { return stop(.broken(code: code)) }

        var room = [UInt8](repeating: 0, count: min(count - bytes.count, 10_000))
        let got = recvfrom(socket, &room, room.count, Int32(MSG_DONTWAIT), nil, nil)
        let code = errno
        switch (got, last) {
        case (1..., _): bytes += room.prefix(got)
        case (0, _): return stop(.endOfStream)
        case (_, .yes) where code == EAGAIN: return stop(.timedOut)
        default:
            if code != EAGAIN && code != EINTR { return stop(.broken(code: code)) }
        }
    }
    return stop(.complete)
}
