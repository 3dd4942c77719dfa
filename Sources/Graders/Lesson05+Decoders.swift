// Lesson 05: LineDecoder, FrameDecoder and encodeFrame. No sockets: streams are cut here, and fed by the host.
import Course
import GraderKit
import Sockets
import Wire

let lineDecoderChecks: [Check] = [
    Check("line-whole") { trial in
        try trial.expect(.lines, ["hello\n"])
        try trial.expect(.lines, ["one\ntwo\n\nthree\n\n"])
    },
    Check("line-byte-by-byte") { trial in
        let stream = Array("hello\n\nworld\n".utf8)
        try trial.expect(.lines, byteByByte(stream))
        try trial.expect(.lines, byteByByte(stream).flatMap { [[], $0] })
    },
    Check("line-any-cut") { trial in
        for _ in 0..<60 { try trial.expectRandomStream(.lines) }
    },
    Check("line-rest-kept") { trial in
        try trial.expect(.lines, ["one\ntw", "o\nthr", "ee\nfo", "ur\n"])
        try trial.expect(.lines, ["done\nnot yet", " done", ""])
    },
    Check("line-characters") { trial in
        let text = Array("粘包\n".utf8)
        for cut in 1..<text.count { try trial.expect(.lines, [Array(text[..<cut]), Array(text[cut...])]) }
        // Bytes that are no UTF-8 at all are a line, too.
        try trial.expect(.lines, [[0xff, 0xfe, 0xc3, 0x28, 0x00, UInt8(ascii: "\n")]])
    },
    Check("line-carriage-return") { trial in
        try trial.expect(.lines, ["a\r\nb\n"])
        try trial.expect(.lines, ["\r\n", "a\rb\n", "c\r", "\nd\n"])
    },
    Check("line-limit") { trial in
        let ten = "1234567890"
        try trial.expect(.lines, limit: 10, [ten + "\n" + ten + "\n"])
        try trial.expect(.lines, limit: 10, [ten, "\n"])
        try trial.expect(.lines, limit: 10, [ten + "1\n"])
        do { try trial.expect(.lines, limit: 10, [ten + "\r\n"]) } catch var failure as Failure {
            failure.name("cr-not-counted")
            throw failure
        }
    },
    Check("line-limit-early") { trial in
        try trial.expect(.lines, limit: 10, ["12345", "67890", "1", "\n"])
        try trial.expect(.lines, limit: 10, ["ok\n123456789012345"])
    },
    Check("line-before-bad") { trial in
        let stream = Array("one\ntwo\n12345678901\nfour\n".utf8)
        for cut in [stream.count, 3, 6, 9] {
            try trial.expect(.lines, limit: 10, [Array(stream[..<cut]), Array(stream[cut...])])
        }
    },
    Check("line-cost") { trial in
        try trial.expectLinearCost(.lines, 4096, chunk: 1, cause: "searches-again") { size in
            ([UInt8](repeating: UInt8(ascii: "a"), count: size - 1) + [UInt8(ascii: "\n")], 1)
        }
        try trial.expectLinearCost(.lines, 256 << 10, chunk: 1 << 30, cause: "moves-the-rest") { size in
            (Array("a\n".utf8), size / 2)
        }
    },
]

