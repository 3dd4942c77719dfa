import Course
import Sockets

/// eventfd(2): a counter that is readable as long as it is not 0. Nobody reads it, so it never is again.
private nonisolated(unsafe) var counter: Int32 = -1

func stopDescriptor() throws -> Int32 {
    counter = try check("eventfd", eventfd(0, Int32(O_NONBLOCK | O_CLOEXEC)))
    for number in [SIGTERM, SIGINT] {
        var action = sigaction()
        sigfillset(&action.sa_mask)
        action.sa_flags = Int32(SA_RESTART)
        action.__sigaction_handler.sa_handler = { _ in
            let kept = errno
            var one: UInt64 = 1
            _ = write(counter, &one, 8)
            errno = kept
        }
        try check("sigaction", sigaction(number, &action, nil))
    }
    return counter
}
