import Course

struct LineDecoder: MessageDecoder {
    let limit: Int
    private var data: [UInt8] = []
    private var head = 0  // first byte not handed out
    private var scanned = 0  // no newline before this

    init(limit: Int) { self.limit = limit }

    mutating func feed(_ bytes: [UInt8]) {
        if head > 0 {
            data.removeFirst(head)
            head = 0
        }
        data.append(contentsOf: bytes)
    }

    mutating func next() throws -> [UInt8]? {
        var i = scanned
        while i < data.count {
            if data[i] == 0x0a {
                if i - head > limit { throw FramingError.tooLong(limit: limit) }
                let line = Array(data[head..<i])
                head = i + 1
                scanned = head
                return line
            }
            i += 1
        }
        if data.count - head > limit { throw FramingError.tooLong(limit: limit) }
        scanned = i
        return nil
    }
}
