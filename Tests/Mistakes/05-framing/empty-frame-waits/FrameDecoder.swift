import Course

/// A small state machine: four bytes of length, then the body.
struct FrameDecoder: MessageDecoder {
    private enum State { case length, body }

    let limit: Int
    private var input: [UInt8] = []
    private var position = 0
    private var state = State.length
    private var lengthBytes = 0
    private var length = 0
    private var body: [UInt8] = []

    init(limit: Int) { self.limit = limit }

    mutating func feed(_ bytes: [UInt8]) {
        input.removeSubrange(..<position)
        position = 0
        input += bytes
    }

    mutating func next() throws -> [UInt8]? {
        while position < input.count {
            switch state {
            case .length:
                length = length << 8 | Int(input[position])
                position += 1
                lengthBytes += 1
                if lengthBytes == 4 {
                    if length > limit { throw FramingError.tooLong(limit: limit) }
                    state = .body
                }
            case .body:
                let take = min(length - body.count, input.count - position)
                body += input[position..<position + take]
                position += take
                if body.count == length {
                    let message = body
                    body = []
                    length = 0
                    lengthBytes = 0
                    state = .length
                    return message
                }
            }
        }
        return nil
    }
}
