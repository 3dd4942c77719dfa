import Course
import Sockets

private nonisolated(unsafe) var counter: Int32 = -1

/// An eventfd: a counter in the kernel that can be read as long as it is not 0.
func stopDescriptor() throws -> Int32 {
    counter = try check("eventfd", eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC)))
    var action = sigaction()
    sigfillset(&action.sa_mask)
    action.sa_flags = Int32(SA_RESTART)
    action.__sigaction_handler.sa_handler = { _ in
        let before = errno
        var one: UInt64 = 1
        // When it is full it says EAGAIN, and can be read all the same.
        _ = write(counter, &one, 8)
        errno = before
    }
    for signal in [SIGTERM, SIGINT] { try check("sigaction", sigaction(signal, &action, nil)) }
    return counter
}
