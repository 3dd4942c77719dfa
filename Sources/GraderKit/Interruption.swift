import Sockets

/// Wakes whoever waits on a socket when the program on the other side has ended: a pipe that becomes readable once and
/// for ever.
final class Interruption: @unchecked Sendable {
    let descriptor: Int32
    private let writer: Int32

    init() throws {
        (descriptor, writer) = try closeOnExecPipe()
    }

    func fire() { _ = [0 as UInt8].withUnsafeBytes { write(writer, $0.baseAddress, 1) } }

    deinit {
        close(descriptor)
        close(writer)
    }
}

enum Readiness {
    case ready
    case late
    case programEnded
}

/// Waits until `descriptor` is ready for `events` (poll(2)), the deadline passes, or the program ends. Readiness wins
/// over the other two, so nothing that arrived is missed.
func awaitReadiness(of descriptor: Int32, _ events: Int32, until deadline: Deadline, or interruption: Interruption)
    -> Readiness
{
    var descriptors = [
        pollfd(fd: descriptor, events: Int16(events), revents: 0),
        pollfd(fd: interruption.descriptor, events: Int16(POLLIN), revents: 0),
    ]
    while true {
        let count = poll(&descriptors, 2, deadline.milliseconds)
        if count < 0 && errno == EINTR { continue }
        if descriptors[0].revents != 0 { return .ready }
        if descriptors[1].revents != 0 { return .programEnded }
        if count == 0 && deadline.hasPassed { return .late }
    }
}
