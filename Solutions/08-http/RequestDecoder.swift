import Course

struct HTTPRequestDecoder: RequestDecoder {
    let limits: RequestLimits
    init(limits: RequestLimits) { self.limits = limits }
    mutating func feed(_ bytes: [UInt8]) { todo("reference: being written") }
    mutating func next() throws -> RequestEvent? { todo("reference: being written") }
}
