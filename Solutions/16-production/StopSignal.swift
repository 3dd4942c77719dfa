import Course
import Sockets

/// The writing end of the pipe, for the handler. A handler is a C function: it can know only what is global.
private nonisolated(unsafe) var stopWriter: Int32 = -1

func stopDescriptor() throws -> Int32 {
    var ends: [Int32] = [-1, -1]
    try check("pipe", pipe(&ends))
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    // A handler must not wait, not even when somebody sends signals by the thousand.
    _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
    stopWriter = ends[1]

    // A flag alone would be seen too late: a signal between the look at the flag and poll leaves poll waiting. A byte in
    // a pipe stays there until somebody polls it. And write is one of the few calls that a handler may make
    // (signal-safety(7)); it must leave errno as the interrupted code knows it.
    var action = sigaction()
    sigemptyset(&action.sa_mask)
    setHandler(&action) { _ in
        let saved = errno
        var byte: UInt8 = 0
        _ = write(stopWriter, &byte, 1)
        errno = saved
    }
    try check("sigaction", sigaction(SIGTERM, &action, nil))
    try check("sigaction", sigaction(SIGINT, &action, nil))
    return ends[0]
}

private func setHandler(_ action: inout sigaction, _ handler: @escaping @convention(c) (Int32) -> Void) {
    #if canImport(Darwin)
    action.__sigaction_u.__sa_handler = handler
    #else
    action.__sigaction_handler.sa_handler = handler
    #endif
}
