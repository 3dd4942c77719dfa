// Lesson 09: encodeFrame and FrameDecoder. No sockets: streams are cut here, and fed by the host.
import Course
import GraderKit
import Sockets
import Wire

/// The bytes of a frame, which may be wrong in any way.
///
/// - Parameter form: the bytes of its length: 0, 2 or 8; nil: as few as possible.
func wireFrame(
    _ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true, mask: [UInt8]? = nil, form: Int? = nil,
    reserved: UInt8 = 0
) -> [UInt8] {
    let form = form ?? (payload.count < 126 ? 0 : payload.count < 65536 ? 2 : 8)
    let short = form == 0 ? UInt8(payload.count) : form == 2 ? 126 : 127
    var bytes = [(isFinal ? 0x80 : 0) | reserved | opcode, (mask == nil ? 0 : 0x80) | short]
    bytes += bigEndianBytes(UInt64(payload.count)).suffix(form)
    guard let mask else { return bytes + payload }
    return bytes + mask + payload.enumerated().map { $1 ^ mask[$0 % 4] }
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

let textOpcode = Opcode.text.rawValue
let binaryOpcode = Opcode.binary.rawValue
private let continuation = Opcode.continuation.rawValue
private let ping = Opcode.ping.rawValue
private let pong = Opcode.pong.rawValue
let closeOpcode = Opcode.close.rawValue

/// A close frame's payload.
func closePayload(_ code: UInt16, _ reason: String = "") -> [UInt8] { bigEndianBytes(code) + Array(reason.utf8) }

// MARK: encodeFrame

let encodeFrameOfLesson09Checks: [Check] = [
    Check("encode-bytes") { trial in
        try trial.expectEncoded(.text, Array("Hello".utf8), mask: nil)
        try trial.expectEncoded(.binary, [0, 255, 10], mask: nil)
        try trial.expectEncoded(.ping, [], mask: nil)
        try trial.expectEncoded(.close, closePayload(1000, "bye"), mask: nil)
    },
    Check("encode-lengths") { trial in
        for count in [125, 126, 127, 0x0102, 0xFFFF, 0x1_0000, 0x01_0203] {
            try trial.expectEncoded(.binary, trial.random.letters(count), mask: nil)
        }
    },
    Check("encode-mask") { trial in
        for count in [0, 1, 3, 4, 5, 8, 21, 300, 70_000] {
            try trial.expectEncoded(.text, trial.random.letters(count), mask: trial.random.mask())
        }
        try trial.expectEncoded(.pong, Array("pong".utf8), mask: [0, 0, 0, 0])
    },
    Check("encode-fragments") { trial in
        try trial.expectEncoded(.text, Array("Hel".utf8), isFinal: false, mask: nil)
        try trial.expectEncoded(.continuation, Array("l".utf8), isFinal: false, mask: trial.random.mask())
        try trial.expectEncoded(.continuation, Array("o".utf8), mask: nil)
    },
]

// MARK: FrameDecoder

let frameDecoderOfLesson09Checks: [Check] = [
    Check("decode-messages") { trial in
        for role in [WebSocketRole.server, .client] {
            for text in ["Hello", "", "世界 🌍"] {
                try trial.expectEvents(
                    say("a text frame of \(quoted(Array(text.utf8)))", "一个文本帧 \(quoted(Array(text.utf8)))"), role,
                    [trial.frame(role, textOpcode, Array(text.utf8))])
            }
            try trial.expectEvents(
                say("a binary frame of 00 ff fe", "一个二进制帧 00 ff fe"), role,
                [trial.frame(role, binaryOpcode, [0, 0xFF, 0xFE])])
        }
    },
    Check("decode-lengths") { trial in
        for count in [125, 126, 127, 0x0102, 0xFFFF, 0x1_0000, 0x01_0203] {
            try trial.expectEvents(
                say("a binary frame of \(count) bytes", "一个 \(count) 字节的二进制帧"), .server, limit: 1 << 20,
                [trial.frame(.server, binaryOpcode, trial.random.letters(count))])
        }
    },
    Check("decode-masks") { trial in
        for count in 1...9 {
            try trial.expectEvents(
                say("a masked frame of \(count) bytes", "一个 \(count) 字节的带掩码的帧"), .server,
                [trial.frame(.server, binaryOpcode, trial.random.letters(count))])
        }
        try trial.expectEvents(
            say("a frame with the mask 00 00 00 00", "掩码为 00 00 00 00 的帧"), .server,
            [wireFrame(textOpcode, Array("zero".utf8), mask: [0, 0, 0, 0])])
    },
    Check("decode-mask-goes-on") { trial in
        // The chunks cut the payload where the mask is at its second, third and fourth byte.
        let frame = trial.frame(.server, textOpcode, Array("the mask goes on".utf8))
        for cut in 7..<frame.count {
            try trial.expectEvents(
                say("a masked frame, cut after byte \(cut - 6) of its payload", "一个带掩码的帧，在载荷第 \(cut - 6) 个字节后切断"),
                .server, [Array(frame[..<cut]), Array(frame[cut...])])
        }
    },
    Check("decode-several") { trial in
        let frames = ["one", "", "three"].map { trial.frame(.server, textOpcode, Array($0.utf8)) }
        try trial.expectEvents(say("three frames in one chunk", "一块里有三个帧"), .server, [Array(frames.joined())])
        let (first, second) = (frames[0], frames[2])
        try trial.expectEvents(
            say("a frame and the beginning of the next", "一个帧和下一帧的开头"), .server,
            [first + second.prefix(1), Array(second[1..<4]), Array(second[4...]) + first])
        try trial.expectEvents(
            say("two empty messages and two empty pings", "两个空消息和两个空 ping"), .client,
            [[0x81, 0, 0x89, 0, 0x82, 0, 0x89, 0]])
    },
    Check("decode-byte-by-byte") { trial in
        for role in [WebSocketRole.server, .client] {
            let stream =
                trial.frame(role, textOpcode, Array("粘".utf8), isFinal: false) + trial.frame(role, ping, [1, 2])
                + trial.frame(role, continuation, Array("包".utf8)) + trial.frame(role, pong, [])
                + trial.frame(role, binaryOpcode, trial.random.bytes(300))
                + trial.frame(role, closeOpcode, closePayload(4000, "再见"))
            try trial.expectEvents(say("a stream, byte by byte", "逐字节到来的流"), role, stream.map { [$0] })
            try trial.expectEvents(
                say("a stream, byte by byte, with empty chunks", "逐字节到来的流，夹着空块"), role, stream.flatMap { [[], [$0]] })
        }
    },
    Check("decode-any-cut") { trial in
        for _ in 0..<60 { try trial.expectRandomStream() }
    },
    Check("decode-fragments") { trial in
        let parts = ["Hel", "", "lo", " ", "world"].map { Array($0.utf8) }
        let stream = parts.indices.map { index in
            trial.frame(.server, index == 0 ? textOpcode : continuation, parts[index], isFinal: index == 4)
        }
        try trial.expectEvents(say("a text in five fragments", "分成五个分片的文本"), .server, stream)
        try trial.expectEvents(
            say("a text in five fragments, in one chunk", "同在一块里的五个分片"), .server, [Array(stream.joined())])
        try trial.expectEvents(
            say("a binary message in two fragments, and an empty text in two", "两个分片的二进制消息，和两个分片的空文本"), .client,
            [
                wireFrame(binaryOpcode, [1, 0xFF], isFinal: false), wireFrame(continuation, [2]),
                wireFrame(textOpcode, [], isFinal: false), wireFrame(continuation, []),
            ])
    },
    Check("decode-control-between") { trial in
        let stream = [
            trial.frame(.server, textOpcode, Array("frag".utf8), isFinal: false),
            trial.frame(.server, ping, Array("are you there?".utf8)),
            trial.frame(.server, continuation, Array("men".utf8), isFinal: false),
            trial.frame(.server, pong, []), trial.frame(.server, ping, []),
            trial.frame(.server, continuation, Array("ted".utf8)),
        ]
        try trial.expectEvents(say("a ping between fragments", "分片之间的 ping"), .server, stream)
        try trial.expectEvents(say("a ping between fragments", "分片之间的 ping"), .server, [Array(stream.joined())])
        try trial.expectEvents(
            say("a close between fragments", "分片之间的关闭帧"), .server,
            [stream[0], trial.frame(.server, closeOpcode, closePayload(1001))])
    },
    Check("decode-utf8") { trial in
        for text in ["κόσμε", "\u{7FF}\u{800}\u{FFFF}\u{10000}\u{10FFFF}", "\0", "\u{FEFF}x", "🌍🌍"] {
            try trial.expectEvents(
                say("the text \(quoted(Array(text.utf8)))", "文本 \(quoted(Array(text.utf8)))"), .server,
                [trial.frame(.server, textOpcode, Array(text.utf8))])
        }
        for (bytes, what) in notUTF8 {
            try trial.expectEvents(
                say("a text frame: \(hexText(bytes)), \(what.en)", "文本帧：\(hexText(bytes))，\(what.zh)"), .server,
                whenever: true, [trial.frame(.server, textOpcode, bytes)])
        }
        // The same bytes are right where no text is.
        try trial.expectEvents(
            say("a binary frame of ff c0 80", "二进制帧 ff c0 80"), .server,
            [trial.frame(.server, binaryOpcode, [0xFF, 0xC0, 0x80])])
    },
    Check("decode-utf8-fragments") { trial in
        let text = Array("粘包🌍".utf8)
        for cut in 1..<text.count {
            try trial.expectEvents(
                say("a text in two fragments, cut after byte \(cut)", "分成两片的文本，在第 \(cut) 个字节后切断"), .server,
                [
                    trial.frame(.server, textOpcode, Array(text[..<cut]), isFinal: false),
                    trial.frame(.server, ping, []), trial.frame(.server, continuation, Array(text[cut...])),
                ])
        }
        try trial.expectEvents(
            say("two fragments whose border makes a wrong character", "交界处拼成错误字符的两个分片"), .server, whenever: true,
            [
                trial.frame(.server, textOpcode, [0xED], isFinal: false),
                trial.frame(.server, continuation, [0xA0, 0x80]),
            ])
        try trial.expectEvents(
            say("a text whose last character is not complete", "最后一个字符不完整的文本"), .server, whenever: true,
            [
                trial.frame(.server, textOpcode, Array("ok".utf8), isFinal: false),
                trial.frame(.server, continuation, [0xE4, 0xB8]),
            ])
    },
    Check("decode-utf8-early") { trial in
        let bad: [UInt8] = Array("ok".utf8) + [0xF4, 0x90]
        try trial.expectEvents(
            say("a wrong byte in the first fragment; the others have not come", "第一个分片里有错误字节，其余分片还没有来"), .server,
            [trial.frame(.server, textOpcode, bad, isFinal: false)])
        let frame = trial.frame(.server, textOpcode, bad + Array("and much more".utf8))
        try trial.expectEvents(
            say("a wrong byte in a frame; its rest has not come", "帧里有错误字节，帧的其余部分还没有来"), .server,
            [Array(frame[..<(6 + 3)]), Array(frame[(6 + 3)..<(6 + 4)])])
    },
    Check("decode-masking-rule") { trial in
        let hello = Array("hello".utf8)
        try trial.expectEvents(
            say("a server receives a frame without mask", "服务器收到没有掩码的帧"), .server, whenever: true,
            [wireFrame(textOpcode, hello)])
        try trial.expectEvents(
            say("a client receives a masked frame", "客户端收到带掩码的帧"), .client, whenever: true,
            [wireFrame(textOpcode, hello, mask: trial.random.mask())])
        try trial.expectEvents(
            say("a server receives a ping without mask", "服务器收到没有掩码的 ping"), .server, whenever: true,
            [trial.frame(.server, textOpcode, hello) + wireFrame(ping, [])])
    },
    Check("decode-shortest-length") { trial in
        for (count, form) in [(125, 2), (0, 2), (126, 8), (65_535, 8)] {
            try trial.expectEvents(
                say("a length of \(count) in \(form) bytes", "用 \(form) 个字节表示的长度 \(count)"), .server, limit: 1 << 20,
                whenever: true,
                [
                    wireFrame(
                        binaryOpcode, [UInt8](repeating: 1, count: count), mask: trial.random.mask(), form: form)
                ])
        }
        try trial.expectEvents(
            say("a length with its highest bit set", "最高位为 1 的长度"), .client, whenever: true,
            [[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 5] + Array("hello".utf8)])
    },
    Check("decode-reserved") { trial in
        for bit in [0x40, 0x20, 0x10] as [UInt8] {
            try trial.expectEvents(
                say("a frame with the reserved bit \(hex(bit))", "保留位 \(hex(bit)) 为 1 的帧"), .server, whenever: true,
                [wireFrame(textOpcode, Array("hello".utf8), mask: trial.random.mask(), reserved: bit)])
        }
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] as [UInt8] {
            try trial.expectEvents(
                say("a frame with opcode \(opcode)", "操作码为 \(opcode) 的帧"), .server, whenever: true,
                [trial.frame(.server, textOpcode, [65]) + trial.frame(.server, opcode, [66])])
        }
    },
    Check("decode-control-rules") { trial in
        for opcode in [ping, pong, closeOpcode] {
            let payload = opcode == closeOpcode ? closePayload(1000) : Array("hi".utf8)
            try trial.expectEvents(
                say("a control frame that is a fragment, opcode \(opcode)", "成了分片的控制帧，操作码 \(opcode)"), .server,
                whenever: true, [trial.frame(.server, opcode, payload, isFinal: false)])
            let long =
                opcode == closeOpcode
                ? closePayload(1000, String(repeating: "x", count: 124)) : trial.random.letters(126)
            try trial.expectEvents(
                say("a control frame of 126 bytes, opcode \(opcode)", "126 字节的控制帧，操作码 \(opcode)"), .server,
                whenever: true,
                [trial.frame(.server, opcode, long)])
        }
        try trial.expectEvents(
            say("a ping of 125 bytes", "125 字节的 ping"), .server, [trial.frame(.server, ping, trial.random.bytes(125))])
    },
    Check("decode-order") { trial in
        let (one, two) = (Array("one".utf8), Array("two".utf8))
        try trial.expectEvents(
            say("a continuation with nothing to continue", "没有可延续消息的延续帧"), .server, whenever: true,
            [trial.frame(.server, continuation, one)])
        try trial.expectEvents(
            say("a continuation after a message that was whole", "完整消息之后的延续帧"), .server, whenever: true,
            [trial.frame(.server, textOpcode, one) + trial.frame(.server, continuation, two)])
        for opcode in [textOpcode, binaryOpcode] {
            try trial.expectEvents(
                say("a new message in the midst of another, opcode \(opcode)", "一条消息中间又开始新消息，操作码 \(opcode)"), .server,
                whenever: true,
                [trial.frame(.server, textOpcode, one, isFinal: false) + trial.frame(.server, opcode, two)])
        }
    },
    Check("decode-close") { trial in
        try trial.expectEvents(say("an empty close frame", "空的关闭帧"), .server, [trial.frame(.server, closeOpcode, [])])
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] as [UInt16] {
            try trial.expectEvents(
                say("a close frame with code \(code)", "代码为 \(code) 的关闭帧"), .server,
                [trial.frame(.server, closeOpcode, closePayload(code, "bye 再见"))])
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] as [UInt16] {
            try trial.expectEvents(
                say("a close frame with code \(code)", "代码为 \(code) 的关闭帧"), .server, whenever: true,
                [trial.frame(.server, closeOpcode, closePayload(code))])
        }
        try trial.expectEvents(
            say("a close frame of one byte", "只有一个字节的关闭帧"), .server, whenever: true,
            [trial.frame(.server, closeOpcode, [3])])
        try trial.expectEvents(
            say("a close frame whose reason is no UTF-8", "原因不是 UTF-8 的关闭帧"), .server, whenever: true,
            [trial.frame(.server, closeOpcode, [3, 0xE8, 0xCE, 0xBA, 0xE1])])
    },
    Check("decode-after-close") { trial in
        let stream =
            trial.frame(.server, textOpcode, Array("last".utf8)) + trial.frame(.server, closeOpcode, closePayload(1000))
            + trial.frame(.server, textOpcode, Array("too late".utf8)) + [0xFF, 0xFF]
        try trial.expectEvents(say("a close frame, and bytes behind it", "关闭帧和它后面的字节"), .server, [stream, stream])
    },
    Check("decode-limit") { trial in
        let ten = Array("1234567890".utf8)
        try trial.expectEvents(
            say("messages of exactly 10 bytes, limit 10", "正好 10 字节的消息，上限 10"), .server, limit: 10,
            [
                trial.frame(.server, textOpcode, ten),
                trial.frame(.server, textOpcode, Array(ten[..<4]), isFinal: false),
                trial.frame(.server, ping, trial.random.letters(100)),
                trial.frame(.server, continuation, Array(ten[4...])),
            ])
        try trial.expectEvents(
            say("a message of 11 bytes, limit 10", "11 字节的消息，上限 10"), .server, limit: 10, whenever: true,
            [trial.frame(.server, textOpcode, ten + [65])])
        try trial.expectEvents(
            say("fragments of 6 and 5 bytes, limit 10", "6 字节和 5 字节的分片，上限 10"), .server, limit: 10, whenever: true,
            [
                trial.frame(.server, textOpcode, Array(ten[..<6]), isFinal: false),
                trial.frame(.server, continuation, Array(ten[..<5])),
            ])
    },
    Check("decode-limit-early") { trial in
        for length: UInt64 in [11, 126, 65_536, 1 << 40, 1 << 62] {
            let header = trial.header(.server, binaryOpcode, length)
            try trial.expectEvents(
                say("a header that announces \(length) bytes, limit 10", "宣布 \(length) 字节的帧头，上限 10"), .server,
                limit: 10,
                [header])
        }
    },
    Check("decode-before-bad") { trial in
        let good = trial.frame(.server, textOpcode, Array("good".utf8))
        let stream =
            good + trial.frame(.server, ping, [7])
            + wireFrame(textOpcode, [65], mask: trial.random.mask(), reserved: 0x40)
        for cut in [stream.count, 3, good.count, good.count + 2] {
            try trial.expectEvents(
                say("a message, a ping, and then a broken frame", "一条消息、一个 ping，然后一个错误的帧"), .server, whenever: true,
                [Array(stream[..<cut]), Array(stream[cut...])])
        }
    },
    Check("decode-memory") { trial in
        let limit = 400_000_000
        let process = try trial.launch()
        let first = trial.frame(.server, textOpcode, Array("first".utf8))
        try trial.expectEvents(say("a short message", "一条短消息"), .server, limit: limit, [first], in: process)
        let (memory, space) = (process.peakMemory, process.peakAddressSpace)
        let promise = trial.header(.server, binaryOpcode, UInt64(limit - 4))
        try trial.expectEvents(
            say("a header that announces \(limit - 4) bytes, and 9 of them", "宣布 \(limit - 4) 字节的帧头，来了其中 9 个"), .server,
            limit: limit, [promise, Array("only this".utf8)], in: process)
        let grown = max(process.peakMemory - memory, process.peakAddressSpace - space)
        if grown > 128 << 20 {
            throw Failure(
                expected: say(
                    "a header announces \(limit - 4) bytes, 9 have come: memory for those is taken",
                    "帧头宣布 \(limit - 4) 字节，来了 9 个：只为这 9 个占用内存"),
                got: say("memory for \(grown >> 20) MiB", "占用了 \(grown >> 20) MiB"), cause: "memory-before-payload")
        }
    },
    Check("decode-cost") { trial in
        // Many tiny frames in one chunk; one long text in small chunks; and one in tiny fragments.
        let tiny = trial.frame(.server, binaryOpcode, [65])
        try trial.expectLinearCost(128 << 10, chunk: 1 << 30, cause: "moves-all-frames") { size in
            ([], tiny, size / tiny.count, events: size / tiny.count)
        }
        try trial.expectLinearCost(64 << 10, chunk: 256, cause: "decodes-again") { size in
            let header = trial.header(.server, textOpcode, UInt64(size))
            // "A" all along is a pattern of four bytes under the mask.
            return (header, header.suffix(4).map { $0 ^ 65 }, size / 4, events: 1)
        }
        let fragment = trial.frame(.server, continuation, [65], isFinal: false)
        try trial.expectLinearCost(64 << 10, chunk: 4096, cause: "decodes-again") { size in
            (trial.frame(.server, textOpcode, [], isFinal: false), fragment, size / fragment.count, events: 0)
        }
    },
]

