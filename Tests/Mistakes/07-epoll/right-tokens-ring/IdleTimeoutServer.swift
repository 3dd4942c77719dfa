import Course
import Sockets

func idleTimeoutServer(host: String, port: UInt16, timeout: Milliseconds) throws {
    let clock = IdleClock(limit: Int64(timeout) * 1000)
    let server = try Server(host: host, port: port, trigger: .level, clock: clock)
    defer { server.closeAll() }
    while true { try server.step() }
}

/// In microseconds. One entry for each client, in the order in which they come due.
struct IdleClock: Clock {
    let limit: Int64
    private var last: [UInt64: Int64] = [:]
    private var line: [(id: UInt64, due: Int64)] = []
    private var front = 0

    init(limit: Int64) { self.limit = limit }

    mutating func heard(_ id: UInt64) {
        let now = microseconds()
        if last.updateValue(now, forKey: id) == nil { line.append((id, now + limit)) }
    }

    mutating func left(_ id: UInt64) { last[id] = nil }

    func patience() -> Int32 {
        guard front < line.count else { return -1 }
        // Upwards: who wakes too early spins until it is time.
        return Int32(clamping: max(0, (line[front].due - microseconds() + 999) / 1000))
    }

    mutating func due() -> [UInt64] {
        let now = microseconds()
        var silent: [UInt64] = []
        while front < line.count && line[front].due <= now {
            let id = line[front].id
            front += 1
            // A number is never given out twice: who is not known any more has left.
            guard let heard = last[id] else { continue }
            if heard + limit <= now { silent.append(id) } else { line.append((id, heard + limit)) }
        }
        if front > 256 && front > line.count / 2 {
            line.removeSubrange(..<front)
            front = 0
        }
        return silent
    }
}

func microseconds() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000
}
