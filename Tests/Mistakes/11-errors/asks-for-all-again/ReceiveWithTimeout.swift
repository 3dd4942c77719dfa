import Course
import Foundation
import Sockets

/// Waits first and receives then, so that one place decides about the time.
func receiveWithTimeout(_ socket: Int32, count: Int, timeout: Milliseconds) throws -> ReceivedInTime {
    let begin = ProcessInfo.processInfo.systemUptime
    let room = UnsafeMutablePointer<UInt8>.allocate(capacity: max(count * 2, 1))
    defer { room.deallocate() }
    var have = 0
    func result(_ ending: ReceivedInTime.Ending) -> ReceivedInTime {
        ReceivedInTime(Array(UnsafeBufferPointer(start: room, count: min(have, count))), ending)
    }
    while have < count {
        let spent = (ProcessInfo.processInfo.systemUptime - begin) * 1000
        let left = max(0, (Double(timeout) - spent).rounded(.up))
        var entry = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        let ready = poll(&entry, 1, Int32(min(left, 1_000_000_000)))
        if ready == 0 { return result(.timedOut) }
        if ready == -1 {
            if errno != EINTR { return result(.broken(code: errno)) }
            if left == 0 { return result(.timedOut) }
            continue
        }
        let got = recvfrom(socket, room + have, count, MSG_DONTWAIT, nil, nil)
        if got > 0 { have += got }
        if got == 0 { return result(.endOfStream) }
        if got == -1 && errno != EINTR && errno != EAGAIN { return result(.broken(code: errno)) }
    }
    return result(.complete)
}
