// Decoders of lesson 05 as they should be, and as they are when somebody made one of the usual mistakes. A student's
// decoder that answers a stream exactly as a mistaken one does, and not as the right one, has made that mistake.
import Course
import Wire

/// What a decoder made of a stream.
struct Decoding: Equatable {
    /// For each chunk, the messages that came out after it. Ends with the chunk that led to an error.
    var messages: [[[UInt8]]] = []
    var error: String?
}

enum Framing {
    case lines
    case frames
}

/// Named as in `causes` of lesson.json.
enum FramingMistake: String, CaseIterable {
    case oneChunkOneMessage = "one-chunk-one-message"
    case oneMessageAChunk = "one-message-a-chunk"
    case restThrownAway = "rest-thrown-away"
    case decodedToText = "decoded-to-text"
    case crLfOneCharacter = "cr-lf-one-character"
    case crRemoved = "cr-removed"
    case newlineKept = "newline-kept"
    case emptyDropped = "empty-dropped"
    case lengthHostOrder = "length-host-order"
    case lengthIncludesHeader = "length-includes-header"
    case lengthCutToBits = "length-cut-to-bits"
    case limitOffByOne = "limit-off-by-one"
    case limitIgnored = "limit-ignored"
    case limitCheckedLate = "limit-checked-late"
    case limitOnBuffer = "limit-on-buffer"
    case goodMessagesLost = "good-messages-lost"
    case emptyWaits = "empty-message-waits"
    case staleSearch = "search-mark-stale"
    case unfinishedLost = "unfinished-lost"
}

/// A decoder by its mistake; `variant` tells apart the ways to make it.
struct DecoderModel {
    var framing: Framing
    var limit: Int
    var mistake: FramingMistake?
    var variant = 0
    private var buffer: [UInt8] = []
    /// How many bytes in front of `buffer` were handed out since the chunk began: some decoders remove them then only.
    private var handedOut = 0
    /// Up to where there is no newline, counted with those.
    private var searched = 0

    private struct TooLong: Error {}

    static func decode(
        _ chunks: [[UInt8]], as framing: Framing, limit: Int, mistake: FramingMistake? = nil, variant: Int = 0
    ) -> Decoding {
        var model = DecoderModel(framing: framing, limit: limit, mistake: mistake, variant: variant)
        var decoding = Decoding()
        for chunk in chunks {
            var messages: [[UInt8]] = []
            do { try model.take(chunk, into: &messages) } catch {
                decoding.messages.append(mistake == .goodMessagesLost ? [] : messages)
                decoding.error = "\(FramingError.tooLong(limit: limit))"
                return decoding
            }
            decoding.messages.append(messages)
        }
        return decoding
    }

    /// The mistake that a decoder makes, or nil: it answered the stream that failed exactly as a decoder with this mistake
    /// does, and so it did most of the probes, more of them than are right.
    ///
    /// - Parameter ask: what the decoder answers to a limit and chunks; nil if it cannot be asked any more.
    static func mistake(
        behind answer: Decoding, to chunks: [[UInt8]], as framing: Framing, limit: Int,
        ask: (_ limit: Int, _ chunks: [[UInt8]]) -> Decoding?
    ) -> FramingMistake? {
        let every: [(FramingMistake, variant: Int)] = FramingMistake.allCases.flatMap { [($0, 0), ($0, 1), ($0, 2)] }
        let suspects = every.filter {
            answer == decode(chunks, as: framing, limit: limit, mistake: $0.0, variant: $0.variant)
        }
        guard !suspects.isEmpty else { return nil }
        let probes = framing == .lines ? lineProbes : frameProbes
        var answers: [(limit: Int, chunks: [[UInt8]], Decoding)] = []
        for probe in probes {
            guard let answer = ask(probe.limit, probe.chunks) else { break }
            answers.append((probe.limit, probe.chunks, answer))
        }
        // It crashed at the first: what it answered before must speak for itself.
        if answers.isEmpty { return Set(suspects.map(\.0)).count == 1 ? suspects[0].0 : nil }
        func explained(_ mistake: FramingMistake?, _ variant: Int) -> Int {
            answers.filter { limit, chunks, answer in
                answer == decode(chunks, as: framing, limit: limit, mistake: mistake, variant: variant)
            }.count
        }
        var (best, most): (FramingMistake?, Int) = (nil, explained(nil, 0))
        for (mistake, variant) in suspects {
            let count = explained(mistake, variant)
            if count > most { (best, most) = (mistake, count) }
        }
        return best
    }

    private mutating func take(_ chunk: [UInt8], into messages: inout [[UInt8]]) throws {
        handedOut = 0
        // As much as the longest message needs: the buffer of those who never make it larger.
        let room = limit + (framing == .lines ? 1 : 4) - buffer.count
        switch mistake {
        case .oneChunkOneMessage where !chunk.isEmpty:
            let endsInNewline = framing == .lines && chunk.last == newline
            messages = [variant == 0 && endsInNewline ? Array(chunk.dropLast()) : chunk]
            if framing == .frames && variant == 0 { messages = [Array(chunk.dropFirst(4))] }
            return
        case .decodedToText where variant == 0: buffer += repaired(chunk)
        case .restThrownAway where variant == 1: buffer = chunk
        case .unfinishedLost where chunk.isEmpty: buffer = []
        case .limitOnBuffer where variant == 2: buffer += chunk.prefix(room)
        default: buffer += chunk
        }
        if mistake == .limitOnBuffer && variant == 0 && buffer.count > limit { throw TooLong() }
        while let message = try next() {
            if mistake == .restThrownAway && variant == 0 { buffer = [] }
            if mistake == .emptyDropped && message.isEmpty { continue }
            messages.append(mistake == .decodedToText ? repaired(message) : message)
            if mistake == .oneMessageAChunk { return }
        }
        if mistake == .limitOnBuffer && variant == 2 && chunk.count > room { throw TooLong() }
    }

