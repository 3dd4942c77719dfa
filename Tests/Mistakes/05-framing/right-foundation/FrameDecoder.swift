import Course
import Foundation
final class FrameDecoder: MessageDecoder {
    private let limit: Int
    private var messages: [[UInt8]] = []
    private var head = 0
    private var failed = false
    private var header: [UInt8] = []
    private var body = Data()
    private var need: Int?
    init(limit: Int) { self.limit = limit }
    // A state machine, byte runs at a time, with a queue of messages.
    func feed(_ bytes: [UInt8]) {
        if head > 0 { messages.removeFirst(head); head = 0 }
        var rest = bytes[...]
        while !failed {
            if let n = need {
                let part = rest.prefix(n - body.count)
                body.append(contentsOf: part); rest = rest.dropFirst(part.count)
                if body.count < n { return }
                messages.append([UInt8](body)); body = Data(); need = nil; header = []
            } else {
                let part = rest.prefix(4 - header.count)
                header += part; rest = rest.dropFirst(part.count)
                if header.count < 4 { return }
                let n = Int(UInt32(bigEndian: header.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }))
                if n > limit { failed = true } else { need = n }
            }
        }
    }
    func next() throws -> [UInt8]? {
        if head < messages.count { head += 1; return messages[head - 1] }
        if failed { throw FramingError.tooLong(limit: limit) }
        return nil
    }
}
