import Course
import Sockets

private nonisolated(unsafe) var bell: Int32 = -1

func stopDescriptor() throws -> Int32 {
    bell = try check("eventfd", eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)))
    var action = sigaction()
    sigfillset(&action.sa_mask)
    action.sa_flags = Int32(SA_RESTART)
    action.__sigaction_handler.sa_handler = { _ in
        let before = errno
        var one: UInt64 = 1
        _ = write(bell, &one, 8)
        errno = before
    }
    for number in [SIGTERM, SIGINT] { try check("sigaction", sigaction(number, &action, nil)) }
    return bell
}
