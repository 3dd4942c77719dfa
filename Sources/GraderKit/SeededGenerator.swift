/// Random numbers that a seed replays (SplitMix64, public domain).
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    public mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
    }

    /// Lower-case letters, which a server must turn into upper case.
    public mutating func letters(_ count: Int) -> [UInt8] {
        // Megabytes of them are asked for, and this is built without optimisation: plain steps, no generic ones.
        [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            while initialized < count {
                buffer[initialized] = UInt8(ascii: "a") + UInt8(truncatingIfNeeded: next() % 26)
                initialized += 1
            }
        }
    }
}

/// What an upper-case server answers: a…z become A…Z, every other byte stays.
public func uppercased(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    bytes.withUnsafeMutableBufferPointer { buffer in
        var index = 0
        while index < buffer.count {
            if buffer[index] >= UInt8(ascii: "a") && buffer[index] <= UInt8(ascii: "z") { buffer[index] -= 32 }
            index += 1
        }
    }
    return bytes
}
