import Course

struct FrameDecoder: MessageDecoder {
    let limit: Int

    private var buffer: [UInt8] = []
    private var start = 0

    init(limit: Int) {
        self.limit = limit
    }

    mutating func feed(_ bytes: [UInt8]) {
        buffer.removeSubrange(..<start)
        start = 0
        buffer += bytes
    }

    mutating func next() throws -> [UInt8]? {
        let body = start + 4
        guard body <= buffer.count else { return nil }
        let length = buffer[start..<body].reduce(0) { $0 << 8 | Int($1) } & 0xffff
        guard length <= limit else { throw FramingError.tooLong(limit: limit) }
        guard length <= buffer.count - body else { return nil }
        start = body + length
        return Array(buffer[body..<start])
    }
}
