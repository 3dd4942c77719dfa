import Course

/// The frame that is coming in lies in one piece of memory, which is made once: an array that grows while it is filled
/// would be copied again and again.
struct FrameDecoder: MessageDecoder {
    let limit: Int

    private static let prefix = 4

    /// Length and message of the frame that is not whole yet.
    private var frame: [UInt8] = []
    /// What came and has not been put into a frame.
    private var incoming: [UInt8] = []
    private var taken = 0

    init(limit: Int) {
        self.limit = limit
        // No good frame is longer than this, whatever its length promises.
        frame.reserveCapacity(FrameDecoder.prefix + limit)
    }

    mutating func feed(_ bytes: [UInt8]) {
        incoming.removeSubrange(0..<taken)
        taken = 0
        incoming += bytes
    }

    mutating func next() throws -> [UInt8]? {
        fill(upTo: FrameDecoder.prefix)
        guard frame.count >= FrameDecoder.prefix else { return nil }
        var length = 0
        for byte in frame[..<FrameDecoder.prefix] { length = length * 256 + Int(byte) }
        if length > limit { throw FramingError.tooLong(limit: limit) }

        let whole = FrameDecoder.prefix + length
        fill(upTo: whole)
        guard frame.count == whole else { return nil }
        let message = Array(frame[FrameDecoder.prefix...])
        frame.removeAll(keepingCapacity: true)
        return message
    }

    /// Moves bytes from `incoming` to `frame` until that has `size` bytes, or there are no more.
    private mutating func fill(upTo size: Int) {
        let missing = size - frame.count
        guard missing > 0, taken < incoming.count else { return }
        let end = taken + min(missing, incoming.count - taken)
        frame.append(contentsOf: incoming[taken..<end])
        taken = end
    }
}
