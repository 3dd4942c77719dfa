import Course

/// One pass over the bytes: each is looked at once and goes to the line that is being put together.
struct LineDecoder: MessageDecoder {
    let limit: Int

    private var inbox: [UInt8] = []
    private var cursor = 0
    private var line: [UInt8] = []

    private static let newline: UInt8 = 0x0a
    private static let carriageReturn: UInt8 = 0x0d

    init(limit: Int) {
        self.limit = limit
    }

    mutating func feed(_ bytes: [UInt8]) {
        if cursor == inbox.count {
            inbox = bytes
        } else {
            inbox.removeFirst(cursor)
            inbox.append(contentsOf: bytes)
        }
        cursor = 0
    }

    mutating func next() throws -> [UInt8]? {
        while cursor < inbox.count {
            let byte = inbox[cursor]
            cursor += 1
            if byte == LineDecoder.newline {
                defer { line = [] }
                return line
            }
            line.append(byte)
            if lengthOfText > limit { throw FramingError.tooLong(limit: limit) }
        }
        return nil
    }

    /// What counts against the limit: the line without the mark that ends it, be that LF or CR LF.
    private var lengthOfText: Int {
        line.last == LineDecoder.carriageReturn ? line.count - 1 : line.count
    }
}
