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
    return bytes + mask + masked(payload, with: mask)
}

/// RFC 6455, section 5.3. Plain steps, for megabytes without optimisation.
///
/// - Parameter start: how many bytes before the payload are counted; 0 is right.
func masked(_ payload: [UInt8], with key: [UInt8], from start: Int = 0) -> [UInt8] {
    var payload = payload
    payload.withUnsafeMutableBufferPointer { bytes in
        key.withUnsafeBufferPointer { key in
            var index = 0
            while index < bytes.count {
                bytes[index] ^= key[(start + index) & 3]
                index += 1
            }
        }
    }
    return payload
}

let textOpcode = Opcode.text.rawValue
let binaryOpcode = Opcode.binary.rawValue
let continuationOpcode = Opcode.continuation.rawValue
let pingOpcode = Opcode.ping.rawValue
let pongOpcode = Opcode.pong.rawValue
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
                trial.frame(role, textOpcode, Array("粘".utf8), isFinal: false) + trial.frame(role, pingOpcode, [1, 2])
                + trial.frame(role, continuationOpcode, Array("包".utf8)) + trial.frame(role, pongOpcode, [])
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
            trial.frame(.server, index == 0 ? textOpcode : continuationOpcode, parts[index], isFinal: index == 4)
        }
        try trial.expectEvents(say("a text in five fragments", "分成五个分片的文本"), .server, stream)
        try trial.expectEvents(
            say("a text in five fragments, in one chunk", "同在一块里的五个分片"), .server, [Array(stream.joined())])
        try trial.expectEvents(
            say("a binary message in two fragments, and an empty text in two", "两个分片的二进制消息，和两个分片的空文本"), .client,
            [
                wireFrame(binaryOpcode, [1, 0xFF], isFinal: false), wireFrame(continuationOpcode, [2]),
                wireFrame(textOpcode, [], isFinal: false), wireFrame(continuationOpcode, []),
            ])
    },
    Check("decode-control-between") { trial in
        let stream = [
            trial.frame(.server, textOpcode, Array("frag".utf8), isFinal: false),
            trial.frame(.server, pingOpcode, Array("are you there?".utf8)),
            trial.frame(.server, continuationOpcode, Array("men".utf8), isFinal: false),
            trial.frame(.server, pongOpcode, []), trial.frame(.server, pingOpcode, []),
            trial.frame(.server, continuationOpcode, Array("ted".utf8)),
        ]
        try trial.expectEvents(say("a ping between fragments", "分片之间的 ping"), .server, stream)
        try trial.expectEvents(say("a ping between fragments", "分片之间的 ping"), .server, [Array(stream.joined())])
        try trial.expectEvents(
            say("a close between fragments", "分片之间的关闭帧"), .server,
            [stream[0], trial.frame(.server, closeOpcode, closePayload(1001))])
    },
    Check("decode-utf8") { trial in
        // The first and the last character of each first byte that is a case of its own, and of the runs between.
        let bounds =
            "\u{80}\u{7FF}\u{800}\u{FFF}\u{1000}\u{CFFF}\u{D000}\u{D7FF}\u{E000}\u{FFFF}"
            + "\u{10000}\u{3FFFF}\u{40000}\u{FFFFF}\u{100000}\u{10FFFF}"
        for text in ["κόσμε", bounds, "\0", "\u{FEFF}x", "🌍🌍"] {
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
                    trial.frame(.server, pingOpcode, []), trial.frame(.server, continuationOpcode, Array(text[cut...])),
                ])
        }
        try trial.expectEvents(
            say("two fragments whose border makes a wrong character", "交界处拼成错误字符的两个分片"), .server, whenever: true,
            [
                trial.frame(.server, textOpcode, [0xED], isFinal: false),
                trial.frame(.server, continuationOpcode, [0xA0, 0x80]),
            ])
        try trial.expectEvents(
            say("a text whose last character is not complete", "最后一个字符不完整的文本"), .server, whenever: true,
            [
                trial.frame(.server, textOpcode, Array("ok".utf8), isFinal: false),
                trial.frame(.server, continuationOpcode, [0xE4, 0xB8]),
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
            [trial.frame(.server, textOpcode, hello) + wireFrame(pingOpcode, [])])
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
        for opcode in [pingOpcode, pongOpcode, closeOpcode] {
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
            say("a ping of 125 bytes", "125 字节的 ping"), .server,
            [trial.frame(.server, pingOpcode, trial.random.bytes(125))])
    },
    Check("decode-order") { trial in
        let (one, two) = (Array("one".utf8), Array("two".utf8))
        try trial.expectEvents(
            say("a continuation with nothing to continue", "没有可延续消息的延续帧"), .server, whenever: true,
            [trial.frame(.server, continuationOpcode, one)])
        try trial.expectEvents(
            say("a continuation after a message that was whole", "完整消息之后的延续帧"), .server, whenever: true,
            [trial.frame(.server, textOpcode, one) + trial.frame(.server, continuationOpcode, two)])
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
                trial.frame(.server, pingOpcode, trial.random.letters(100)),
                trial.frame(.server, continuationOpcode, Array(ten[4...])),
            ])
        try trial.expectEvents(
            say("a message of 11 bytes, limit 10", "11 字节的消息，上限 10"), .server, limit: 10, whenever: true,
            [trial.frame(.server, textOpcode, ten + [65])])
        try trial.expectEvents(
            say("fragments of 6 and 5 bytes, limit 10", "6 字节和 5 字节的分片，上限 10"), .server, limit: 10, whenever: true,
            [
                trial.frame(.server, textOpcode, Array(ten[..<6]), isFinal: false),
                trial.frame(.server, continuationOpcode, Array(ten[..<5])),
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
            good + trial.frame(.server, pingOpcode, [7])
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
        try trial.expectLinearCost(256 << 10, chunk: 1 << 30, cause: "moves-all-frames") { size in
            ([], tiny, size / tiny.count, events: size / tiny.count)
        }
        try trial.expectLinearCost(256 << 10, chunk: 256, cause: "decodes-again") { size in
            let header = trial.header(.server, textOpcode, UInt64(size))
            // "A" all along is a pattern of four bytes under the mask.
            return (header, header.suffix(4).map { $0 ^ 65 }, size / 4, events: 1)
        }
        let fragment = trial.frame(.server, continuationOpcode, [65], isFinal: false)
        try trial.expectLinearCost(256 << 10, chunk: 512, cause: "decodes-again") { size in
            (trial.frame(.server, textOpcode, [], isFinal: false), fragment, size / fragment.count, events: 0)
        }
    },
]