private let notUTF8: [([UInt8], Text)] = [
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
]

extension Trial {
    /// A frame as `role` receives it: masked for a server.
    fileprivate func frame(
        _ role: WebSocketRole, _ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true
    ) -> [UInt8] {
        wireFrame(opcode, payload, isFinal: isFinal, mask: role == .server ? random.mask() : nil)
    }

    /// A header alone.
    fileprivate func header(_ role: WebSocketRole, _ opcode: UInt8, _ length: UInt64) -> [UInt8] {
        let form = length < 126 ? 0 : length < 65536 ? 2 : 8
        let short = form == 0 ? UInt8(length) : form == 2 ? 126 : 127
        let bytes = [0x80 | opcode, (role == .server ? 0x80 : 0) | short] + bigEndianBytes(length).suffix(form)
        return role == .server ? bytes + random.mask() : bytes
    }

    /// Feeds the chunks to the student's decoder: after each, exactly the events that it completes.
    ///
    /// - Parameter whenever: an error may come later than it could.
    fileprivate func expectEvents(
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
        let cause =
            answer.error == "endless"
            ? "frame-again"
            : FrameMistake.allCases.first { mistake in
                let mistaken = FrameModel.decode(chunks, role: role, limit: limit, mistake: mistake)
                return !same(mistaken, right) && (mistaken == answer || whenever && same(mistaken, answer))
            }?.cause
        let place =
            chunks.count > 1 && !whenever
            ? say(", after chunk \(round + 1) of \(chunks.count)", "，第 \(round + 1)/\(chunks.count) 块之后") : ""
        throw Failure(
            expected: what + place + say(": ", "：") + expected.text,
            got: got.text + say("; fed ", "；输入 ") + hexText(chunks[min(round, chunks.count - 1)]), cause: cause)
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
    fileprivate func expectRandomStream() throws {
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
                opcode = continuation
                if Bool.random(using: &random) {
                    stream += frame(role, Bool.random(using: &random) ? ping : pong, random.bytes(3))
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

    /// Four times the bytes may take eight times the CPU time, or half a second, whichever is more.
    ///
    /// - Parameter stream: of so many bytes: a beginning, a pattern and how often it is repeated, and the events in it.
    fileprivate func expectLinearCost(
        _ size: Int, chunk: Int, cause: String, stream: (Int) -> ([UInt8], [UInt8], Int, events: Int)
    ) throws {
        func seconds(_ size: Int) throws -> Double {
            let (beginning, pattern, times, events) = stream(size)
            let arguments: [Value] = [
                .string("server"), .int(1 << 30), .bytes(beginning), .bytes(pattern), .int(times), .int(chunk),
            ]
            let value = try begin("frame-decoder-cost", arguments).value(within: 120)
            guard case .list(let list) = value, list.count == 2, case .int(let got) = list[0],
                case .unsigned(let time) = list[1]
            else { throw LabError("frame-decoder-cost answered \(value.text)") }
            try expect(got, equals: events, say("messages in a stream of \(size) bytes", "\(size) 字节的流里的消息数"))
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

    fileprivate func expectEncoded(
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
    fileprivate init?(_ value: Value) {
        guard case .list(let answers) = value else { return nil }
        for answer in answers {
            switch answer {
            case .list(let values): events.append(values.compactMap(WebSocketEvent.init))
            case .string(let name): error = name
            default: return nil
            }
        }
    }

    fileprivate struct Outcome: Equatable {
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
    fileprivate func outcome(of round: Int) -> Outcome {
        Outcome(
            events: events.indices.contains(round) ? events[round] : nil,
            error: round == events.count - 1 ? error : nil)
    }
}
