// sched_setaffinity(2): which CPUs a thread may run on. Those that it starts inherit it.
#if os(Linux)
import Sockets

enum OneCPU {
    /// This thread, and whatever it starts, runs on one CPU from now on.
    ///
    /// - Returns: what gives it back those that it had.
    static func hold() -> () -> Void {
        var before = cpu_set_t()
        let size = MemoryLayout<cpu_set_t>.size
        guard sched_getaffinity(0, size, &before) == 0 else { return {} }
        // The last one: the first has to serve most interrupts.
        var one = cpu_set_t()
        let found = withUnsafeBytes(of: before) { before in
            (0..<size * 8).last { before[$0 / 8] & (1 << UInt8($0 % 8)) != 0 }
        }
        guard let found else { return {} }
        withUnsafeMutableBytes(of: &one) { $0[found / 8] = 1 << UInt8(found % 8) }
        sched_setaffinity(0, size, &one)
        return { [before] in
            var before = before
            sched_setaffinity(0, size, &before)
        }
    }
}
#endif
