import Course
import Sockets

private var writing: Int32 = -1

func stopDescriptor() throws -> Int32 {
    var ends: [Int32] = [0, 0]
    try check("pipe", pipe(&ends))
    writing = ends[1]

    var action = sigaction()
    action.__sigaction_handler.sa_handler = { _ in
        let saved = errno
        var byte: UInt8 = 1
        _ = write(writing, &byte, 1)
        errno = saved
    }
    try check("sigaction", sigaction(SIGTERM, &action, nil))
    try check("sigaction", sigaction(SIGINT, &action, nil))
    return ends[0]
}
