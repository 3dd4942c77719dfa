// How the graders of lesson 08 read what a server answers: as RFC 9112 lets a server write it. The order and the case of
// fields, further fields, reason phrases, white space around values, a body by length or in chunks are the server's
// choice. Nothing is read beyond the end of an answer: what follows belongs to the next.
import Course
import GraderKit
import Sockets
import Wire

struct HTTPAnswer {
    /// `HTTP/1.1`
    var version = ""
    var status = 0
    var reason = ""
    var fields: [(name: String, value: String)] = []
    var body: [UInt8] = []
    var ending = Ending.none
    /// A field has its value right behind the colon: as good as any, but not for URLSession on Linux.
    var lacksSpace = false

    /// How a reader knows where the body ends.
    enum Ending {
        /// There is no body: an answer to HEAD, 204, 304.
        case none
        case length(Int)
        case chunked
        /// The server closes the connection behind it.
        case close
    }

    /// The value of a field, by its name in any case; several of one name as a list, as RFC 9110, 5.3 joins them.
    subscript(_ name: String) -> String? {
        let values = fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
        return values.isEmpty ? nil : values.joined(separator: ", ")
    }

    /// The members of a list of tokens, in lower case: `Connection: Keep-Alive, Upgrade`.
    func tokens(_ name: String) -> [String] {
        (self[name] ?? "").split(separator: ",").map { trimmed($0).lowercased() }.filter { !$0.isEmpty }
    }

    /// `200 OK`
    var text: String { reason.isEmpty ? "\(status)" : "\(status) \(reason)" }
}

/// What is wrong with the form of an answer. It becomes a `Failure` with the bytes that came.
private struct BadAnswer: Error {
    var what: String
    var cause: String?
}

extension StreamPeer {
    /// The next answer, with its body.
    ///
    /// - Parameter request: what it answers, for reports: `GET /hello.txt`. The method decides whether there is a body.
    func answer(to request: String, within seconds: Double = Deadline.patience) throws -> HTTPAnswer {
        let deadline = Deadline(in: seconds)
        var answer = try answerHead(to: request, until: deadline)
        var body: [UInt8] = []
        try takeBody(of: &answer, to: request, until: deadline) { body += $0 }
        answer.body = body
        return answer
    }

    /// The status line and the fields; the body is still to be taken.
    func answerHead(to request: String, until deadline: Deadline = Deadline()) throws -> HTTPAnswer {
        let start = received.count
        let expected = say("an answer to \(request)", "对 \(request) 的回答")
        var answer = HTTPAnswer()
        do {
            try parse(statusLine: try line(until: deadline, expected: expected, atStart: true), into: &answer)
            while true {
                let line = try line(until: deadline, expected: expected, atStart: false)
                if line.isEmpty { break }
                answer.fields.append(try field(in: line))
                let behind = line.drop { $0 != UInt8(ascii: ":") }.dropFirst().first
                if let behind, behind != 0x20 { answer.lacksSpace = true }
                guard received.count - start < 1 << 16 else {
                    throw BadAnswer(what: say("a head of more than 64 KiB", "首部超过 64 KiB"))
                }
            }
            answer.ending = try ending(of: answer, to: request)
        } catch let bad as BadAnswer {
            throw Failure(
                expected: expected,
                got: say("\(bad.what): ", "\(bad.what)：") + quoted(Array(received[start...]), most: 200),
                cause: bad.cause)
        }
        return answer
    }

    /// - Parameter consume: gets each piece of the body as it comes.
    func takeBody(
        of answer: inout HTTPAnswer, to request: String, until deadline: Deadline,
        _ consume: ([UInt8]) throws -> Void
    ) throws {
        var count = 0
        func take(_ bytes: [UInt8]) throws {
            count += bytes.count
            try consume(bytes)
        }
        switch answer.ending {
        case .none: return
        case .length(let length):
            let expected = say(
                "\(byteCount(length)) of body after Content-Length: \(length), for \(request)",
                "\(request)：Content-Length: \(length) 之后有 \(byteCount(length)) 的消息体")
            while count < length {
                try take(try piece(length - count, until: deadline, expected: expected, after: count))
            }
        case .chunked:
            let expected = say("a chunked body, for \(request)", "\(request)：分块的消息体")
            while true {
                let size = try chunkSize(until: deadline, expected: expected)
                if size == 0 { break }
                let end = count + size
                while count < end {
                    try take(try piece(end - count, until: deadline, expected: expected, after: count))
                }
                let mark = try line(until: deadline, expected: expected, atStart: false)
                guard mark.isEmpty else {
                    throw Failure(expected: expected, got: say("bytes behind a chunk: ", "块后面还有字节：") + quoted(mark))
                }
            }
            while try !line(until: deadline, expected: expected, atStart: false).isEmpty {}
        case .close:
            let expected = say(
                "the end of the body of \(request): it has no Content-Length and is not chunked, so the connection is closed",
                "\(request) 的消息体到哪里结束：既没有 Content-Length，也没有分块，那就要关闭连接")
            while true {
                switch try receive(1 << 16, until: deadline, expected: expected) {
                case .bytes(let bytes): try take(bytes)
                case .end: return
                case .late:
                    throw Failure(
                        expected: expected,
                        got: say("\(byteCount(count)), and it is still open", "收到 \(byteCount(count))，连接仍然开着"),
                        cause: "body-without-end")
                case .broken(let code):
                    throw Failure(expected: expected, got: say("it was reset: ", "连接被重置：") + errorText(code))
                }
            }
        }
    }

