import Course

/// One decoder for every format: it keeps the bytes, and a rule says where the next message is.
struct Cutter<Format: MessageFormat>: MessageDecoder {
    let limit: Int
    private var format = Format()
    private var bytes: [UInt8] = []
    private var front = 0

    init(limit: Int) { self.limit = limit }

    mutating func feed(_ chunk: [UInt8]) {
        bytes.removeFirst(front)
        front = 0
        bytes.append(contentsOf: chunk)
    }

    mutating func next() throws -> [UInt8]? {
        switch format.look(at: bytes, from: front, limit: limit) {
        case .incomplete: return nil
        case .overLimit: throw FramingError.tooLong(limit: limit)
        case .found(let message, let end):
            front = end
            return Array(bytes[message])
        }
    }
}

enum Finding {
    case incomplete
    case overLimit
    case found(message: Range<Int>, end: Int)
}

protocol MessageFormat {
    init()
    mutating func look(at bytes: [UInt8], from front: Int, limit: Int) -> Finding
}

struct LineFormat: MessageFormat {
    /// How many bytes behind the front are known to be no newline.
    private var innocent = 0

    mutating func look(at bytes: [UInt8], from front: Int, limit: Int) -> Finding {
        while front + innocent < bytes.count {
            if bytes[front + innocent] == 10 {
                defer { innocent = 0 }
                return .found(message: front..<front + innocent, end: front + innocent + 1)
            }
            // This byte belongs to the line; is it one too many?
            if innocent == limit { return .overLimit }
            innocent += 1
        }
        return .incomplete
    }
}

typealias LineDecoder = Cutter<LineFormat>
