import Course

struct FrameDecoder: MessageDecoder {
    let limit: Int

    private var store: [UInt8] = []
    private var head = 0
    private var available: Int { store.count - head }

    init(limit: Int) {
        self.limit = limit
    }

    mutating func feed(_ bytes: [UInt8]) {
        if head > 0 {
            store = Array(store[head...])
            head = 0
        }
        store += bytes
    }

    mutating func next() throws -> [UInt8]? {
        guard let total = frameSize() else { return nil }
        guard Int(total) - 4 <= limit else { throw FramingError.tooLong(limit: limit) }
        guard available >= Int(total) else { return nil }
        let frame = store[head..<head + Int(total)]
        head = frame.endIndex
        return Array(frame.dropFirst(4))
    }

    /// Bytes of the whole frame at the front, its length among them; nil if that is not all here.
    private func frameSize() -> UInt32? {
        guard available >= 4 else { return nil }
        var length: UInt32 = 0
        for index in head..<head + 4 { length = length << 8 | UInt32(store[index]) }
        // A stranger's number: an addition that traps would end the program.
        return length &+ 4
    }
}
