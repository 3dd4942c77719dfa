// How the decoders of several lessons are fed by graders, and how their work is measured.
import Sockets

/// Argument 1 cut as argument 2 says: `.int`: chunks of that size; `.list`: chunks of these lengths (0 for an empty
/// one), and what is left as the last.
func chunks(_ arguments: [Value]) throws -> [[UInt8]] {
    let stream = try arguments.bytes(1)
    if arguments.count > 2, case .int(let size) = arguments[2], size > 0 { return cut(stream, size) }
    var chunks: [[UInt8]] = []
    var start = 0
    for index in try arguments.list(2).indices {
        let end = min(start + (try arguments.list(2).int(index)), stream.count)
        chunks.append(Array(stream[start..<end]))
        start = end
    }
    if start < stream.count { chunks.append(Array(stream[start...])) }
    return chunks
}

func cut(_ stream: [UInt8], _ size: Int) -> [[UInt8]] {
    stride(from: 0, to: stream.count, by: size).map { Array(stream[$0..<min($0 + size, stream.count)]) }
}

/// clock_gettime(2)
func threadCPUTime() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
