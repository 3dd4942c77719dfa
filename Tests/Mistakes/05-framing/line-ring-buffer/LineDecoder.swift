import Course

/// Lines out of a stream. The bytes lie in a ring that is made once: whatever a stranger sends, it never grows.
final class LineDecoder: MessageDecoder {
    let limit: Int

    private var ring: [UInt8]
    private var head = 0  // where the oldest byte lies
    private var used = 0  // how many bytes are in the ring
    private var looked = 0  // so many of them are known not to be a newline
    private var spilled = false  // something came that had no place

    init(limit: Int) {
        self.limit = limit
        // The longest line and its newline.
        ring = [UInt8](repeating: 0, count: limit + 1)
    }

    func feed(_ bytes: [UInt8]) {
        let fitting = min(bytes.count, ring.count - used)
        var place = (head + used) % ring.count
        for index in 0..<fitting {
            ring[place] = bytes[index]
            place += 1
            if place == ring.count { place = 0 }
        }
        used += fitting
        if fitting < bytes.count { spilled = true }
    }

    func next() throws -> [UInt8]? {
        while looked < used {
            if ring[(head + looked) % ring.count] == 10 { return takeLine(looked) }
            looked += 1
        }
        // As soon as it is certain: one byte more than a line may have, or no place for what came.
        if used > limit || spilled { throw FramingError.tooLong(limit: limit) }
        return nil
    }

    private func takeLine(_ length: Int) -> [UInt8] {
        var line: [UInt8] = []
        line.reserveCapacity(length)
        for offset in 0..<length { line.append(ring[(head + offset) % ring.count]) }
        head = (head + length + 1) % ring.count
        used -= length + 1
        looked = 0
        return line
    }
}
