// Lesson 05: lines and frames.
import Course
import Solution05

extension FuzzTarget {
    static let lines = FuzzTarget(
        "lines", seeds: ["one\ntwo\r\n\nthree", "a line that is too long for the limit of this one\n"]
    ) {
        try checkMessages($0) { Solution05.reference.makeLineDecoder($0) }
    }

    static let frames = FuzzTarget(
        "frames", seeds: [[0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1, 9], [0, 0, 0, 100], [255, 255, 255, 255, 0]]
    ) {
        try checkMessages($0) { Solution05.reference.makeFrameDecoder($0) }
        let message = $0
        var decoder = Solution05.reference.makeFrameDecoder(message.count)
        decoder.feed(Solution05.reference.encodeFrame(message))
        try expect(try decoder.next() == message, "what was encoded is not what is decoded")
        try expect(try decoder.next() == nil, "there is more than was encoded")
    }
}

private let limit = 40

private func checkMessages(_ stream: [UInt8], _ make: (_ limit: Int) -> any MessageDecoder) throws {
    try expectSameHoweverCut(stream) { pieces in
        var decoder = make(limit)
        var decoded = Decoded<[UInt8]>()
        do {
            for piece in pieces {
                decoder.feed(Array(piece))
                while let message = try decoder.next() { decoded.events.append(message) }
            }
        } catch { decoded.error = "\(error)" }
        try expect(decoded.events.allSatisfy { $0.count <= limit }, "a message is over the limit")
        try expect(decoded.events.count <= stream.count, "more messages than bytes")
        return decoded
    }
}
