import Course
import Sockets

private nonisolated(unsafe) var stopWriter: Int32 = -1

func stopDescriptor() throws -> Int32 {
    var ends: [Int32] = [-1, -1]
    try check("pipe", pipe(&ends))
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
    stopWriter = ends[1]

    var action = sigaction()
    sigemptyset(&action.sa_mask)
    setHandler(&action) { _ in
        let saved = errno
        var byte: UInt8 = 0
        _ = write(stopWriter, &byte, 1)
        errno = saved
    }
    try check("sigaction", sigaction(SIGTERM, &action, nil))
    return ends[0]
}

private func setHandler(_ action: inout sigaction, _ handler: @escaping @convention(c) (Int32) -> Void) {
    #if canImport(Darwin)
    action.__sigaction_u.__sa_handler = handler
    #else
    action.__sigaction_handler.sa_handler = handler
    #endif
}
