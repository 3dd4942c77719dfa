// Lesson 09: what frames are put together from, fed to a decoder, and what must come out.
import Course
import GraderKit
import Sockets
import Wire

extension Trial {
    /// A frame as `role` receives it: masked for a server.
    func frame(
        _ role: WebSocketRole, _ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true
    ) -> [UInt8] {
        wireFrame(opcode, payload, isFinal: isFinal, mask: role == .server ? random.mask() : nil)
    }

    /// A header alone.
    func header(_ role: WebSocketRole, _ opcode: UInt8, _ length: UInt64) -> [UInt8] {
        let form = length < 126 ? 0 : length < 65536 ? 2 : 8
        let short = form == 0 ? UInt8(length) : form == 2 ? 126 : 127
        let bytes = [0x80 | opcode, (role == .server ? 0x80 : 0) | short] + bigEndianBytes(length).suffix(form)
        return role == .server ? bytes + random.mask() : bytes
    }

    /// Feeds the chunks to the student's decoder: after each, exactly the events that it completes.
    ///
    /// - Parameter whenever: an error may come later than it could.
    func expectEvents(
        _ what: String, _ role: WebSocketRole, limit: Int = 1000, whenever: Bool = false, _ chunks: [[UInt8]],
        in process: Subject? = nil
    ) throws {
        let answer = try decode(role, limit, chunks, in: process)
        let right = FrameModel.decode(chunks, role: role, limit: limit)
        func same(_ one: FrameDecoding, _ other: FrameDecoding) -> Bool {
            whenever ? one.flat == other.flat : one == other
        }
        guard !same(answer, right) else { return }

        let rounds = 0..<max(answer.events.count, right.events.count)
        let round = rounds.first { answer.outcome(of: $0) != right.outcome(of: $0) } ?? 0
        let (expected, got) = (right.outcome(of: round), answer.outcome(of: round))
        let mistakes = FrameMistake.allCases.filter { mistake in
            let mistaken = FrameModel.decode(chunks, role: role, limit: limit, mistake: mistake)
            return !same(mistaken, right) && (mistaken == answer || whenever && same(mistaken, answer))
        }
        let isEndless = answer.error == "endless"
        let cause = isEndless ? "frame-again" : try theOneMade(of: mistakes)?.cause
        let place =
            chunks.count > 1 && !whenever
            ? say(", after chunk \(round + 1) of \(chunks.count)", "，第 \(round + 1)/\(chunks.count) 块之后") : ""
        throw Failure(
            expected: what + place + say(": ", "：") + expected.text,
            got: got.text + say("; fed ", "；输入 ") + hexText(chunks[min(round, chunks.count - 1)]), cause: cause)
    }

    /// Of several mistakes that would explain one answer, the one that explains those to other streams, too.
    private func theOneMade(of mistakes: [FrameMistake]) throws -> FrameMistake? {
        guard Set(mistakes.map(\.cause)).count > 1 else { return mistakes.first }
        let hello = frame(.server, textOpcode, Array("hello, hello".utf8))
        let streams: [[[UInt8]]] =
            [300, 70_000].map { [frame(.server, binaryOpcode, random.letters($0))] }
            + [
                [hello], [Array(hello[..<9]), Array(hello[9...])], [hello + hello],
                [wireFrame(textOpcode, [65], mask: random.mask(), reserved: 0x40)],
                [frame(.server, textOpcode, [0x41, 0xC3, 0x28])],
                [frame(.server, textOpcode, [0xFF], isFinal: false)],
                [frame(.server, textOpcode, [0xC3], isFinal: false), frame(.server, continuationOpcode, [0xA9])],
            ]
        let limit = 1 << 20
        let answers = try streams.map { try decode(.server, limit, $0, in: nil) }
        return mistakes.first { mistake in
            zip(streams, answers).allSatisfy {
                FrameModel.decode($0, role: .server, limit: limit, mistake: mistake).flat == $1.flat
            }
        }
    }

