import Course

struct LineDecoder: MessageDecoder {
    let limit: Int
    private var buffer: [UInt8] = []
    private var start = 0
    private var searched = 0

    init(limit: Int) { self.limit = limit }

    mutating func feed(_ bytes: [UInt8]) {
        buffer.removeSubrange(..<start)
        searched -= start
        start = 0
        buffer += bytes
    }

    mutating func next() throws -> [UInt8]? {
        guard let end = buffer[searched...].firstIndex(of: 10) else {
            // No newline yet, and already too much: it can only get worse.
            if buffer.count > limit { throw FramingError.tooLong(limit: limit) }
            searched = buffer.count
            return nil
        }
        guard end - start <= limit else { throw FramingError.tooLong(limit: limit) }
        let line = Array(buffer[start..<end])
        start = end + 1
        searched = start
        return line
    }
}