let frameDecoderChecks: [Check] = [
    Check("frame-whole") { trial in
        try trial.expect(.frames, [framed("hello")])
        try trial.expect(.frames, [framed("one") + framed("") + framed("three") + framed("")])
    },
    Check("frame-byte-by-byte") { trial in
        let stream = framed("hello") + framed("") + framed("\0\n\0")
        try trial.expect(.frames, byteByByte(stream))
        try trial.expect(.frames, byteByByte(stream).flatMap { [[], $0] })
    },
    Check("frame-any-cut") { trial in
        for _ in 0..<60 { try trial.expectRandomStream(.frames) }
    },
    Check("frame-rest-kept") { trial in
        let (one, two, three) = (framed("one"), framed("two"), framed("three"))
        try trial.expect(.frames, [one + two.prefix(2), Array(two[2...]) + three.prefix(7), Array(three[7...])])
        try trial.expect(.frames, [one + [0, 0], [0], []])
    },
    Check("frame-length") { trial in
        // Lengths of which every byte matters: 00 00 01 02 and 00 01 02 03.
        for length in [3, 0x0102, 0x010203] {
            let message = trial.random.letters(length)
            try trial.expect(.frames, limit: 1 << 20, [framed(message)])
        }
    },
    Check("frame-limit") { trial in
        try trial.expect(.frames, limit: 10, [framed("1234567890") + framed("1234567890")])
        try trial.expect(.frames, limit: 10, [framed("12345678901")])
        let stream = framed("one") + framed("two") + framed("12345678901") + framed("four")
        for cut in [stream.count, 3, 9, 16] {
            try trial.expect(.frames, limit: 10, [Array(stream[..<cut]), Array(stream[cut...])])
        }
    },
    Check("frame-limit-early") { trial in
        try trial.expect(.frames, limit: 1000, [bigEndianBytes(1001 as UInt32)])
        for length: UInt32 in [0x8000_0000, 0xffff_ffff] {
            do { try trial.expect(.frames, limit: 1000, [bigEndianBytes(length)]) } catch var failure as Failure {
                // The limit is looked at, and it is not too late: only the largest lengths look small.
                failure.cause = "length-overflows"
                throw failure
            }
        }
        try trial.expect(.frames, limit: 1000, byteByByte(bigEndianBytes(1001 as UInt32)))
    },
    Check("frame-memory") { trial in
        let limit = 400_000_000
        let process = try trial.launch()
        try trial.expect(.frames, [framed("first")], in: process)
        let (memory, space) = (process.peakMemory, process.peakAddressSpace)
        let promise = bigEndianBytes(UInt32(limit - 4))
        try trial.expect(.frames, limit: limit, [promise, Array("only this".utf8)], in: process)
        let grown = max(process.peakMemory - memory, process.peakAddressSpace - space)
        if grown > 128 << 20 {
            throw Failure(
                expected: say(
                    "the length says \(limit - 4), 9 bytes have come: memory for those is taken",
                    "长度说有 \(limit - 4) 字节，来了 9 个：只为这 9 个占用内存"),
                got: say("memory for \(grown >> 20) MiB", "占用了 \(grown >> 20) MiB"), cause: "memory-before-bytes")
        }
    },
    Check("frame-cost") { trial in
        try trial.expectLinearCost(.frames, 256 << 10, chunk: 1 << 30, cause: "moves-the-rest") { size in
            ([0, 0, 0, 1, UInt8(ascii: "a")], size / 5)
        }
    },
]

let encodeFrameChecks: [Check] = [
    Check("encode-frame-bytes") { trial in
        for message in ["abcd", "", "\0\n粘包"] { try trial.expectEncoded(Array(message.utf8)) }
    },
    Check("encode-frame-lengths") { trial in
        for length in [0x0102, 0x010203] { try trial.expectEncoded(trial.random.letters(length)) }
    },
]

private func framed(_ message: String) -> [UInt8] { framed(Array(message.utf8)) }

extension Trial {
    fileprivate func expect(_ framing: Framing, limit: Int = 1000, _ chunks: [String]) throws {
        try expect(framing, limit: limit, chunks.map { Array($0.utf8) })
    }