    private func decode(
        _ role: WebSocketRole, _ limit: Int, _ chunks: [[UInt8]], in process: Subject?
    ) throws -> FrameDecoding {
        let lengths = Value.list(chunks.map { .int($0.count) })
        let value = try begin(
            "frame-decoder", [.string(role.rawValue), .int(limit), .bytes(Array(chunks.joined())), lengths], in: process
        ).value()
        guard let decoding = FrameDecoding(value) else { throw LabError("frame-decoder answered \(value.text)") }
        return decoding
    }

    /// A stream of all that is allowed, cut anywhere.
    func expectRandomStream() throws {
        let role = Bool.random(using: &random) ? WebSocketRole.server : .client
        var stream: [UInt8] = []
        for _ in 0..<Int.random(in: 1...5, using: &random) {
            let isText = Bool.random(using: &random)
            let text = Array("粘包é🌍hello".utf8)
            let payload = isText ? text : random.bytes(Int.random(in: 0...200, using: &random))
            var rest = payload[...]
            var opcode = isText ? textOpcode : binaryOpcode
            while true {
                let count = Int.random(in: 0...max(1, payload.count), using: &random)
                let part = Array(rest.prefix(count))
                rest = rest.dropFirst(count)
                let isLast = rest.isEmpty && Bool.random(using: &random)
                stream += frame(role, opcode, part, isFinal: isLast)
                if isLast { break }
                opcode = continuationOpcode
                if Bool.random(using: &random) {
                    stream += frame(role, Bool.random(using: &random) ? pingOpcode : pongOpcode, random.bytes(3))
                }
            }
        }
        stream += frame(role, textOpcode, [65, 66]).dropLast(1)
        var chunks: [[UInt8]] = []
        while !stream.isEmpty {
            let count = min(stream.count, Int.random(in: 0...24, using: &random))
            chunks.append(Array(stream.prefix(count)))
            stream.removeFirst(count)
        }
        try expectEvents(say("a random stream", "随机的流"), role, chunks)
    }

    /// What a decoder makes of one frame, of each form of length, where it makes something else of it than it should.
    private func mistakeInOneFrame() throws -> String? {
        for length in [5, 300, 70_000] {
            let chunk = frame(.server, binaryOpcode, random.letters(length))
            do { try expectEvents("", .server, limit: 1 << 20, [chunk]) } catch let failure as Failure {
                return failure.cause
            }
        }
        return nil
    }

    /// Four times the bytes may take eight times the CPU time, or half a second, whichever is more.
    ///
    /// - Parameter stream: of so many bytes: a beginning, a pattern and how often it is repeated, and the events in it.
    func expectLinearCost(
        _ size: Int, chunk: Int, cause: String, stream: (Int) -> ([UInt8], [UInt8], Int, events: Int)
    ) throws {
        func seconds(_ size: Int) throws -> Double {
            let (beginning, pattern, times, events) = stream(size)
            let arguments: [Value] = [
                .string("server"), .int(1 << 30), .bytes(beginning), .bytes(pattern), .int(times), .int(chunk),
            ]
            let call = try begin("frame-decoder-cost", arguments)
            let value: Value
            do { value = try call.value(within: 120) } catch var failure as Failure {
                failure.cause = try failure.cause ?? mistakeInOneFrame()
                throw failure
            }
            guard case .list(let list) = value, list.count == 2, case .int(let got) = list[0],
                case .unsigned(let time) = list[1]
            else { throw LabError("frame-decoder-cost answered \(value.text)") }
            // Where no message ends, there is nothing but fragments of one.
            try expect(
                got, equals: events, say("messages in a stream of \(size) bytes", "\(size) 字节的流里的消息数"),
                cause: got == events ? nil : events == 0 ? "fragments-not-joined" : mistakeInOneFrame())
            return Double(time) / 1e9
        }
        _ = try seconds(size / 8)
        let (small, large) = (try seconds(size), try seconds(4 * size))
        guard large > max(8 * small, 0.5) else { return }
        func text(_ seconds: Double) -> String {
            let microseconds = Int(seconds * 1e6)
            return microseconds < 10_000 ? "\(microseconds) µs" : "\(microseconds / 1000) ms"
        }
        throw Failure(
            expected: say(
                "\(size >> 10) KiB take \(text(small)), so \(size >> 8) KiB take about \(text(4 * small))",
                "\(size >> 10) KiB 用 \(text(small))，那么 \(size >> 8) KiB 约用 \(text(4 * small))"),
            got: say("\(text(large)) of CPU time", "用了 \(text(large)) 的 CPU 时间"), cause: cause)
    }

