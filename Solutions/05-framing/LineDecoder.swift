import Course

/// Lines end at LF (byte 10) and nowhere else; a CR before it stays with the line.
///
/// Bytes, never a String: a character cut in two by the network is not text until its other half is here, and Swift
/// takes CR LF for one Character, in which a search for "\n" finds nothing.
struct LineDecoder: MessageDecoder {
    let limit: Int

    /// What came. The bytes before `start` have been handed out already.
    private var buffer: [UInt8] = []
    private var start = 0
    /// There is no newline in `buffer[start..<searched]`: a long line that comes byte by byte is searched once.
    private var searched = 0

    init(limit: Int) {
        self.limit = limit
    }

    mutating func feed(_ bytes: [UInt8]) {
        // Close the gap at the front here, once a chunk, and not once a message: a chunk of a thousand short lines
        // would move the rest a thousand times.
        buffer.removeSubrange(..<start)
        searched -= start
        start = 0
        buffer += bytes
    }

    mutating func next() throws -> [UInt8]? {
        let newline = buffer[searched...].firstIndex(of: UInt8(ascii: "\n"))
        let end = newline ?? buffer.count
        // Without a newline this is the least that the line will be: one byte too many is enough to know.
        guard end - start <= limit else { throw FramingError.tooLong(limit: limit) }
        guard newline != nil else {
            searched = end
            return nil
        }
        let line = Array(buffer[start..<end])
        start = end + 1
        searched = start
        return line
    }
}