    /// Feeds the chunks to the student's decoder: after each, exactly the messages that it completes.
    fileprivate func expect(
        _ framing: Framing, limit: Int = 1000, _ chunks: [[UInt8]], in process: Subject? = nil
    ) throws {
        let answer = try decode(framing, limit, chunks, in: process)
        let right = DecoderModel.decode(chunks, as: framing, limit: limit)
        guard answer != right else { return }

        // The first chunk after which it went wrong, and what was waiting by then.
        let rounds = 0..<max(answer.messages.count, right.messages.count)
        let round = rounds.first { answer.outcome(of: $0) != right.outcome(of: $0) } ?? 0
        let before = framing.bytes(in: right.messages[..<round].flatMap { $0 })
        let waiting = Array(chunks[..<round].joined().dropFirst(before))
        let (expected, got) = (right.outcome(of: round), answer.outcome(of: round))
        var difference: [String] = []
        if let one = expected.messages?.first, let other = got.messages?.first, one != other,
            max(one.count, other.count) > 8
        {
            difference = byteDifference(expected: one, got: other)
        }
        let cause =
            answer.error == "endless"
            ? "message-again"
            : DecoderModel.mistake(behind: answer, to: chunks, as: framing, limit: limit) { limit, chunks in
                try? decode(framing, limit, chunks, in: process, within: 2)
            }?.rawValue
        let isAboutLimit = (expected.error ?? got.error) != nil
        throw Failure(
            expected: say("fed ", "输入 ") + fed(chunks, round, waiting)
                + (isAboutLimit ? say(", limit ", "，上限 ") + "\(limit)" : "")
                + say(": ", "，得到：") + expected.text, got: got.text, difference: difference, cause: cause)
    }

    private func decode(
        _ framing: Framing, _ limit: Int, _ chunks: [[UInt8]], in process: Subject?,
        within seconds: Double = Deadline.patience
    ) throws -> Decoding {
        let lengths = Value.list(chunks.map { .int($0.count) })
        let value = try begin(
            framing.entry, [.int(limit), .bytes(chunks.flatMap { $0 }), lengths], in: process
        ).value(within: seconds)
        guard let decoding = Decoding(value) else { throw LabError("\(framing.entry) answered \(value.text)") }
        return decoding
    }

    /// `"lo\nwor" (chunk 2 of 3) after "hel"`
    private func fed(_ chunks: [[UInt8]], _ round: Int, _ waiting: [UInt8]) -> String {
        let chunk = chunks[round]
        var text = chunk.isEmpty ? say("an empty chunk", "一个空块") : quoted(chunk, most: 40)
        if chunk.count > 40 { text += say(" (\(chunk.count) bytes)", "（\(chunk.count) 字节）") }
        if chunks.count > 1 {
            text += say(" (chunk \(round + 1) of \(chunks.count))", "（\(chunks.count) 块中的第 \(round + 1) 块）")
        }
        if !waiting.isEmpty { text += say(", with \(quoted(waiting)) waiting", "，之前留下 \(quoted(waiting))") }
        return text
    }

    /// A stream of messages of any bytes, cut anywhere, with some bytes of an unfinished message at its end.
    fileprivate func expectRandomStream(_ framing: Framing) throws {
        let mark = UInt8(ascii: "\n")
        var stream: [UInt8] = []
        for _ in 0..<Int.random(in: 1...8, using: &random) {
            let message = random.bytes(Int.random(in: 0...20, using: &random))
            stream += framing == .frames ? framed(message) : message.filter { $0 != mark } + [mark]
        }
        stream += framing == .frames ? [0, 0] : [UInt8(ascii: "x")]
        var chunks: [[UInt8]] = []
        while !stream.isEmpty {
            let count = min(stream.count, Int.random(in: 0...12, using: &random))
            chunks.append(Array(stream.prefix(count)))
            stream.removeFirst(count)
        }
        try expect(framing, limit: 64, chunks)
    }

