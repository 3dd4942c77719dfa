import Course

/// A frame is a length (u32, big-endian) and so many bytes.
struct FrameDecoder: MessageDecoder {
    let limit: Int

    /// What came. The bytes before `start` have been handed out already.
    private var buffer: [UInt8] = []
    private var start = 0

    init(limit: Int) {
        self.limit = limit
    }

    mutating func feed(_ bytes: [UInt8]) {
        // Once a chunk, not once a message: see LineDecoder. The buffer grows by what has arrived, never by what a
        // length promises: a thousand clients could each promise a gigabyte and send four bytes.
        buffer.removeSubrange(..<start)
        start = 0
        buffer += bytes
    }

    mutating func next() throws -> [UInt8]? {
        let body = start + 4
        guard body <= buffer.count else { return nil }
        // Each byte is made an Int before it is shifted: a UInt8 shifted left by 8 is 0.
        let length = buffer[start..<body].reduce(0) { $0 << 8 | Int($1) }
        guard length <= limit else { throw FramingError.tooLong(limit: limit) }
        guard length <= buffer.count - body else { return nil }
        start = body + length
        return Array(buffer[body..<start])
    }
}
