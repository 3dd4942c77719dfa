import Course

final class FrameDecoder: MessageDecoder {
    let limit: Int
    private let buffer = ByteBuffer()

    init(limit: Int) { self.limit = limit }

    func feed(_ bytes: [UInt8]) {
        buffer.compact()
        buffer.put(bytes)
    }

    func next() throws -> [UInt8]? {
        if buffer.count < 4 { return nil }
        let length = Int(buffer.peekUInt32())
        if length > limit { throw FramingError.tooLong(limit: limit) }
        if buffer.count < 4 + length { return nil }
        buffer.skip(4)
        return buffer.get(length)
    }
}
