// Lesson 14: messages to JSON and back, without a socket. What comes back is compared as JSON, not by its spelling.
import Course
import Foundation
import GraderKit
import Wire

let messagesChecks: [Check] = [
    Check("messages-encode") { trial in
        for message in everyMessage { try trial.expectEncoded(message) }
    },
    Check("messages-encode-texts") { trial in
        for text in awkwardTexts {
            try trial.expectEncoded(.chat(content: text), cause: "text-not-escaped")
            try trial.expectEncoded(
                .chatMessage(ChatLine(id: 1, username: "ann", content: text, timestamp: 1)), cause: "text-not-escaped")
        }
    },
    Check("messages-decode") { trial in
        for message in everyMessage { try trial.expectDecoded(writeMessage(message), message) }
        for text in awkwardTexts {
            try trial.expectDecoded(writeMessage(.chat(content: text)), .chat(content: text))
        }
        let spellings: [(String, ChatMessage)] = [
            (" {\n\t\"content\" : \"hi\" ,\r\n \"type\":\"chat\" } ", .chat(content: "hi")),
            (#"{"type":"chat","content":"\u4f60\u597d \ud83d\ude00 \/ \u0000"}"#, .chat(content: "你好 😀 / \0")),
            (#"{"type":"login","username":"ann","password":"x","room":{"id":[1,2,{}]}}"#, .login(username: "ann")),
            (#"{"type":"logout","username":"ann","content":"bye"}"#, .logout),
            (#"{"type":"login_response","success":true,"message":"hello"}"#, .loginResponse(refusal: nil)),
            (
                #"{"type":"chat_message","id":7,"username":"a","content":"b","timestamp":12}"#,
                .chatMessage(ChatLine(id: 7, username: "a", content: "b", timestamp: 12))
            ),
            (#"{"type":"error","code":"too_long"}"#, .error(.tooLong)),
        ]
        for (text, message) in spellings { try trial.expectDecoded(Array(text.utf8), message) }
    },
    Check("messages-unknown-type") { trial in
        for text in [
            #"{"type":"dance"}"#, #"{"type":""}"#, #"{"type":"LOGIN","username":"ann"}"#,
            #"{"type":"chat ","content":"x"}"#,
            #"{"type":"dance","username":7,"content":null}"#, #"{"username":"ann","type":"跳舞"}"#,
        ] { try trial.expectRefused(Array(text.utf8), "unknownType") }
    },
    Check("messages-bad-json", suspects: [.nestedTooDeep]) { trial in
        for text in [
            "", " ", "null", "17", "\"login\"", "[]", "[{\"type\":\"logout\"}]", "{", "}", "{}", #"{"type":"logout""#,
            #"{"type":"logout"} and more"#, #"{"type":"logout"}{"type":"logout"}"#, #"{"type":7}"#, #"{"type":null}"#,
            #"{"Type":"logout"}"#, #"{'type':'logout'}"#, #"type=logout"#, "{\"type\":\"chat\",\"content\":\"a\nb\"}",
        ] { try trial.expectRefused(Array(text.utf8), "badMessage") }
        // As deep as a frame can be: who calls himself for each bracket runs out of stack.
        for bracket in ["[", "{\"a\":"] {
            let deep = Array(String(repeating: bracket, count: 60_000 / bracket.utf8.count).utf8)
            try trial.expectRefused(deep, "badMessage")
        }
    },
    Check("messages-bad-fields") { trial in
        for text in [
            #"{"type":"login"}"#, #"{"type":"login","username":null}"#, #"{"type":"login","username":7}"#,
            #"{"type":"login","username":["ann"]}"#, #"{"type":"chat","content":true}"#, #"{"type":"chat","text":"x"}"#,
            #"{"type":"login_response"}"#, #"{"type":"login_response","success":1}"#,
            #"{"type":"login_response","success":"true"}"#, #"{"type":"login_response","success":false}"#,
            #"{"type":"login_response","success":false,"code":"no such code"}"#,
            #"{"type":"chat_message","id":"7","username":"a","content":"b","timestamp":1}"#,
            #"{"type":"chat_message","id":1.5,"username":"a","content":"b","timestamp":1}"#,
            #"{"type":"chat_message","id":true,"username":"a","content":"b","timestamp":1}"#,
            #"{"type":"chat_message","id":7,"username":"a","content":"b","timestamp":"now"}"#,
            #"{"type":"chat_message","id":7,"username":"a","content":"b","timestamp":false}"#,
            #"{"type":"chat_message","id":7,"username":"a","content":"b"}"#, #"{"type":"user_joined"}"#,
            #"{"type":"error","message":"no code"}"#, #"{"type":"error","code":8}"#,
        ] {
            try trial.expectRefused(Array(text.utf8), "badMessage", cause: "wrong-field-accepted")
        }
    },
    Check("messages-bad-utf8") { trial in
        let parts: [[UInt8]] = [
            [0xFF], [0xC3], [0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE4, 0xB8],
            Array(#"\ud800"#.utf8), Array(#"\ude00\ud83d"#.utf8),
        ]
        for part in parts {
            let bytes = Array(#"{"type":"chat","content":"a"#.utf8) + part + Array(#"b"}"#.utf8)
            try trial.expectRefused(bytes, "badMessage", cause: "bad-utf8-accepted")
        }
        let text = #"{"type":"logout"}"#.utf16
        let little = text.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
        for bytes in [little, text.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }, [0xFF, 0xFE] + little] {
            try trial.expectRefused(bytes, "badMessage", cause: "utf16-accepted")
        }
    },
    Check("messages-garbage") { trial in
        // Good messages with a few bytes changed, cut or doubled: whatever comes of it, it is an answer.
        for _ in 0..<400 {
            var bytes = writeMessage(everyMessage.randomElement(using: &trial.random) ?? .logout)
            for _ in 0..<Int.random(in: 1...4, using: &trial.random) where !bytes.isEmpty {
                let place = bytes.indices.randomElement(using: &trial.random) ?? 0
                switch Int.random(in: 0..<4, using: &trial.random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &trial.random)
                case 1: bytes.removeSubrange(place...)
                case 2: bytes.insert(contentsOf: bytes[..<place], at: place)
                default: bytes.remove(at: place)
                }
            }
            let expected =
                say("a message, or a MessageError, for ", "对以下字节给出消息或 MessageError：") + quoted(bytes, most: 80)
            switch try trial.decoded(bytes, expecting: expected) {
            case .returned: break
            case let outcome: throw Failure(expected: expected, got: outcome.text)
            }
        }
    },
]

private let everyMessage: [ChatMessage] =
    [
        .login(username: "ann"), .login(username: "王小明"), .chat(content: "hi"), .logout, .loginResponse(refusal: nil),
        .chatMessage(ChatLine(id: 1, username: "ann", content: "hi", timestamp: 1_766_000_000.25)),
        .chatMessage(ChatLine(id: 9_007_199_254_740_991, username: "b", content: "c", timestamp: 0)),
        .userJoined(username: "bob"), .userLeft(username: "bob"), .logoutResponse,
    ] + ChatProblem.allCases.flatMap { [.error($0), .loginResponse(refusal: $0)] }

private let awkwardTexts = [
    "", "\"", "\\", "a\nb\r\tc", "\u{0}\u{1}\u{1f}\u{7f}", "你好，世界", "😀👨‍👩‍👧", "e\u{301} é", "\u{2028}\u{2029}", "</script>",
    #"","type":"logout","x":""#, String(repeating: "\"", count: 4096), String(repeating: "字", count: 1365),
]

extension Cause {
    /// Of an index, a cast or a try! Swift says what is wrong with it; of a stack that is used up it can say nothing.
    static let nestedTooDeep = Cause.crash(meaning: "nested-too-deep") { $0.isEmpty }
}

extension Trial {
    fileprivate func decoded(_ bytes: [UInt8], expecting sentence: String) throws -> PendingCall.Outcome {
        try begin("decode-message", [.bytes(bytes)]).outcome(expecting: sentence)
    }

    fileprivate func expectDecoded(_ bytes: [UInt8], _ message: ChatMessage) throws {
        let expected = say("\(message.words) from ", "\(message.words)，来自 ") + quoted(bytes, most: 80)
        switch try decoded(bytes, expecting: expected) {
        case .returned(let value) where value == message.value: return
        case .returned(.list([.string("badMessage")])):
            throw Failure(expected: expected, got: "MessageError.badMessage", cause: "good-message-refused")
        case .returned(let value):
            var cause: String?
            if case .list(let parts) = value, let got = try? ChatMessage(value: parts) {
                cause = mistakenTime(of: message, got)
            }
            throw Failure(expected: expected, got: words(value), cause: cause)
        case let outcome: throw Failure(expected: expected, got: outcome.text)
        }
    }

    /// A Date that is coded as it is counts from 2001: 978,307,200 seconds after 1970.
    private func mistakenTime(of message: ChatMessage, _ got: ChatMessage) -> String? {
        guard case .chatMessage(let wanted) = message, case .chatMessage(let line) = got,
            abs(abs(line.timestamp - wanted.timestamp) - 978_307_200) < 1
        else { return nil }
        return "timestamp-since-2001"
    }

    /// - Parameter cause: that the bytes were taken for a message means this.
    fileprivate func expectRefused(_ bytes: [UInt8], _ name: String, cause: String? = nil) throws {
        let expected = say("MessageError.\(name) for ", "抛出 MessageError.\(name)：") + quoted(bytes, most: 80)
        let outcome = try decoded(bytes, expecting: expected)
        switch outcome {
        case .returned(.list([.string(name)])): return
        case .returned(let value):
            guard case .list(let parts) = value, parts.count == 1,
                [.string("badMessage"), .string("unknownType")].contains(parts[0])
            else { throw Failure(expected: expected, got: words(value), cause: cause) }
            throw Failure(
                expected: expected, got: "MessageError." + (name == "unknownType" ? "badMessage" : "unknownType"),
                cause: name == "unknownType" ? "unknown-type-taken-for-bad" : nil)
        case .threw: throw Failure(expected: expected, got: outcome.text)
        }
    }

    /// What a program made of bytes: a message in the words of the reports, or else as it is.
    private func words(_ value: Value) -> String {
        guard case .list(let parts) = value, let message = try? ChatMessage(value: parts) else { return value.text }
        return message.words
    }

    fileprivate func expectEncoded(_ message: ChatMessage, cause: String? = nil) throws {
        guard case .bytes(let bytes) = try call("encode-message", message.value) else {
            throw LabError("encode-message returns bytes")
        }
        let expected = say("\(message.words) as JSON", "把 \(message.words) 写成 JSON")
        if bytes.count > 4, bytes.starts(with: bigEndianBytes(UInt32(bytes.count - 4))) {
            throw Failure(expected: expected, got: hexText(bytes), cause: "length-in-json")
        }
        let got = String(validating: bytes, as: UTF8.self) == nil ? nil : readMessage(bytes)
        guard got == message else {
            let text = String(decoding: bytes, as: UTF8.self).lowercased()
            let isLongEscape = message.words.unicodeScalars.contains {
                $0.value > 0xFFFF && text.contains("\\u" + String($0.value, radix: 16))
            }
            let another = JSONValue(bytes) == nil ? cause : got.flatMap { mistakenTime(of: message, $0) }
            throw Failure(
                expected: expected, got: quoted(bytes, most: 120),
                cause: isLongEscape ? "escape-of-five-digits" : another)
        }
    }
}