    func expectEncoded(
        _ opcode: Opcode, _ payload: [UInt8], isFinal: Bool = true, mask: [UInt8]?
    ) throws {
        let arguments: [Value] = [
            .int(Int(opcode.rawValue)), .bytes(payload), .bool(isFinal), mask.map { .bytes($0) } ?? Value.none,
        ]
        let value = try begin("encode-frame", arguments).value()
        guard case .bytes(let got) = value else { throw LabError("encode-frame answered \(value.text)") }
        func made(
            mask key: [UInt8]? = mask, form: Int? = nil, isFinal final: Bool = isFinal, _ content: [UInt8] = payload
        ) -> [UInt8] {
            wireFrame(opcode.rawValue, content, isFinal: final, mask: key, form: form)
        }
        let right = made()
        let form = payload.count < 126 ? 0 : payload.count < 65536 ? 2 : 8
        var swapped = right
        swapped.replaceSubrange(2..<2 + form, with: right[2..<2 + form].reversed())
        var fourBytes = right
        if form == 8 { fourBytes.removeSubrange(2..<6) }
        var bitless = right
        bitless[1] &= 0x7F
        let mistakes: [(String, [UInt8]?)] = [
            ("extended-length-little-endian", swapped), ("length-127-as-four-bytes", fourBytes),
            ("longer-form-used", made(form: 2)), ("longer-form-used", made(form: 8)), ("mask-bit-missing", bitless),
            ("mask-not-applied", right.dropLast(payload.count) + payload), ("mask-left-out", made(mask: nil)),
            (
                "mask-index-wrong",
                mask.map {
                    right.dropLast(payload.count) + masked(payload, with: $0, from: right.count - payload.count)
                }
            ),
            ("final-bit-wrong", made(isFinal: !isFinal)),
            ("server-masks", mask == nil && got.count == right.count + 4 && got[1] & 0x80 != 0 ? got : nil),
        ]
        try expect(
            got, equals: right,
            say(
                "a frame: opcode \(opcode.rawValue)\(isFinal ? ", final" : ""), \(payload.count) bytes, "
                    + (mask.map { "mask \(hexText($0))" } ?? "no mask"),
                "帧：操作码 \(opcode.rawValue)\(isFinal ? "，FIN" : "")，\(payload.count) 字节，"
                    + (mask.map { "掩码 \(hexText($0))" } ?? "无掩码")),
            cause: mistakes.first { $0.1 == got }?.0)
    }
}

extension WebSocketEvent {
    /// As `Lesson09.entries` answers.
    init?(_ value: Value) {
        guard case .list(let parts) = value, parts.count >= 2, case .string(let name) = parts[0],
            case .bytes(let bytes) = parts[1]
        else { return nil }
        switch name {
        case "text": self = .text(bytes)
        case "binary": self = .binary(bytes)
        case "ping": self = .ping(bytes)
        case "pong": self = .pong(bytes)
        case "close":
            guard parts.count == 3 else { return nil }
            var code: UInt16?
            if case .int(let number) = parts[2] { code = UInt16(exactly: number) }
            self = .close(code: code, reason: String(decoding: bytes, as: UTF8.self))
        default: return nil
        }
    }

