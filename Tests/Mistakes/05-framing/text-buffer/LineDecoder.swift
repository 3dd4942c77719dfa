import Course
struct LineDecoder: MessageDecoder {
    let limit: Int; private var t = ""
    init(limit: Int) { self.limit = limit }
    mutating func feed(_ b: [UInt8]) { t += String(decoding: b, as: UTF8.self) }
    mutating func next() throws -> [UInt8]? {
        guard let i = t.firstIndex(of: "\n") else {
            if t.utf8.count > limit { throw FramingError.tooLong(limit: limit) }; return nil
        }
        let l = Array(t[..<i].utf8); t = String(t[t.index(after: i)...]);
        if l.count > limit { throw FramingError.tooLong(limit: limit) }; return l
    }
}
