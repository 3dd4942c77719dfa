/// Bytes in, bytes out, first come first served.
struct Output {
    private var store: [UInt8] = []
    private var head = 0

    var count: Int { store.count - head }
    var isEmpty: Bool { head == store.count }

    mutating func append(_ bytes: [UInt8]) { store.append(contentsOf: bytes) }

    /// Hands what waits to the body, which says how much of it is done (negative: nothing).
    mutating func take(_ body: (UnsafeRawBufferPointer) -> Int) -> Int {
        let done = store.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[head...])) }
        if done > 0 { head += done }
        if head == store.count {
            store = []
            head = 0
        } else if head > 65_536 && head * 2 > store.count {
            store.removeSubrange(..<head)
            head = 0
        }
        return done
    }
}