    /// As a person reads it.
    var words: String {
        switch self {
        case .text(let bytes): return say("text ", "文本 ") + quoted(bytes)
        case .binary(let bytes): return say("binary ", "二进制 ") + hexText(bytes)
        case .ping(let bytes): return "ping " + quoted(bytes)
        case .pong(let bytes): return "pong " + quoted(bytes)
        case .close(nil, _): return say("close without a code", "关闭，没有代码")
        case .close(let code?, let reason):
            return say("close \(code)", "关闭 \(code)") + (reason.isEmpty ? "" : " " + quoted(Array(reason.utf8)))
        }
    }
}

extension FrameDecoding {
    /// As `Lesson09.entries` answers: a list of events for each chunk, and the name of an error at the end.
    init?(_ value: Value) {
        guard case .list(let answers) = value else { return nil }
        for answer in answers {
            switch answer {
            case .list(let values): events.append(values.compactMap(WebSocketEvent.init))
            case .string(let name): error = name
            default: return nil
            }
        }
    }

    struct Outcome: Equatable {
        /// Nil: it had stopped before.
        var events: [WebSocketEvent]?
        var error: String?

        var text: String {
            guard let events else { return say("nothing: it had stopped before", "没有：之前已经停了") }
            var list = events.prefix(5).map(\.words)
            if events.count > 5 { list.append("…") }
            if let error {
                list.append(
                    error == "endless"
                        ? say("and so on without end", "如此无穷无尽") : say("the error \(error)", "错误 \(error)"))
            }
            return list.isEmpty ? say("no event", "没有事件") : list.joined(separator: ", ")
        }
    }

    /// What came out after chunk `round`.
    func outcome(of round: Int) -> Outcome {
        Outcome(
            events: events.indices.contains(round) ? events[round] : nil,
            error: round == events.count - 1 ? error : nil)
    }
}

extension SeededGenerator {
    /// Four different bytes, none of them zero.
    mutating func mask() -> [UInt8] {
        while true {
            let mask = bytes(4)
            if Set(mask).count == 4, !mask.contains(0) { return mask }
        }
    }
}

/// Texts that are none, and why.
let notUTF8: [([UInt8], Text)] = [
    ([0x80], Text(en: "a continuation byte alone", zh: "孤立的后续字节")),
    ([0xC3], Text(en: "half a character", zh: "半个字符")),
    ([0xC0, 0xAF], Text(en: "a longer form than necessary", zh: "过长的编码形式")),
    ([0xE0, 0x80, 0xAF], Text(en: "a longer form than necessary", zh: "过长的编码形式")),
    ([0xF0, 0x80, 0x80, 0xAF], Text(en: "a longer form than necessary", zh: "过长的编码形式")),
    ([0xED, 0xA0, 0x80], Text(en: "half of a UTF-16 pair", zh: "UTF-16 代理对的一半")),
    ([0xF4, 0x90, 0x80, 0x80], Text(en: "beyond 10FFFF", zh: "超出 10FFFF")),
    ([0xF8, 0x88, 0x80, 0x80, 0x80], Text(en: "a first byte of five", zh: "五字节形式的首字节")),
    ([0x41, 0xFF], Text(en: "a byte that UTF-8 never has", zh: "UTF-8 里不存在的字节")),
    ([0xE4, 0xB8, 0x41], Text(en: "a character that breaks off", zh: "中断的字符")),
    (
        [0xE4, 0xB8] + Array("12345678".utf8) + [0xAD],
        Text(en: "a character that goes on behind eight others", zh: "隔了八个字符才接上的字符")
    ),
    // The lowest byte above those that may continue.
    ([0xE4, 0xB8, 0xC0], Text(en: "a first byte where one should continue", zh: "该是后续字节的地方是首字节")),
    ([0xC3, 0xC0], Text(en: "a first byte where one should continue", zh: "该是后续字节的地方是首字节")),
    ([0xE0, 0xC0, 0x80], Text(en: "a first byte where one should continue", zh: "该是后续字节的地方是首字节")),
    ([0xF0, 0xC0, 0x80, 0x80], Text(en: "a first byte where one should continue", zh: "该是后续字节的地方是首字节")),
]
