/// Pieces that wait, and how much of the first is out. No byte is moved after it was put in.
struct Output {
    private var pieces: [[UInt8]] = []
    private var first = 0
    private var offset = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    mutating func append(_ piece: [UInt8]) {
        guard !piece.isEmpty else { return }
        pieces.append(piece)
        count += piece.count
    }

    /// The pieces to be sent next, at most so many.
    func prefix(_ most: Int) -> [ArraySlice<UInt8>] {
        pieces[first...].prefix(most).enumerated().map { $0 == 0 ? $1[offset...] : $1[...] }
    }

    mutating func removeFirst(_ bytes: Int) {
        count -= bytes
        offset += bytes
        while first < pieces.count, offset >= pieces[first].count {
            offset -= pieces[first].count
            pieces[first] = []
            first += 1
        }
        if first == pieces.count {
            pieces = []
            first = 0
        } else if first > 1000, first * 2 > pieces.count {
            pieces.removeSubrange(..<first)
            first = 0
        }
    }
}
