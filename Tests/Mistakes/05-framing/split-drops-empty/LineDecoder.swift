import Course
struct LineDecoder: MessageDecoder {
    let limit: Int; private var q: [[UInt8]] = []; private var rest: [UInt8] = []
    init(limit: Int) { self.limit = limit }
    mutating func feed(_ b: [UInt8]) {
        rest += b; var parts = rest.split(separator: 10).map { Array($0) };
        if rest.last != 10 { rest = parts.popLast() ?? [] } else { rest = [] }; q += parts
    }
    mutating func next() throws -> [UInt8]? {
        if q.isEmpty { if rest.count > limit { throw FramingError.tooLong(limit: limit) }; return nil };
        let l = q.removeFirst(); if l.count > limit { throw FramingError.tooLong(limit: limit) }; return l
    }
}
