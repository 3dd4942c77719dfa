import Course

struct LineDecoder: MessageDecoder {
    let limit: Int

    private var buffer: [UInt8] = []
    private var start = 0
    private var searched = 0

    init(limit: Int) {
        self.limit = limit
    }

    mutating func feed(_ bytes: [UInt8]) {
        buffer.removeSubrange(..<start)
        searched -= start
        start = 0
        buffer += bytes
    }

    mutating func next() throws -> [UInt8]? {
        let newline = buffer[searched...].firstIndex(of: UInt8(ascii: "\n"))
        let end = newline ?? buffer.count
        guard end - start <= limit else { throw FramingError.tooLong(limit: limit) }
        guard newline != nil else {
            searched = end
            return nil
        }
        let line = Array(buffer[start..<end])
        buffer = []; start = 0
        searched = 0
        _ = end
        return line
    }
}
