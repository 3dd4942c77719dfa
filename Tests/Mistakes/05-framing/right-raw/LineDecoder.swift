import Course
import Sockets
/// Raw memory, memchr, by hand.
final class LineDecoder: MessageDecoder {
    let limit: Int
    private var memory = UnsafeMutableRawPointer.allocate(byteCount: 256, alignment: 1)
    private var room = 256, used = 0, start = 0, looked = 0
    init(limit: Int) { self.limit = limit }
    deinit { memory.deallocate() }
    func feed(_ bytes: [UInt8]) {
        if start > 0 { memmove(memory, memory + start, used - start); used -= start; looked -= start; start = 0 }
        while room < used + bytes.count { room *= 2; memory = realloc(memory, room) }
        bytes.withUnsafeBytes { if let p = $0.baseAddress { memcpy(memory + used, p, $0.count) } }
        used += bytes.count
    }
    func next() throws -> [UInt8]? {
        let found = memchr(memory + looked, 10, used - looked)
        let end = found.map { $0 - memory } ?? used
        if end - start > limit { throw FramingError.tooLong(limit: limit) }
        guard found != nil else { looked = used; return nil }
        let line = [UInt8](UnsafeRawBufferPointer(start: memory + start, count: end - start))
        start = end + 1; looked = start
        return line
    }
}
