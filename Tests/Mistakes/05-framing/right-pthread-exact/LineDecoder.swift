import Course

/// Splits while feeding. What is asked for comes out of a list, and an error only behind the lines that came before it.
final class LineDecoder: MessageDecoder {
    let limit: Int
    private var lines: [[UInt8]] = []
    private var handedOut = 0
    private var unfinished: [UInt8] = []
    private var isTooLong = false

    init(limit: Int) { self.limit = limit }

    func feed(_ bytes: [UInt8]) {
        if handedOut > 0 {
            lines.removeFirst(handedOut)
            handedOut = 0
        }
        for byte in bytes {
            if isTooLong { return }
            if byte == 10 {
                lines.append(unfinished)
                unfinished.removeAll(keepingCapacity: false)
            } else if unfinished.count == limit {
                isTooLong = true
            } else {
                unfinished.append(byte)
            }
        }
    }

    func next() throws -> [UInt8]? {
        if handedOut < lines.count {
            handedOut += 1
            return lines[handedOut - 1]
        }
        if isTooLong { throw FramingError.tooLong(limit: limit) }
        return nil
    }
}