    /// Four times the bytes may take eight times the CPU time, or half a second, whichever is more.
    ///
    /// - Parameter pattern: of a stream of so many bytes, and how often it is repeated.
    fileprivate func expectLinearCost(
        _ framing: Framing, _ size: Int, chunk: Int, cause: String, pattern: (Int) -> ([UInt8], Int)
    ) throws {
        func seconds(_ size: Int) throws -> Double {
            let (bytes, times) = pattern(size)
            let entry = framing.entry + "-cost"
            let value = try begin(entry, [.int(1 << 30), .bytes(bytes), .int(times), .int(chunk)]).value(within: 120)
            guard case .list(let list) = value, list.count == 2, case .unsigned(let time) = list[1] else {
                throw LabError("\(entry) answered \(value.text)")
            }
            guard case .int(let count) = list[0] else { throw LabError("\(entry) answered \(value.text)") }
            try expect(
                count, equals: times, say("messages in a stream of \(size) bytes", "\(size) 字节的流里的消息数"),
                cause: count == times ? nil : shown(by: pattern(64)))
            return Double(time) / 1e9
        }
        /// What a short stream of this kind shows.
        func shown(by pattern: ([UInt8], Int)) throws -> String? {
            let stream = Array([[UInt8]](repeating: pattern.0, count: pattern.1).joined())
            do { try expect(framing, chunk == 1 ? byteByByte(stream) : whole(stream)) } catch let failure as Failure {
                return failure.cause
            }
            return nil
        }
        _ = try seconds(size / 8)
        let (small, large) = (try seconds(size), try seconds(4 * size))
        guard large > max(8 * small, 0.5) else { return }
        throw Failure(
            expected: say(
                "\(size >> 10) KiB take \(text(small)), so \(size >> 8) KiB take about \(text(4 * small))",
                "\(size >> 10) KiB 用 \(text(small))，那么 \(size >> 8) KiB 约用 \(text(4 * small))"),
            got: say("\(text(large)) of CPU time", "用了 \(text(large)) 的 CPU 时间"), cause: cause)
    }

    private func text(_ seconds: Double) -> String {
        let microseconds = Int(seconds * 1e6)
        return microseconds < 10_000 ? "\(microseconds) µs" : "\(microseconds / 1000) ms"
    }

    fileprivate func expectEncoded(_ message: [UInt8]) throws {
        guard case .bytes(let got) = try call("encode-frame", .bytes(message)) else { throw LabError("no bytes") }
        let count = UInt32(message.count)
        let mistakes: [(String, [UInt8])] = [
            ("length-host-order", bigEndianBytes(count.byteSwapped)),
            ("length-includes-header", bigEndianBytes(count + 4)),
            ("length-cut-to-bits", [0, 0, 0, UInt8(truncatingIfNeeded: count)]),
            ("length-cut-to-bits", bigEndianBytes(count & 0xffff)),
        ]
        // A smaller length, and more bytes in all: there are other lengths among them.
        let first = got.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
        let isCut = got.count > message.count + 4 && first > 0 && first < count && first != count.byteSwapped
        try expect(
            got, equals: framed(message),
            say("the frame of \(quoted(message)) (\(count) bytes)", "\(quoted(message))（\(count) 字节）的帧"),
            cause: mistakes.first { got == $0.1 + message }?.0
                ?? (isCut ? "message-in-several-frames" : got.dropFirst(4) == message[...] ? "length-miscounted" : nil))
    }
}

extension Framing {
    /// How long these messages are on the wire.
    func bytes(in messages: [[UInt8]]) -> Int {
        messages.reduce(0) { $0 + $1.count + (self == .lines ? 1 : 4) }
    }
}

extension Decoding {
    /// As `Lesson05.entries` answers: a list of messages for each chunk, and the name of an error at the end.
    fileprivate init?(_ value: Value) {
        guard case .list(let answers) = value else { return nil }
        for answer in answers {
            switch answer {
            case .list(let values):
                messages.append(values.compactMap { if case .bytes(let bytes) = $0 { bytes } else { nil } })
            case .string(let name): error = name
            default: return nil
            }
        }
    }

    fileprivate struct Outcome: Equatable {
        /// Nil: it had stopped before.
        var messages: [[UInt8]]?
        var error: String?

        var text: String {
            guard let messages else { return say("nothing: it had stopped before", "没有：之前已经停了") }
            var list = messages.prefix(6).map { quoted($0) }
            if messages.count > 6 { list.append("…") }
            if let error {
                list.append(
                    error == "endless"
                        ? say("and so on without end", "如此无穷无尽") : say("the error \(error)", "错误 \(error)"))
            }
            return list.isEmpty ? say("no message", "没有消息") : list.joined(separator: ", ")
        }
    }

    /// What came out after chunk `round`.
    fileprivate func outcome(of round: Int) -> Outcome {
        Outcome(
            messages: messages.indices.contains(round) ? messages[round] : nil,
            error: round == messages.count - 1 ? error : nil)
    }
}
