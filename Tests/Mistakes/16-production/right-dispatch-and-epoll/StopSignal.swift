import Course
import Dispatch
import Sockets

private var watchers: [DispatchSourceSignal] = []

func stopDescriptor() throws -> Int32 {
    var ends: [Int32] = [0, 0]
    try check("pipe", pipe(&ends))
    let writing = ends[1]
    try check("fcntl", fcntl(ends[0], F_SETFD, FD_CLOEXEC))
    try check("fcntl", fcntl(writing, F_SETFD, FD_CLOEXEC))
    let queue = DispatchQueue(label: "stop")
    var told = false
    for number in [SIGTERM, SIGINT] {
        signal(number, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
        source.setEventHandler {
            guard !told else { return }
            told = true
            _ = write(writing, [1], 1)
        }
        source.resume()
        watchers.append(source)
    }
    return ends[0]
}
