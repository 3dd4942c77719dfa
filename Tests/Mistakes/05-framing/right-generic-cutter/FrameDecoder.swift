import Course

struct FrameFormat: MessageFormat {
    func look(at bytes: [UInt8], from front: Int, limit: Int) -> Finding {
        guard bytes.count - front >= 4 else { return .incomplete }
        let length =
            Int(bytes[front]) << 24 | Int(bytes[front + 1]) << 16 | Int(bytes[front + 2]) << 8 | Int(bytes[front + 3])
        if length > limit { return .overLimit }
        let end = front + 4 + length
        return end <= bytes.count ? .found(message: front + 4..<end, end: end) : .incomplete
    }
}

typealias FrameDecoder = Cutter<FrameFormat>
