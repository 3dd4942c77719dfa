// Lesson 09: acceptKey and the handshake, both sides. No sockets: bytes go in by a call, and answers come back.
import Course
import GraderKit
import Sockets
import Wire

/// The key of RFC 6455, and what belongs to it.
let sampleKey = "dGhlIHNhbXBsZSBub25jZQ=="
private let sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
let webSocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/// What a server answers with, by the standard.
func acceptValue(_ key: String) -> String { base64(sha1(Array((key + webSocketGUID).utf8))) }

let acceptKeyChecks: [Check] = [
    Check("accept-key-sample") { trial in try trial.expectAcceptKey(sampleKey, equals: sampleAccept) },
    Check("accept-key-random") { trial in
        for _ in 0..<20 {
            let key = base64(trial.random.bytes(16))
            try trial.expectAcceptKey(key, equals: acceptValue(key))
        }
    },
]

// MARK: The server's side

let serverHandshakeChecks: [Check] = [
    Check("handshake-accepts") { trial in
        let key = base64(trial.random.bytes(16))
        for request in [Request(key: key), .chromium(key: key)] {
            try trial.expectAccepted(request)
        }
    },
    Check("handshake-incomplete") { trial in
        let request = Request(key: sampleKey).bytes
        for count in [0, 1, 10, request.count - 4, request.count - 3, request.count - 2, request.count - 1] {
            try trial.expectHandshake(
                say("\(count) of \(request.count) bytes of a request", "请求的 \(request.count) 字节中的前 \(count) 字节"),
                Array(request[..<count]), origins: nil, causeIfRefused: "rest-not-awaited"
            ) { $0 == .incomplete ? nil : say("incomplete", "incomplete") }
        }
    },
    Check("handshake-frames-behind") { trial in
        try trial.expectAccepted(
            Request(key: sampleKey),
            behind: wireFrame(textOpcode, Array("\r\n\r\n early".utf8), mask: trial.random.mask()))
    },
    Check("handshake-any-case") { trial in
        var request = Request(key: sampleKey)
        request.fields = [
            ("hOST", "x"), ("UPGRADE", "WebSocket"), ("connection", "keep-alive, uPGRADE"),
            ("sec-websocket-KEY", " \t\(sampleKey) "), ("SEC-WEBSOCKET-VERSION", "13"),
        ]
        try trial.expectAccepted(request)
        request.fields[1].value = "h2c, websocket"
        request.fields[2] = ("Connection", "keep-alive")
        request.fields.append(("Connection", "Upgrade"))
        do { try trial.expectAccepted(request) } catch var failure as Failure {
            failure.cause = failure.cause ?? "list-in-two-fields"
            throw failure
        }
    },
    Check("handshake-offers") { trial in
        var request = Request(key: sampleKey)
        request.fields += [
            ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
            ("Sec-WebSocket-Protocol", "chat, superchat"),
        ]
        try trial.expectAccepted(request)
    },
    Check("handshake-426") { trial in
        for version in ["8", "0", "14", "13, 8", ""] {
            try trial.expectRefused(
                say("Sec-WebSocket-Version: \(version)", "Sec-WebSocket-Version: \(version)"),
                Request(key: sampleKey).with("Sec-WebSocket-Version", version), [426],
                needing: [("sec-websocket-version", "13")])
        }
        try trial.expectRefused(
            say("a request without a version", "没有版本的请求"), Request(key: sampleKey).without("Sec-WebSocket-Version"),
            [426],
            needing: [("sec-websocket-version", "13")])
        for (name, value) in [("Upgrade", nil), ("Upgrade", "h2c"), ("Connection", nil), ("Connection", "close")] {
            let request = Request(key: sampleKey)
            try trial.expectRefused(
                value.map { say("\(name): \($0)", "\(name): \($0)") }
                    ?? say("a request without \(name)", "没有 \(name) 的请求"),
                value.map { request.with(name, $0) } ?? request.without(name), [426],
                needing: [("upgrade", "websocket")])
        }
    },
    Check("handshake-400") { trial in
        let request = Request(key: sampleKey)
        let wrong: [(String, Request)] = [
            (say("a POST", "POST 请求"), request.starting("POST / HTTP/1.1")),
            (say("HTTP/1.0", "HTTP/1.0"), request.starting("GET / HTTP/1.0")),
            (say("a request line of two words", "只有两个词的请求行"), request.starting("GET /")),
            (say("no HTTP", "不是 HTTP"), request.starting("hello")),
            (say("a request without Host", "没有 Host 的请求"), request.without("Host")),
            (say("a request with two Hosts", "有两个 Host 的请求"), request.adding("Host", "other")),
            (say("a request without a key", "没有密钥的请求"), request.without("Sec-WebSocket-Key")),
            (say("a request with two keys", "有两个密钥的请求"), request.adding("Sec-WebSocket-Key", sampleKey)),
            (say("a key of 15 bytes", "15 字节的密钥"), Request(key: base64([UInt8](repeating: 7, count: 15)))),
            (say("a key of 17 bytes", "17 字节的密钥"), Request(key: base64([UInt8](repeating: 7, count: 17)))),
            (say("a key that is no base64", "不是 base64 的密钥"), Request(key: "!!!!!!!!!!!!!!!!!!!!!!==")),
            (say("a line without a colon", "没有冒号的行"), request.adding(line: "nonsense")),
            (say("a blank before the colon", "冒号前有空格"), request.adding(line: "X-More : x")),
        ]
        for (what, request) in wrong { try trial.expectRefused(what, request, [400]) }
    },
    Check("handshake-403") { trial in
        let allowed = ["http://localhost:8765", "https://chat.example"]
        let request = Request(key: sampleKey)
        try trial.expectAccepted(request.adding("Origin", allowed[0]), origins: allowed)
        try trial.expectAccepted(request.adding("Origin", "HTTPS://Chat.Example"), origins: allowed)
        try trial.expectAccepted(request, origins: allowed)
        try trial.expectAccepted(request.adding("Origin", "http://evil.example"))
        for origin in [
            "http://evil.example", "null", "http://localhost", "http://localhost:87650", "https://localhost:8765",
            "https://chat.example.evil.example", "https://evil.example/https://chat.example",
        ] {
            try trial.expectRefused(
                say("a page of \(origin), allowed: \(allowed)", "来自 \(origin) 的页面，允许 \(allowed)"),
                request.adding("Origin", origin), [403], origins: allowed)
        }
    },
    Check("handshake-431") { trial in
        let fits = Request(key: sampleKey)
        let room = Lesson09.headLimit - fits.bytes.count - "X: \r\n".utf8.count
        try trial.expectAccepted(fits.adding("X", String(repeating: "x", count: room)))
        try trial.expectRefused(
            say("a head of \(Lesson09.headLimit + 1) bytes", "\(Lesson09.headLimit + 1) 字节的请求头"),
            fits.adding("X", String(repeating: "x", count: room + 1)), [431])
        let endless = Array("GET / HTTP/1.1\r\nX: ".utf8) + [UInt8](repeating: 120, count: Lesson09.headLimit)
        try trial.expectHandshake(
            say("\(endless.count) bytes without an end", "\(endless.count) 字节，没有结尾"), endless, origins: nil
        ) { answer in
            if case .refused(431, _) = answer { return nil }
            return say("refused with 431", "以 431 拒绝")
        }
    },
]

