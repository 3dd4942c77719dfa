import Course

final class LineDecoder: MessageDecoder {
    private let limit: Int
    private var line: [UInt8] = []
    private var tooLong = false
    private var done: [[UInt8]] = []
    private var taken = 0

    init(limit: Int) { self.limit = limit }

    func feed(_ bytes: [UInt8]) {
        for byte in bytes where !tooLong {
            if byte == 10 {
                done.append(line)
                line = []
            } else if line.count == limit {
                tooLong = true
            } else {
                line.append(byte)
            }
        }
    }

    func next() throws -> [UInt8]? {
        if taken < done.count {
            taken += 1
            return done[taken - 1]
        }
        done = []
        taken = 0
        if tooLong { throw FramingError.tooLong(limit: limit) }
        return nil
    }
}