    // MARK: Pieces

    private func piece(_ most: Int, until deadline: Deadline, expected: String, after count: Int) throws -> [UInt8] {
        switch try receive(most, until: deadline, expected: expected) {
        case .bytes(let bytes): return bytes
        case .late:
            throw Failure(
                expected: expected, got: say("only \(byteCount(count)) of body", "只有 \(byteCount(count)) 的消息体"))
        case .end:
            throw Failure(
                expected: expected,
                got: say(
                    "the connection was closed after \(byteCount(count)) of body", "发了 \(byteCount(count)) 的消息体后连接被关闭"))
        case .broken(let code):
            throw Failure(
                expected: expected,
                got: say(
                    "the connection was broken after \(byteCount(count)) of body: ", "发了 \(byteCount(count)) 的消息体后连接断开："
                )
                    + errorText(code))
        }
    }

    /// A line without its CR LF, byte by byte: what is behind the head is left where it is.
    private func line(until deadline: Deadline, expected: String, atStart: Bool) throws -> [UInt8] {
        var line: [UInt8] = []
        while line.count < 1 << 16 {
            switch try receive(1, until: deadline, expected: expected) {
            case .bytes(let bytes): line += bytes
            case .late:
                let soFar = line.isEmpty && atStart
                throw Failure(
                    expected: expected,
                    got: soFar
                        ? say("nothing", "什么也没有")
                        : say("only half a head, and then nothing: ", "只有半个首部，然后就没有了：") + quoted(line))
            case .end:
                throw Failure(
                    expected: expected,
                    got: line.isEmpty && atStart
                        ? say("the connection was closed", "连接被关闭")
                        : say("the connection was closed in the middle: ", "中途连接被关闭：") + quoted(line))
            case .broken(let code):
                throw Failure(
                    expected: expected, got: say("the connection was broken: ", "连接断开：") + errorText(code))
            }
            guard line.last == UInt8(ascii: "\n") else { continue }
            line.removeLast()
            guard line.popLast() == UInt8(ascii: "\r") else {
                throw BadAnswer(
                    what: say("a line that does not end in CR LF", "有一行不以 CR LF 结束"), cause: "bare-newline-sent")
            }
            return line
        }
        throw BadAnswer(what: say("a line of more than 64 KiB", "有一行超过 64 KiB"))
    }

    private func parse(statusLine line: [UInt8], into answer: inout HTTPAnswer) throws {
        let parts = line.split(separator: UInt8(ascii: " "), maxSplits: 2, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
        guard parts.count >= 2, parts[0] == "HTTP/1.1" || parts[0] == "HTTP/1.0", parts[1].utf8.count == 3,
            let status = Int(parts[1]), (100...599).contains(status)
        else { throw BadAnswer(what: say("that is no status line", "这不是状态行"), cause: "bad-status-line") }
        answer.version = parts[0]
        answer.status = status
        answer.reason = parts.count > 2 ? parts[2] : ""
    }

    private func field(in line: [UInt8]) throws -> (name: String, value: String) {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0, line[..<colon].allSatisfy(isTokenByte),
            line.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 })
        else { throw BadAnswer(what: say("that is no field: ", "这不是字段：") + quoted(line), cause: "bad-field-sent") }
        return (
            String(decoding: line[..<colon], as: UTF8.self),
            trimmed(Substring(String(decoding: line[(colon + 1)...], as: UTF8.self)))
        )
    }

    /// RFC 9112, 6.3.
    private func ending(of answer: HTTPAnswer, to request: String) throws -> HTTPAnswer.Ending {
        let coding = answer["Transfer-Encoding"]
        let lengths = Set(answer.fields.filter { $0.name.lowercased() == "content-length" }.map(\.value))
        if coding != nil && !lengths.isEmpty {
            throw BadAnswer(
                what: say("both Transfer-Encoding and Content-Length", "同时有 Transfer-Encoding 和 Content-Length"))
        }
        if request.hasPrefix("HEAD ") || answer.status < 200 || answer.status == 204 || answer.status == 304 {
            return .none
        }
        if let coding {
            guard coding.lowercased() == "chunked" else {
                throw BadAnswer(what: say("a transfer coding that nobody asked for", "没有人要求的传输编码"))
            }
            return .chunked
        }
        guard let text = lengths.first else { return .close }
        guard lengths.count == 1, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = Int(text) else {
            throw BadAnswer(what: say("a Content-Length that is no number", "Content-Length 不是一个数"))
        }
        return .length(length)
    }

    private func chunkSize(until deadline: Deadline, expected: String) throws -> Int {
        let line = try line(until: deadline, expected: expected, atStart: false)
        let digits = trimmed(Substring(String(decoding: line.prefix { $0 != UInt8(ascii: ";") }, as: UTF8.self)))
        guard let size = Int(digits, radix: 16), size >= 0, digits.first != "+" else {
            throw Failure(
                expected: expected, got: say("a chunk whose size is ", "块的大小是 ") + quoted(line), cause: "bad-chunk-sent"
            )
        }
        return size
    }
}

/// Without the white space that HTTP allows around a value: spaces and tabs.
func trimmed(_ text: Substring) -> String {
    var text = text
    while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
    while let last = text.last, last == " " || last == "\t" { text.removeLast() }
    return String(text)
}

/// A byte of a token (RFC 9110, 5.6.2): of a method, or of a field's name.
func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "a")...UInt8(ascii: "z"):
        return true
    default: return Array("!#$%&'*+-.^_`|~".utf8).contains(byte)
    }
}
