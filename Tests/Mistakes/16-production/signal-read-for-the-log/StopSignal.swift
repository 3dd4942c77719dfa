import Course
import Dispatch
import Sockets

/// SIGTERM and SIGINT, as bytes in a socket pair; a line on standard error says that they came.
private enum StopBell {
    nonisolated(unsafe) static var ends: [Int32] = [-1, -1]
    nonisolated(unsafe) static var log: DispatchSourceRead?

    static func hang() throws {
        try check("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, &ends))
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        for number in [SIGTERM, SIGINT] {
            var action = sigaction()
            sigemptyset(&action.sa_mask)
            action.sa_flags = SA_RESTART
            action.__sigaction_handler.sa_handler = { _ in
                let before = errno
                var note: UInt8 = 1
                _ = send(StopBell.ends[1], &note, 1, MSG_NOSIGNAL)
                errno = before
            }
            try check("sigaction", sigaction(number, &action, nil))
        }
    }

    /// Says what came, as soon as it comes.
    static func report() {
        let source = DispatchSource.makeReadSource(fileDescriptor: ends[0])
        source.setEventHandler {
            var notes = [UInt8](repeating: 0, count: 64)
            let count = recv(ends[0], &notes, notes.count, 0)
            if count > 0 { fputs("asked to stop\n", stderr) }
        }
        source.resume()
        log = source
    }
}

func stopDescriptor() throws -> Int32 {
    try StopBell.hang()
    StopBell.report()
    return StopBell.ends[0]
}