// MARK: The client's side

let clientHandshakeChecks: [Check] = [
    Check("request-bytes") { trial in
        let key = base64(trial.random.bytes(16))
        for origin in [nil, "http://localhost:8765"] {
            let value = try trial.begin(
                "client-request",
                [
                    .string("localhost:8765"), .string("/chat?room=1"), .string(key),
                    origin.map { .string($0) } ?? Value.none,
                ]
            ).value()
            guard case .bytes(let bytes) = value else { throw LabError("client-request answered \(value.text)") }
            try trial.expectRequest(bytes, key: key, origin: origin)
        }
    },
    Check("answer-accepted") { trial in
        let key = base64(trial.random.bytes(16))
        for fields in [
            [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", acceptValue(key))],
            [
                ("sec-websocket-accept", " " + acceptValue(key)), ("CONNECTION", "upgrade"), ("upgrade", "WebSocket"),
                ("Server", "x: y"), ("Date", "today"),
            ],
        ] {
            let answer = Answer(fields: fields).bytes
            try trial.expectAnswer(say("a right answer", "正确的应答"), answer, key, .length(answer.count))
            let behind = [0x81, 2, 13, 10] as [UInt8]
            try trial.expectAnswer(
                say("a right answer with a frame behind it", "正确的应答，后面跟着一个帧"), answer + behind, key,
                .length(answer.count))
        }
        try trial.expectAnswer(
            say("101 without a reason", "没有原因短语的 101"), Answer(key: key, line: "HTTP/1.1 101").bytes, key,
            .length(Answer(key: key, line: "HTTP/1.1 101").bytes.count))
    },
    Check("answer-incomplete") { trial in
        let answer = Answer(key: sampleKey).bytes
        for count in [0, 1, 12, answer.count - 4, answer.count - 2, answer.count - 1] {
            try trial.expectAnswer(
                say("\(count) of \(answer.count) bytes of an answer", "应答的 \(answer.count) 字节中的前 \(count) 字节"),
                Array(answer[..<count]), sampleKey, .incomplete)
        }
    },
    Check("answer-status") { trial in
        for status in [200, 404, 400, 426, 301, 100, 500] {
            try trial.expectAnswer(
                say("status \(status)", "状态码 \(status)"), Answer(key: sampleKey, line: "HTTP/1.1 \(status) x").bytes,
                sampleKey, .error("status(\(status))"))
        }
    },
    Check("answer-not-http") { trial in
        for line in ["220 mail.example ESMTP", "HTTP/1.0 101 Switching Protocols", "HTTP/1.1 abc x", "HTTP/1.1", ""] {
            try trial.expectAnswer(
                say("an answer that begins with \"\(line)\"", "以 \"\(line)\" 开头的应答"),
                Answer(key: sampleKey, line: line).bytes, sampleKey, .error("notHTTP"))
        }
        let endless = Array("HTTP/1.1 101 x\r\nX: ".utf8) + [UInt8](repeating: 120, count: Lesson09.headLimit)
        try trial.expectAnswer(
            say("\(endless.count) bytes without an end", "\(endless.count) 字节，没有结尾"), endless, sampleKey,
            .error("notHTTP"))
    },
    Check("answer-upgrade") { trial in
        let right = Answer(key: sampleKey)
        for (what, answer) in [
            (say("no Upgrade", "没有 Upgrade"), right.without("Upgrade")),
            (say("Upgrade: h2c", "Upgrade: h2c"), right.without("Upgrade").adding("Upgrade", "h2c")),
            (say("no Connection", "没有 Connection"), right.without("Connection")),
            (say("Connection: close", "Connection: close"), right.without("Connection").adding("Connection", "close")),
        ] { try trial.expectAnswer(what, answer.bytes, sampleKey, .error("notUpgraded")) }
    },
    Check("answer-key") { trial in
        let right = Answer(key: sampleKey)
        let other = base64(trial.random.bytes(16))
        for (what, answer) in [
            (say("no Sec-WebSocket-Accept", "没有 Sec-WebSocket-Accept"), right.without("Sec-WebSocket-Accept")),
            (say("the Accept of another key", "另一个密钥的 Accept"), Answer(key: other)),
            (
                say("the Accept in lower case", "小写的 Accept"),
                right.without("Sec-WebSocket-Accept").adding("Sec-WebSocket-Accept", sampleAccept.lowercased())
            ),
            (
                say("the key itself", "密钥本身"),
                right.without("Sec-WebSocket-Accept").adding("Sec-WebSocket-Accept", sampleKey)
            ),
        ] { try trial.expectAnswer(what, answer.bytes, sampleKey, .error("wrongAcceptKey")) }
    },
    Check("answer-extras") { trial in
        for (name, value) in [("Sec-WebSocket-Extensions", "permessage-deflate"), ("Sec-WebSocket-Protocol", "chat")] {
            try trial.expectAnswer(
                say("\(name): \(value), though nobody asked", "\(name): \(value)，而没有人要求过"),
                Answer(key: sampleKey).adding(name, value).bytes, sampleKey, .error("unexpectedExtension"))
        }
    },
]

extension Trial {
    fileprivate func expectAcceptKey(_ key: String, equals expected: String) throws {
        let value = try call("accept-key", .string(key))
        guard case .string(let got) = value else { throw LabError("accept-key answered \(value.text)") }
        try expect(got, equals: expected, "acceptKey(\"\(key)\")", cause: mistakeOfAcceptKey(key, got))
    }

    /// - Parameter fault: what was expected instead, if this is not it.
    fileprivate func expectHandshake(
        _ what: String, _ received: [UInt8], origins: [String]?, cause: String? = nil, causeIfRefused: String? = nil,
        fault: (ServerHandshake) -> String?
    ) throws {
        let value = try begin(
            "server-handshake", [.bytes(received), origins.map { .list($0.map { .string($0) }) } ?? Value.none]
        ).value()
        guard let answer = ServerHandshake(value) else { throw LabError("server-handshake answered \(value.text)") }
        if let expected = fault(answer) {
            var mistake: String?
            // The name of the mistake is that of one who lets in whom he should not.
            if case .accepted = answer { mistake = cause }
            if case .refused = answer { mistake = causeIfRefused }
            throw Failure(expected: what + say(": ", "：") + expected, got: answer.text, cause: mistake)
        }
    }

    fileprivate func expectAccepted(_ request: Request, behind: [UInt8] = [], origins: [String]? = nil) throws {
        let key = request.fields.first { $0.name.lowercased() == "sec-websocket-key" }?.value.filter {
            $0 != " " && $0 != "\t"
        }
        let bytes = request.bytes
        let what = say("this request is accepted: ", "接受这个请求：") + quoted(bytes, most: 400)
        let value = try begin(
            "server-handshake", [.bytes(bytes + behind), origins.map { .list($0.map { .string($0) }) } ?? Value.none]
        ).value()
        guard let answer = ServerHandshake(value) else { throw LabError("server-handshake answered \(value.text)") }
        guard case .accepted(let response, let length) = answer else {
            throw Failure(expected: what, got: answer.text)
        }
        if let fault = faultOfAcceptance(response, key: key ?? "") {
            throw Failure(expected: what + say(", with ", "，应有 ") + fault.text, got: answer.text, cause: fault.cause)
        }
        try expect(
            length, equals: bytes.count, say("the length of the request's head", "请求头的长度"),
            cause: !behind.isEmpty && length == bytes.count + behind.count ? "frames-behind-counted" : nil)
    }

    fileprivate func expectRefused(
        _ what: String, _ request: Request, _ statuses: [Int], needing fields: [(name: String, value: String)] = [],
        origins: [String]? = nil
    ) throws {
        let origin = request.fields.first { $0.name == "Origin" }?.value ?? ""
        let isLikeAllowed = (origins ?? []).contains { origin.hasPrefix($0) || origin.contains($0) }
        let cause =
            origins == nil ? "request-unchecked" : isLikeAllowed ? "origin-by-its-beginning" : "origin-unchecked"
        try expectHandshake(what, request.bytes, origins: origins, cause: cause) { answer in
            let wanted = say("refused with \(statuses[0])", "以 \(statuses[0]) 拒绝")
            guard case .refused(let status, let response) = answer, statuses.contains(status) else { return wanted }
            return faultOfRefusal(response, status, needing: fields).map { wanted + say(" and ", "，并有 ") + $0 }
        }
    }

    fileprivate func expectAnswer(
        _ what: String, _ received: [UInt8], _ key: String, _ expected: AnswerOutcome
    ) throws {
        let got: AnswerOutcome
        switch try begin("check-answer", [.bytes(received), .string(key)]).outcome() {
        case .returned(.int(let length)): got = .length(length)
        case .returned: got = .incomplete
        case .threw(_, _, _, let description):
            got = .error(description.split(separator: ".").last.map(String.init) ?? "")
        }
        guard got != expected else { return }
        var cause: String?
        if case .length = got {
            switch expected {
            case .error("wrongAcceptKey"): cause = "accept-key-unchecked"
            case .error("notUpgraded"): cause = "upgrade-unchecked"
            case .error(let name) where name.hasPrefix("status"): cause = "status-unchecked"
            case .error: cause = "answer-unchecked"
            case .length(let length):
                cause = got == .length(received.count) && length < received.count ? "frames-behind-counted" : nil
            case .incomplete: break
            }
        }
        if case .error = got, expected == .incomplete { cause = "rest-not-awaited" }
        if got == .incomplete, received.count > Lesson09.headLimit { cause = "head-limit-ignored" }
        if got == .incomplete, expected == .error("status(100)") { cause = "interim-passed-over" }
        if got == .error("wrongAcceptKey"), ReceivedHead(received)?.values("sec-websocket-accept") == [acceptValue(key)]
        {
            cause = "accept-key-wrong"
        }
        throw Failure(
            expected: what + say(": ", "：") + expected.text,
            got: got.text + say("; answer ", "；应答 ") + quoted(received, most: received.count > 300 ? 24 : 300),
            cause: cause)
    }

    fileprivate func expectRequest(_ bytes: [UInt8], key: String, origin: String?) throws {
        func fail(_ expected: String, cause: String? = nil) -> Failure {
            Failure(
                expected: say("a request with ", "请求应有：") + expected, got: quoted(bytes, most: 400), cause: cause)
        }
        guard let head = ReceivedHead(bytes) else {
            throw fail(
                say("CR LF at the end of each line, and an empty line at the end", "每行以 CR LF 结束，最后有一个空行"),
                cause: "head-without-end")
        }
        guard head.line == "GET /chat?room=1 HTTP/1.1" else {
            throw fail("GET /chat?room=1 HTTP/1.1", cause: head.line.contains("%") ? "path-escaped" : nil)
        }
        let fields = [
            ("host", "localhost:8765"), ("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-key", key),
            ("sec-websocket-version", "13"),
        ]
        for (name, value) in fields + (origin.map { [("origin", $0)] } ?? []) {
            let got = head.values(name)
            let isRight = got.count == 1 && (got[0] == value || name == "connection" && got[0].lowercased() == value)
            guard isRight else { throw fail("\(name): \(value)") }
        }
        if origin == nil, !head.values("origin").isEmpty { throw fail(say("no Origin", "不带 Origin")) }
    }
}

/// What a refusal lacks; nil: nothing.
func faultOfRefusal(_ response: [UInt8], _ status: Int, needing fields: [(name: String, value: String)]) -> String? {
    var end = response.count
    for index in response.indices.dropFirst(3) where response[index - 3...index].elementsEqual([13, 10, 13, 10]) {
        end = index + 1
        break
    }
    guard let head = ReceivedHead(Array(response[..<end])) else { return say("an HTTP response", "HTTP 响应") }
    guard head.line.hasPrefix("HTTP/1.1 \(status)") else { return "HTTP/1.1 \(status)" }
    for (name, value) in fields where !head.values(name).contains(where: { $0.lowercased().contains(value) }) {
        return "\(name): \(value)"
    }
    return nil
}

extension ServerHandshake {
    fileprivate init?(_ value: Value) {
        guard case .list(let parts) = value, case .string(let name)? = parts.first else { return nil }
        switch name {
        case "incomplete": self = .incomplete
        case "accepted", "refused":
            guard parts.count == 3, case .bytes(let bytes) = parts[1], case .int(let number) = parts[2] else {
                return nil
            }
            self =
                name == "accepted"
                ? .accepted(response: bytes, length: number) : .refused(status: number, response: bytes)
        default: return nil
        }
    }

    fileprivate var text: String {
        switch self {
        case .incomplete: say("incomplete", "incomplete（还不完整）")
        case .accepted(let response, let length):
            say("accepted, \(length) bytes of head: ", "接受，请求头 \(length) 字节：") + quoted(response, most: 300)
        case .refused(let status, let response):
            say("refused with \(status): ", "以 \(status) 拒绝：") + quoted(response, most: 300)
        }
    }
}
