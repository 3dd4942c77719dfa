import Course
import Sockets

private nonisolated(unsafe) var ringer: Int32 = -1

private func ring(_: Int32) {
    let saved = errno
    var byte: UInt8 = 1
    _ = send(ringer, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL)
    errno = saved
}

func stopDescriptor() throws -> Int32 {
    var ends: [Int32] = [-1, -1]
    try check("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, &ends))
    ringer = ends[1]
    for number in [SIGTERM, SIGINT] {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = ring
        try check("sigaction", sigaction(number, &action, nil))
    }
    return ends[0]
}
