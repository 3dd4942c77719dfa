import Course

/// Splits while it is fed: finished lines wait in a list, and the unfinished one is kept apart.
final class LineDecoder: MessageDecoder {
    let limit: Int

    private static let newline: UInt8 = 10
    private var unfinished: [UInt8] = []
    private var finished: [[UInt8]] = []
    private var handedOut = 0
    /// Nothing is taken any more once a line was too long; the good ones before it can still be had.
    private var overflowed = false

    init(limit: Int) {
        self.limit = limit
    }

    func feed(_ bytes: [UInt8]) {
        if bytes.isEmpty {
            // recv gave nothing, so the stream has ended: what has no newline by now will never be a line.
            unfinished.removeAll()
            return
        }
        for byte in bytes {
            if overflowed { return }
            if byte == LineDecoder.newline {
                finished.append(unfinished)
                unfinished = []
            } else {
                unfinished.append(byte)
                overflowed = unfinished.count > limit
            }
        }
    }

    func next() throws -> [UInt8]? {
        if handedOut < finished.count {
            handedOut += 1
            return finished[handedOut - 1]
        }
        finished.removeAll(keepingCapacity: true)
        handedOut = 0
        if overflowed { throw FramingError.tooLong(limit: limit) }
        return nil
    }
}
