// What can be fed with anything, and what has to be true of it whatever it is fed with. Used by the tests, which replay
// what was found once and mutate the seeds a little, and by libFuzzer (Tests/Fuzz), which goes on for as long as one likes.

struct FuzzTarget: Sendable {
    let name: String
    /// Inputs to begin with, of which mutations are made.
    let seeds: [[UInt8]]
    /// Throws `Broken` if something is not as it has to be. A trap is as bad.
    let run: @Sendable ([UInt8]) throws -> Void

    init(_ name: String, seeds: [String], run: @escaping @Sendable ([UInt8]) throws -> Void) {
        self.init(name, seeds: seeds.map { Array($0.utf8) }, run: run)
    }

    init(_ name: String, seeds: [[UInt8]], run: @escaping @Sendable ([UInt8]) throws -> Void) {
        self.name = name
        self.seeds = seeds
        self.run = run
    }

    static let all: [FuzzTarget] =
        [.lines, .frames, .request, .response, .path, .url, .dateAndRange, .handshake, .answer]
        + [.serverFrames, .clientFrames, .roundTrip]
}

/// What was expected, and is not so.
struct Broken: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

func expect(_ isSo: Bool, _ what: @autoclosure () -> String) throws {
    if !isSo { throw Broken(what()) }
}

/// What a decoder made of a stream: its events, and how it ended (`nil`: it waits for more).
struct Decoded<Event: Equatable>: Equatable {
    var events: [Event] = []
    var error: String?
}

/// However a stream is cut, a decoder makes the same of it: fed whole, byte by byte, with empty chunks, and in cuts that
/// depend on the bytes alone, so that an input that was found fails again.
func expectSameHoweverCut<Event: Equatable>(
    _ stream: [UInt8], _ decode: ([ArraySlice<UInt8>]) throws -> Decoded<Event>
) throws {
    let whole = try decode([stream[...]])
    // Never 0, from where xorshift leads nowhere.
    var state = stream.reduce(UInt64(stream.count)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 } | 1
    func random(_ most: Int) -> Int {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Int(state % UInt64(most + 1))
    }
    var cuts: [[ArraySlice<UInt8>]] = [stream.indices.map { stream[$0...$0] }]
    for most in [3, 40] {
        var pieces: [ArraySlice<UInt8>] = []
        var start = 0
        while start < stream.count {
            let end = min(stream.count, start + random(most))
            pieces.append(stream[start..<end])
            start = end
        }
        cuts.append(pieces)
    }
    for pieces in cuts {
        let parts = try decode(pieces)
        try expect(parts == whole, "cut to \(pieces.map(\.count)): \(parts), whole: \(whole)")
    }
}
