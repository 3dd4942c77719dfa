import Sockets

/// Wakes whoever waits on a socket when something else happens: a pipe that is readable while there is something to
/// notice. That the program has ended stays noticeable for ever.
final class Interruption: @unchecked Sendable {
    let descriptor: Int32
    private let writer: Int32
    /// How long the program has wanted to run and could not, in nanoseconds.
    let starved: @Sendable () -> UInt64

    init(starved: @escaping @Sendable () -> UInt64 = { 0 }) throws {
        self.starved = starved
        (descriptor, writer) = try closeOnExecPipe()
        _ = fcntl(writer, F_SETFL, O_NONBLOCK)
    }

    /// A pipe that is full is readable already.
    func fire() { _ = [0 as UInt8].withUnsafeBytes { write(writer, $0.baseAddress, 1) } }

    /// Takes one `fire` back.
    func clear() {
        var byte: UInt8 = 0
        _ = read(descriptor, &byte, 1)
    }

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

/// Waits until `descriptor` is ready for `events` (poll(2)), the deadline passes (later for a program that is starved), or
/// the program ends (or comes back with an answer, if that is asked for). Readiness wins over the others, so nothing that arrived is missed.
func awaitReadiness(
    of descriptor: Int32, _ events: Int32, until deadline: Deadline, or interruption: Interruption,
    answered: Interruption? = nil
) -> Readiness {
    var descriptors = [
        pollfd(fd: descriptor, events: Int16(events), revents: 0),
        pollfd(fd: interruption.descriptor, events: Int16(POLLIN), revents: 0),
        // poll passes over a negative descriptor.
        pollfd(fd: answered?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
    ]
    var latest = deadline
    var hasLookedAgain = false
    while true {
        let count = poll(&descriptors, 3, latest.milliseconds)
        if count < 0 && errno == EINTR { continue }
        if descriptors[0].revents != 0 { return .ready }
        if descriptors[1].revents != 0 || descriptors[2].revents != 0 { return .programEnded }
        guard count == 0, latest.hasPassed else { continue }
        latest = deadline.extended(by: interruption.starved())
        guard latest.hasPassed else { continue }
        // We may have been starved as well, and it came while we did not run: poll looks once more, without waiting.
        if hasLookedAgain { return .late }
        hasLookedAgain = true
    }
}
