import Course

final class FrameDecoder: MessageDecoder {
    let limit: Int
    private var store: [UInt8] = []
    private var first = 0

    init(limit: Int) { self.limit = limit }

    func feed(_ bytes: [UInt8]) {
        if first == store.count {
            (store, first) = (bytes, 0)
            return
        }
        if first > store.count / 2 {
            store.removeFirst(first)
            first = 0
        }
        store.append(contentsOf: bytes)
    }

    func next() throws -> [UInt8]? {
        let available = store.count - first
        if available < 4 { return nil }
        let length = store.withUnsafeBytes {
            Int(UInt32(bigEndian: $0.loadUnaligned(fromByteOffset: first, as: UInt32.self)))
        }
        if length > limit { throw FramingError.tooLong(limit: limit) }
        if available - 4 < length { return nil }
        let message = Array(store[(first + 4)..<(first + 4 + length)])
        first += 4 + length
        return message
    }
}
