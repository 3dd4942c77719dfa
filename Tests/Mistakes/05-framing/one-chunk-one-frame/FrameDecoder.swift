import Course
struct FrameDecoder: MessageDecoder {
    let limit: Int; private var q: [[UInt8]] = []
    init(limit: Int) { self.limit = limit }
    mutating func feed(_ b: [UInt8]) { if !b.isEmpty { q.append(Array(b.dropFirst(4))) } }
    mutating func next() throws -> [UInt8]? { q.isEmpty ? nil : q.removeFirst() }
}
