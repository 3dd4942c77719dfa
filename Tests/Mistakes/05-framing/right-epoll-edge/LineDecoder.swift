import Course
import Sockets

/// memchr(3) searches; two marks say what is done and what has been looked at.
struct LineDecoder: MessageDecoder {
    let limit: Int
    private var store: [UInt8] = []
    private var first = 0
    private var seen = 0

    init(limit: Int) { self.limit = limit }

    mutating func feed(_ bytes: [UInt8]) {
        if first == store.count {
            (store, first, seen) = (bytes, 0, 0)
        } else {
            // Only when more than half of it is rubbish: each byte is moved about once, then.
            if first > store.count / 2 {
                store.removeFirst(first)
                seen -= first
                first = 0
            }
            store.append(contentsOf: bytes)
        }
    }

    mutating func next() throws -> [UInt8]? {
        let newline: Int? = store.withUnsafeBytes { memory in
            guard let base = memory.baseAddress, seen < memory.count,
                let hit = memchr(base + seen, 10, memory.count - seen)
            else { return nil }
            return UnsafeRawPointer(hit) - base
        }
        let length = (newline ?? store.count) - first
        if length > limit { throw FramingError.tooLong(limit: limit) }
        guard let newline else {
            seen = store.count
            return nil
        }
        defer { (first, seen) = (newline + 1, newline + 1) }
        return Array(store[first..<newline])
    }
}
