import Course
import Sockets

func milliseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}

func isReady(_ socket: Int32, toWrite: Bool, before end: Int) -> Bool {
    while true {
        let left = max(0, end - milliseconds() + 1)
        let isOver = end <= milliseconds()
        var time = isOver ? timeval() : timeval(tv_sec: left / 1000, tv_usec: left % 1000 * 1000)
        var set = fd_set()
        fdZero(&set)
        fdSet(socket, &set)
        let count = toWrite ? select(socket + 1, nil, &set, nil, &time) : select(socket + 1, &set, nil, nil, &time)
        if count > 0 { return true }
        if isOver { return false }
    }
}