    private mutating func next() throws -> [UInt8]? { framing == .lines ? try nextLine() : try nextFrame() }

    private mutating func nextLine() throws -> [UInt8]? {
        let start = mistake == .staleSearch ? min(max(0, searched - handedOut), buffer.count) : 0
        let end = buffer[start...].indices.first { index in
            buffer[index] == newline
                && !(mistake == .crLfOneCharacter && index > 0 && buffer[index - 1] == carriageReturn)
        }
        if end != nil || mistake != .limitCheckedLate { try check(end ?? buffer.count) }
        guard let end else {
            if mistake == .limitOnBuffer && variant == 1 { try check(handedOut + buffer.count) }
            // A mark behind the end may stay there.
            searched = max(variant == 0 ? 0 : searched, handedOut + buffer.count)
            return nil
        }
        handedOut += end + 1
        searched = handedOut
        var line = Array(buffer[..<end])
        if mistake == .newlineKept { line.append(newline) }
        if mistake == .crRemoved && line.last == carriageReturn { line.removeLast() }
        buffer.removeFirst(end + 1)
        return line
    }

    private mutating func nextFrame() throws -> [UInt8]? {
        guard buffer.count >= 4 else { return nil }
        let header = buffer.prefix(4)
        var length = header.reduce(0) { $0 << 8 | Int($1) }
        switch mistake {
        case .lengthHostOrder: length = header.reversed().reduce(0) { $0 << 8 | Int($1) }
        case .lengthIncludesHeader: length = max(0, length - 4)
        case .lengthCutToBits: length &= variant == 0 ? 0xff : 0xffff
        default: break
        }
        let isWhole = length <= buffer.count - 4 && !(mistake == .emptyWaits && length == 0 && buffer.count == 4)
        if isWhole || mistake != .limitCheckedLate { try check(length) }
        guard isWhole else { return nil }
        let message = Array(buffer[4..<4 + length])
        buffer.removeFirst(4 + length)
        return message
    }

    private func check(_ length: Int) throws {
        let counted: Int
        switch mistake {
        case .limitIgnored: return
        case .limitOffByOne: counted = length + (variant == 1 && framing == .frames ? 4 : 1)
        default: counted = length
        }
        guard counted <= limit else { throw TooLong() }
    }
}

private let newline = UInt8(ascii: "\n")
private let carriageReturn = UInt8(ascii: "\r")

/// Through a String and back: what is not UTF-8 becomes U+FFFD.
private func repaired(_ bytes: [UInt8]) -> [UInt8] { Array(String(decoding: bytes, as: UTF8.self).utf8) }

// MARK: Streams that tell mistakes apart

private let lineProbes: [(limit: Int, chunks: [[UInt8]])] =
    [
        ["ab\ncd\n"], ["a", "b\n"], ["a", "", "b\n"], ["ab\nc", "d\n"], ["\n", "\n\n"], ["a\r\n", "b\n"],
        ["a\r\nb\r\n"], ["1234567890\n"], ["12345678901\n"], ["12345678901"], ["ab\n12345678901\n"],
        ["abcdef\nghijkl\n"],
        ["ab\nc", "d\nef\ngh\n", "ij\n"], ["ab\ncdefgh\nij", "k\n"], ["abc", "d\ne\nfg", "h\ni\n"],
    ].map { (10, $0.map { Array($0.utf8) }) } + [(10, [[0xe7, 0xb2], [0x98, newline]]), (10, [[0xff, newline]])]

private let frameProbes: [(limit: Int, chunks: [[UInt8]])] =
    [
        ["\0\0\0\u{2}ab\0\0\0\u{2}cd"], ["\0\0", "\0\u{2}a", "b"], ["\0\0", "", "\0\u{1}a"],
        ["\0\0\0\u{1}a\0\0", "\0\u{1}b"], ["\0\0\0\0", "\0\0\0\u{1}a"],
        ["\0\0\0\u{a}1234567890"], ["\0\0\0\u{b}12345678901"], ["\0\0\0\u{b}"], ["\0\0\0\u{1}a\0\0\0\u{b}12345678901"],
        ["\0\0\0\u{7}1234567"], ["\0\0\0\u{6}abcdef\0\0\0\u{6}ghijkl"], ["\0\0\u{1}\0"], ["\0\u{1}\0\0"],
    ].map { (10, $0.map { Array($0.utf8) }) } + [(300, [[0, 0, 1, 2] + [UInt8](repeating: 1, count: 258)])]

// MARK: Asking the student's decoder

extension Framing {
    var entry: String { self == .lines ? "line-decoder" : "frame-decoder" }
}

/// The whole stream as one chunk, cut after each byte, and cut as told.
func whole(_ stream: [UInt8]) -> [[UInt8]] { [stream] }
func byteByByte(_ stream: [UInt8]) -> [[UInt8]] { stream.map { [$0] } }
