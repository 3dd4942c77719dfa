import Course

final class LineDecoder: MessageDecoder {
    let limit: Int
    private let buffer = ByteBuffer()
    /// So many bytes at the front of the buffer have no newline among them.
    private var seen = 0

    init(limit: Int) { self.limit = limit }

    func feed(_ bytes: [UInt8]) {
        buffer.compact()
        buffer.put(bytes)
    }

    func next() throws -> [UInt8]? {
        let newline = buffer.find(0x0a, from: seen)
        seen = newline ?? buffer.count
        if seen > limit { throw FramingError.tooLong(limit: limit) }
        guard newline != nil else { return nil }
        let line = buffer.get(seen)
        buffer.skip(1)
        seen = 0
        return line
    }
}
