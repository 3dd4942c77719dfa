import Course

final class FrameDecoder: MessageDecoder {
    private enum State {
        case length(Int, missing: Int)
        case body(missing: Int)
        case tooLong
    }

    private let limit: Int
    private var state = State.length(0, missing: 4)
    private var body: [UInt8] = []
    private var done: [[UInt8]] = []
    private var taken = 0

    init(limit: Int) { self.limit = limit }

    func feed(_ bytes: [UInt8]) { for byte in bytes { take(byte) } }

    private func take(_ byte: UInt8) {
        switch state {
        case .tooLong: return
        case .length(let value, let missing):
            let value = value * 256 + Int(byte)
            if missing > 1 {
                state = .length(value, missing: missing - 1)
            } else if value > limit {
                state = .tooLong
            } else if value == 0 {
                finish()
            } else {
                state = .body(missing: value)
            }
        case .body(let missing):
            body.append(byte)
            if missing == 1 { finish() } else { state = .body(missing: missing - 1) }
        }
    }

    private func finish() {
        done.append(body)
        body = []
        state = .length(0, missing: 4)
    }

    func next() throws -> [UInt8]? {
        if taken < done.count {
            taken += 1
            return done[taken - 1]
        }
        done = []
        taken = 0
        if case .tooLong = state { throw FramingError.tooLong(limit: limit) }
        return nil
    }
}
