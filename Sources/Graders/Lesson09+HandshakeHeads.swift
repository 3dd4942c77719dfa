// Lesson 09: the heads of a handshake: how they are put together, and what is wrong with one.
import Course
import GraderKit
import Sockets
import Wire

// MARK: What goes in

/// A request, line by line.
struct Request {
    var line = "GET /chat HTTP/1.1"
    var fields: [(name: String, value: String)]

    init(key: String) {
        fields = [
            ("Host", "localhost:8765"), ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", key),
            ("Sec-WebSocket-Version", "13"),
        ]
    }

    /// As Chromium asks.
    static func chromium(key: String) -> Request {
        var request = Request(key: key)
        request.fields = [
            ("Host", "127.0.0.1:8765"), ("Connection", "Upgrade"), ("Pragma", "no-cache"),
            ("Cache-Control", "no-cache"),
            ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0"),
            ("Upgrade", "websocket"), ("Origin", "http://127.0.0.1:8765"), ("Sec-WebSocket-Version", "13"),
            ("Accept-Encoding", "gzip, deflate, br, zstd"), ("Accept-Language", "en-US,en;q=0.9"),
            ("Sec-WebSocket-Key", key),
            ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ]
        return request
    }

    func starting(_ line: String) -> Request {
        var request = self
        request.line = line
        return request
    }
    func adding(_ name: String, _ value: String) -> Request {
        var request = self
        request.fields.append((name, value))
        return request
    }
    func adding(line: String) -> Request {
        var request = self
        request.line += "\r\n" + line
        return request
    }
    func without(_ name: String) -> Request {
        var request = self
        request.fields.removeAll { $0.name == name }
        return request
    }
    func with(_ name: String, _ value: String) -> Request { without(name).adding(name, value) }

    var bytes: [UInt8] { head(line, fields) }
}

/// A server's answer, line by line.
struct Answer {
    var line = "HTTP/1.1 101 Switching Protocols"
    var fields: [(name: String, value: String)]

    init(fields: [(String, String)]) { self.fields = fields }
    init(key: String, line: String = "HTTP/1.1 101 Switching Protocols") {
        self.line = line
        fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", acceptValue(key))]
    }

    func adding(_ name: String, _ value: String) -> Answer {
        var answer = self
        answer.fields.append((name, value))
        return answer
    }
    func without(_ name: String) -> Answer {
        var answer = self
        answer.fields.removeAll { $0.name == name }
        return answer
    }

    var bytes: [UInt8] { head(line, fields) }
}

func head(_ line: String, _ fields: [(name: String, value: String)]) -> [UInt8] {
    Array(([line] + fields.map { "\($0.name): \($0.value)" } + ["", ""]).joined(separator: "\r\n").utf8)
}

/// RFC 4648.
func base64(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    var text = ""
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let group = bytes[start..<min(start + 3, bytes.count)]
        let number = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
        for place in 0..<4 {
            text.append(place <= group.count ? alphabet[number >> (18 - 6 * place) & 63] : "=")
        }
    }
    return text
}

// MARK: What comes out

/// A head as it came, for those who look at it.
struct ReceivedHead {
    var line: String
    var fields: [(name: String, value: String)] = []

    /// Nil if this is none, with CR LF at the end of each line.
    init?(_ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        guard text.unicodeScalars.count > 4, text.hasSuffix("\r\n\r\n") else { return nil }
        var lines: [String] = []
        var line: [UInt8] = []
        for (index, byte) in bytes.dropLast(2).enumerated() {
            if byte == 10 {
                guard index > 0, bytes[index - 1] == 13 else { return nil }
                lines.append(String(decoding: line.dropLast(), as: UTF8.self))
                line = []
            } else {
                line.append(byte)
            }
        }
        guard let first = lines.first else { return nil }
        self.line = first
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { return nil }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            fields.append((line[..<colon].lowercased(), String(value)))
        }
    }

    func values(_ name: String) -> [String] { fields.filter { $0.name == name }.map(\.value) }
}

/// What is wrong with an answer to a handshake; nil: nothing. `cause` is a named mistake.
func faultOfAcceptance(_ bytes: [UInt8], key: String) -> (text: String, cause: String?)? {
    guard let head = ReceivedHead(bytes) else {
        let isCut = !bytes.suffix(4).elementsEqual([13, 10, 13, 10])
        return (
            say("a head whose lines end in CR LF, and an empty line at its end", "每行以 CR LF 结束、最后有一个空行的应答头"),
            isCut ? "head-without-end" : nil
        )
    }
    guard head.line.hasPrefix("HTTP/1.1 101") else { return (say("status 101", "状态码 101"), nil) }
    guard head.values("upgrade").map({ $0.lowercased() }) == ["websocket"] else { return ("Upgrade: websocket", nil) }
    guard head.values("connection").map({ $0.lowercased() }) == ["upgrade"] else { return ("Connection: Upgrade", nil) }
    guard head.values("sec-websocket-accept") == [acceptValue(key)] else {
        let got = head.values("sec-websocket-accept").first ?? ""
        return ("Sec-WebSocket-Accept: \(acceptValue(key))", mistakeOfAcceptKey(key, got) ?? "accept-key-wrong")
    }
    for name in ["sec-websocket-extensions", "sec-websocket-protocol"] where !head.values(name).isEmpty {
        return (say("no \(name), since it is not done", "不提 \(name)，因为并不支持"), "offer-taken")
    }
    return nil
}

func mistakeOfAcceptKey(_ key: String, _ got: String) -> String? {
    let input = Array((key + webSocketGUID).utf8)
    let hexDigits = sha1(input).map(hex).joined()
    let guidDigits = Array(webSocketGUID.filter { $0 != "-" })
    let guidBytes = stride(from: 0, to: guidDigits.count, by: 2).compactMap {
        UInt8(String(guidDigits[$0...$0 + 1]), radix: 16)
    }
    let mistakes: [(String, String)] = [
        ("accept-key-in-hex", hexDigits), ("accept-key-in-hex", base64(Array(hexDigits.utf8))),
        ("accept-key-without-guid", base64(sha1(Array(key.utf8)))),
        ("accept-key-guid-case", base64(sha1(Array((key + webSocketGUID.lowercased()).utf8)))),
        ("accept-key-not-hashed", base64(input)), ("accept-key-not-hashed", key),
        ("accept-key-guid-first", base64(sha1(Array((webSocketGUID + key).utf8)))),
        (
            "accept-key-alphabet",
            String(base64(sha1(input)).map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 })
        ),
        ("accept-key-guid-as-number", base64(sha1(Array(key.utf8) + guidBytes))),
        ("accept-key-decoded", base64(sha1(decodedBase64(key) + Array(webSocketGUID.utf8)))),
    ]
    return mistakes.first { $0.1 == got }?.0
}

func decodedBase64(_ text: String) -> [UInt8] {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var (bytes, number, bits): ([UInt8], Int, Int) = ([], 0, 0)
    for character in text.utf8 {
        guard let value = alphabet.firstIndex(of: character) else { break }
        (number, bits) = ((number << 6 | value) & 0xFFFF, bits + 6)
        guard bits >= 8 else { continue }
        bits -= 8
        bytes.append(UInt8(number >> bits & 0xFF))
    }
    return bytes
}

enum AnswerOutcome: Equatable {
    case length(Int)
    case incomplete
    case error(String)

    var text: String {
        switch self {
        case .length(let length): say("accepted, \(length) bytes of head", "接受，应答头 \(length) 字节")
        case .incomplete: say("nil: not complete yet", "nil：还不完整")
        case .error(let name): say("the error \(name)", "错误 \(name)")
        }
    }
}
