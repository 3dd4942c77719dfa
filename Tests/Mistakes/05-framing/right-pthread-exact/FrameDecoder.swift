import Course

/// A state machine over the bytes that came: a length that is being put together, or a message that is.
struct FrameDecoder: MessageDecoder {
    private enum State {
        case inLength(soFar: Int, bytes: Int)
        case inMessage(length: Int)
    }

    let limit: Int
    private var state = State.inLength(soFar: 0, bytes: 0)
    private var message: [UInt8] = []
    private var input: ArraySlice<UInt8> = []

    init(limit: Int) { self.limit = limit }

    mutating func feed(_ bytes: [UInt8]) {
        // Mostly nothing is left of the chunk before: then nothing is copied.
        if input.isEmpty { input = bytes[...] } else { input = ArraySlice(Array(input) + bytes) }
    }

    mutating func next() throws -> [UInt8]? {
        while true {
            switch state {
            case .inLength(let length, 4):
                guard length <= limit else { throw FramingError.tooLong(limit: limit) }
                state = .inMessage(length: length)
            case .inLength(let length, let count):
                guard let byte = input.popFirst() else { return nil }
                state = .inLength(soFar: length * 256 + Int(byte), bytes: count + 1)
            case .inMessage(let length):
                let piece = input.prefix(length - message.count)
                message += piece
                input = input.dropFirst(piece.count)
                guard message.count == length else { return nil }
                state = .inLength(soFar: 0, bytes: 0)
                let whole = message
                message = []
                return whole
            }
        }
    }
}
