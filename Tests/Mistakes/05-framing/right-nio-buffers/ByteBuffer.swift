/// Memory with two marks, as in java.nio: bytes are written at `end` and read at `start`.
final class ByteBuffer {
    private var memory: UnsafeMutableRawPointer
    private var capacity: Int
    private(set) var start = 0
    private(set) var end = 0

    init(capacity: Int = 64) {
        self.capacity = max(capacity, 1)
        memory = .allocate(byteCount: self.capacity, alignment: 8)
    }

    deinit { memory.deallocate() }

    var count: Int { end - start }

    subscript(offset: Int) -> UInt8 { memory.load(fromByteOffset: start + offset, as: UInt8.self) }

    /// Moves what is left to the front: once for each chunk that is added.
    func compact() {
        guard start > 0 else { return }
        memory.copyMemory(from: memory + start, byteCount: count)
        end -= start
        start = 0
    }

    func put(_ bytes: [UInt8]) {
        if end + bytes.count > capacity { grow(to: max(2 * capacity, end + bytes.count)) }
        bytes.withUnsafeBytes { source in
            if let base = source.baseAddress { (memory + end).copyMemory(from: base, byteCount: source.count) }
        }
        end += bytes.count
    }

    func get(_ count: Int) -> [UInt8] {
        defer { start += count }
        return Array(UnsafeRawBufferPointer(start: memory + start, count: count))
    }

    func skip(_ count: Int) { start += count }

    /// Where this byte is, counted from `start`.
    func find(_ byte: UInt8, from offset: Int) -> Int? {
        var position = offset
        while position < count {
            if self[position] == byte { return position }
            position += 1
        }
        return nil
    }

    /// The number in the next four bytes, which are not taken.
    func peekUInt32() -> UInt32 {
        UInt32(bigEndian: memory.loadUnaligned(fromByteOffset: start, as: UInt32.self))
    }

    private func grow(to wanted: Int) {
        let larger = UnsafeMutableRawPointer.allocate(byteCount: wanted, alignment: 8)
        larger.copyMemory(from: memory, byteCount: end)
        memory.deallocate()
        memory = larger
        capacity = wanted
    }
}
