import Course
import Foundation
/// Data, a class, ranges.
final class LineDecoder: MessageDecoder {
    let limit: Int
    private var data = Data()
    private var scanned = 0
    init(limit: Int) { self.limit = limit }
    func feed(_ bytes: [UInt8]) { data = Data(data); data.append(contentsOf: bytes) }
    func next() throws -> [UInt8]? {
        let from = data.startIndex + scanned
        if let end = data[from...].firstIndex(of: 0x0a) {
            let line = data[data.startIndex..<end]
            if line.count > limit { throw FramingError.tooLong(limit: limit) }
            data = data[(end + 1)...]
            scanned = 0
            return [UInt8](line)
        }
        scanned = data.count
        if data.count > limit { throw FramingError.tooLong(limit: limit) }
        return nil
    }
}
