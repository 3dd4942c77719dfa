// Lesson 08: the request decoder. No sockets: streams are put together here, cut, and fed by the host.
import Course
import GraderKit
import Sockets
import Wire

let requestDecoderChecks: [Check] = [
    Check("request-whole") { trial in
        var stream = RequestStream()
        stream.add("GET", "/index.html?a=1&b=%20")
        try trial.expect(stream, in: whole(stream.bytes))
        stream = RequestStream()
        stream.add("PUT", "/notes/1", body: .length(Array("hello, 世界\0\r\n\r\n".utf8)))
        try trial.expect(stream, in: whole(stream.bytes))
        stream = RequestStream()
        stream.add("POST", "/", body: .length([]))
        try trial.expect(stream, in: whole(stream.bytes))
    },
    Check("request-fields") { trial in
        var stream = RequestStream()
        stream.add(
            "get-it!", "/",
            [
                ("hOsT:localhost:8000", "localhost:8000"),
                ("Accept:  text/html , */*;q=0.1 \t ", "text/html , */*;q=0.1"),
                ("X-Empty:", ""), ("x-empty: \t", ""), ("Cookie: a=1", "a=1"), ("Time: 12:30:00", "12:30:00"),
                ("Cookie: b=2", "b=2"), ("X-Name: 世界 \"é\"", "世界 \"é\""),
                ("!#$%&'*+-.^_`|~09: token", "token"), ("X-Inside: a\tb  c", "a\tb  c"),
            ])
        try trial.expect(stream, in: whole(stream.bytes))
    },
    Check("request-byte-by-byte") { trial in
        var stream = RequestStream()
        stream.add("POST", "/a", body: .length(Array("one".utf8)))
        stream.add(
            "POST", "/b", body: .chunked([Array("two".utf8), Array("\r\n0\r\n\r\n".utf8)], trailers: ["X-Sum: 1"]))
        stream.add("GET", "/c")
        try trial.expect(stream, in: byteByByte(stream.bytes))
        try trial.expect(stream, in: byteByByte(stream.bytes).flatMap { [[], $0] })
    },
    Check("request-any-cut") { trial in
        for _ in 0..<60 {
            let stream = trial.randomRequests()
            try trial.expect(stream, in: trial.randomCuts(of: stream.bytes))
        }
    },
    Check("request-pipelined") { trial in
        var stream = RequestStream()
        for number in 0..<20 {
            stream.add("GET", "/\(number)")
            stream.add("POST", "/\(number)", body: .length(Array("body \(number)".utf8)))
        }
        stream.add(unfinished: "GET /unfinished HTTP/1.1\r\nHost: loc")
        try trial.expect(stream, in: whole(stream.bytes))
    },
    Check("request-body-length") { trial in
        for lines in ["Content-Length", "content-length", "CONTENT-LENGTH"] {
            var stream = RequestStream()
            stream.add("PUT", "/x", body: .length(Array("GET / HTTP/1.1\r\n\r\n".utf8)), lengthName: lines)
            stream.add("GET", "/next")
            for cut in [stream.bytes.count, 40, 65, 75] {
                try trial.expect(stream, in: [Array(stream.bytes.prefix(cut)), Array(stream.bytes.dropFirst(cut))])
            }
        }
        var stream = RequestStream()
        stream.add(
            "PUT", "/x", RequestStream.host + [("X-Before: 1", "1")], body: .length(trial.random.bytes(300)))
        stream.add("GET", "/next")
        try trial.expect(stream, in: [Array(stream.bytes.prefix(200)), Array(stream.bytes.dropFirst(200))])
    },
    Check("request-body-chunked") { trial in
        let bytes = trial.random.bytes(700)
        let chunks = [Array(bytes[..<1]), Array(bytes[1..<17]), Array(bytes[17..<43]), Array(bytes[43...])]
        for name in ["Transfer-Encoding", "transfer-encoding"] {
            for (extensions, trailers, upper) in [
                ("", [], false), (";part=1;last", ["X-Sum: 12", "X-Other: a: b"], true), ("", ["Expires: 0"], true),
            ] {
                var stream = RequestStream()
                stream.add(
                    "POST", "/upload",
                    body: .chunked(chunks, extensions: extensions, trailers: trailers, upper: upper), lengthName: name)
                stream.add("GET", "/next")
                try trial.expect(stream, in: whole(stream.bytes))
                try trial.expect(stream, in: trial.randomCuts(of: stream.bytes))
            }
        }
        var stream = RequestStream()
        stream.add("POST", "/empty", body: .chunked([]))
        stream.add("GET", "/next")
        try trial.expect(stream, in: whole(stream.bytes))
    },
    Check("request-body-as-it-comes") { trial in
        // Half of a body, of a chunk: what is here is given out. A body that is kept until it is whole need never end.
        for body in [RequestStream.Body.length(trial.random.letters(90)), .chunked([trial.random.letters(90)])] {
            var stream = RequestStream()
            stream.add("POST", "/slowly", body: body)
            let rest = stream.bytes.suffix(60)
            try trial.expect(
                stream,
                in: [
                    Array(stream.bytes.dropLast(60)), Array(rest.prefix(20)), Array(rest.dropFirst(20).prefix(20)),
                    Array(rest.dropFirst(40)),
                ])
        }
    },
    Check("request-versions") { trial in
        var stream = RequestStream()
        stream.add("GET", "/old", minor: 0, [])
        stream.add("GET", "/old", minor: 0, [("Host: a", "a"), ("Connection: keep-alive", "keep-alive")])
        stream.add("GET", "/future", minor: 2)
        try trial.expect(stream, in: whole(stream.bytes))
        for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9"] {
            try trial.expect("GET / \(version)\r\nHost: a\r\n\r\n", refused: [505], "version-unchecked")
        }
        for version in ["http/1.1", "HTTP/1.1x", "HTTP/1", "HTTP/11", "HTTP/1.", "HTTPS/1.1", "HTTP/ 1.1", "HTTP/+1.1"]
        {
            try trial.expect("GET / \(version)\r\nHost: a\r\n\r\n", refused: [400, 505], "version-unchecked")
        }
    },
    Check("request-targets") { trial in
        var stream = RequestStream()
        stream.add("GET", "http://example.org:8000/a?b")
        stream.add("OPTIONS", "*")
        stream.add("CONNECT", "example.org:443")
        stream.add("GET", "/" + String(repeating: "a/", count: 1000) + "?/?/")
        try trial.expect(stream, in: whole(stream.bytes))
        for target in ["index.html", "*", "example.org:443", "?a=1"] {
            try trial.expect("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n", refused: [400], "target-unchecked")
        }
    },
    Check("request-line") { trial in
        for line in [
            "GET / HTTP/1.1 ", "GET  / HTTP/1.1", "GET /  HTTP/1.1", " GET / HTTP/1.1", "GET /", "GET",
            "GET /a b HTTP/1.1",
            "GET\t/\tHTTP/1.1", "/ HTTP/1.1", "G(T / HTTP/1.1", "G\u{e9}T / HTTP/1.1", "GET /\u{0} HTTP/1.1",
            "GET /\u{7f} HTTP/1.1", "HTTP/1.1 200 OK",
        ] {
            try trial.expect("\(line)\r\nHost: a\r\n\r\n", refused: [400], "request-line-unchecked")
        }
    },
    Check("request-line-ends") { trial in
        for bytes in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\nY: 2\r\n\r\n",
        ] {
            try trial.expect(bytes, refused: [400], "bare-newline")
        }
        for bytes in [
            "GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n", "GET / HTTP/1.1\rHost: a\r\n\r\n",
            "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n\r\n",
        ] {
            try trial.expect(bytes, refused: [400], "bare-return")
        }
    },
    Check("request-bad-fields") { trial in
        for (line, mistake) in [
            ("Content-Length : 5", "space-before-colon"), ("X : 1", "space-before-colon"),
            ("X\t: 1", "space-before-colon"), (" X: 1", "folded-line"), ("\tX: 1", "folded-line"),
            ("X: 1\r\n folded", "folded-line"), ("X: 1\r\n\tfolded", "folded-line"), ("no colon", "field-unchecked"),
            (": 1", "field-unchecked"), ("X Y: 1", "field-unchecked"), ("X(): 1", "field-unchecked"),
            ("X: a\u{0}b", "field-unchecked"), ("é: 1", "field-unchecked"), ("X: a\u{1}b", "field-unchecked"),
        ] {
            try trial.expect("GET / HTTP/1.1\r\nHost: a\r\n\(line)\r\n\r\n", refused: [400], mistake)
        }
        try trial.expect("GET / HTTP/1.1\r\n Host: a\r\n\r\n", refused: [400], "folded-line")
        try trial.expect(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX : 1\r\n\r\n",
            refused: [400],
            "field-unchecked", after: [.body(Array("x".utf8))])
    },
    Check("request-host") { trial in
        try trial.expect("GET / HTTP/1.1\r\n\r\n", refused: [400], "host-unchecked")
        try trial.expect("GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", refused: [400], "host-unchecked")
        for two in ["Host: a\r\nHost: a", "Host: a\r\nhost: b", "HOST: a\r\nX: 1\r\nHost:"] {
            try trial.expect("GET / HTTP/1.1\r\n\(two)\r\n\r\n", refused: [400], "host-unchecked")
            try trial.expect("GET / HTTP/1.0\r\n\(two)\r\n\r\n", refused: [400], "host-unchecked")
        }
        for value in ["a b", "a/b", "a, b", "user@a", "a:port", "a?b", "http://a"] {
            try trial.expect("GET / HTTP/1.1\r\nHost: \(value)\r\n\r\n", refused: [400], "host-unchecked")
        }
        var stream = RequestStream()
        for value in ["127.0.0.1:8000", "[::1]:8000", "[::1]", "a-b.example.org", "a_b"] {
            stream.add("GET", "/", [("Host: \(value)", value)])
        }
        try trial.expect(stream, in: whole(stream.bytes))
    },
    Check("request-both-lengths") { trial in
        let ends = "\r\n\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "content-length: 5\r\ntransfer-encoding: Chunked",
            "Transfer-Encoding: chunked\r\nX: 1\r\nContent-Length: 0",
        ] {
            try trial.expect("POST / HTTP/1.1\r\nHost: a\r\n\(fields)\(ends)", refused: [400], "both-lengths-accepted")
        }
    },
    Check("request-bad-length") { trial in
        for value in ["-1", "+5", "0x5", "5a", "", "5 5", "5;", "five", "5.0", "\"5\"", "٥"] {
            try trial.expect(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(value)\r\n\r\nhello", refused: [400],
                "length-unchecked")
        }
        for two in [
            "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 6\r\nX: 1\r\ncontent-length: 5",
            "Content-Length: 5, 6",
        ] {
            try trial.expect(
                "POST / HTTP/1.1\r\nHost: a\r\n\(two)\r\n\r\nhello!", refused: [400], "two-lengths-accepted")
        }
        for huge in ["9223372036854775808", "18446744073709551617", String(repeating: "9", count: 200)] {
            try trial.expect(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(huge)\r\n\r\nhello", refused: [400, 413],
                "no-limit")
        }
    },
    Check("request-transfer-codings") { trial in
        for (fields, statuses, mistake) in [
            ("Transfer-Encoding: gzip", [501, 400], "coding-ignored"),
            ("Transfer-Encoding: gzip, chunked", [501], "coding-ignored"),
            ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", [501], "coding-ignored"),
            ("Transfer-Encoding: chunked, gzip", [501, 400], "coding-ignored"),
            ("Transfer-Encoding: chunked, chunked", [400, 501], "coding-ignored"),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", [400, 501], "coding-ignored"),
            ("Transfer-Encoding: xchunked", [501, 400], "coding-ignored"),
            ("Transfer-Encoding: chunkedx", [501, 400], "coding-ignored"),
            ("Transfer-Encoding: identity", [501, 400], "coding-ignored"),
            ("Transfer-Encoding:", [400, 501], "coding-ignored"),
        ] {
            try trial.expect("POST / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\r\n0\r\n\r\n", refused: statuses, mistake)
        }
        try trial.expect(
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", refused: [400],
            "coding-ignored")
        var stream = RequestStream()
        stream.add("POST", "/", body: .chunked([[1, 2]]), lengthName: "TRANSFER-ENCODING")
        try trial.expect(stream, in: whole(stream.bytes))
    },
    Check("request-bad-chunks") { trial in
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        for chunk in [
            "g\r\n", "-1\r\n", "+1\r\n", "0x1\r\n", "\r\n", " 1\r\nx\r\n", ";a\r\nx\r\n", "1\nx\r\n", "1\rx\r\n",
            "1 1\r\n",
        ] {
            try trial.expect(head + chunk + "0\r\n\r\n", refused: [400], "chunk-unchecked")
        }
        for chunk in ["1\r\nxy\r\n", "1\r\nx0\r\n\r\n", "1\r\nx\n", "1\r\nx\rG"] {
            try trial.expect(head + chunk + "0\r\n\r\n", refused: [400], "chunk-unchecked", after: [.body([0x78])])
        }
        for size in ["ffffffffffffffff", "8000000000000000", "10000000000000001", String(repeating: "f", count: 100)] {
            try trial.expect(head + "\(size)\r\nx", refused: [400, 413], "no-limit")
        }
    },
    Check("request-limit-line") { trial in
        let limits = Limits(line: 40)
        var stream = RequestStream()
        stream.add("GET", "/" + String(repeating: "a", count: 26))
        try trial.expect(stream, in: whole(stream.bytes), limits: limits)
        try trial.expect(stream, in: byteByByte(stream.bytes), limits: limits)
        let long = "GET /" + String(repeating: "a", count: 1000)
        try trial.expectEarly(long, after: 40, refused: 414, limits: limits)
    },
    Check("request-limit-head") { trial in
        // 20 bytes and 80 are 100.
        let lines = [
            ("Host: 0123456789ab", "0123456789ab"),
            ("X: " + String(repeating: "b", count: 75), String(repeating: "b", count: 75)),
        ]
        let limits = Limits(head: 100)
        var stream = RequestStream()
        stream.add("GET", "/", lines)
        stream.add("GET", "/", lines)
        try trial.expect(stream, in: whole(stream.bytes), limits: limits)
        try trial.expect(stream, in: byteByByte(stream.bytes), limits: limits)
        let start = "GET / HTTP/1.1\r\n"
        try trial.expectEarly(
            start + "Host: a\r\nX: " + String(repeating: "b", count: 1000), after: start.utf8.count + 100, refused: 431,
            limits: limits)
        try trial.expectEarly(
            start + "Host: a\r\n" + String(repeating: "X: 1\r\n", count: 100), after: start.utf8.count + 100,
            refused: 431,
            limits: limits)
        let trailers = String(repeating: "X: 1\r\n", count: 1000)
        try trial.expect(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + trailers, refused: [431],
            "no-limit", limits: limits)
    },
    Check("request-limit-fields") { trial in
        let limits = Limits(fields: 10)
        let nine = (1...9).map { (line: "X-\($0): \($0)", value: "\($0)") }
        var stream = RequestStream()
        stream.add("GET", "/", RequestStream.host + nine)
        try trial.expect(stream, in: whole(stream.bytes), limits: limits)
        try trial.expect(stream, in: byteByByte(stream.bytes), limits: limits)
        let eleven = String(repeating: "X: 1\r\n", count: 10)
        try trial.expect("GET / HTTP/1.1\r\nHost: a\r\n\(eleven)\r\n", refused: [431], "no-limit", limits: limits)
        // It is not waited for the end of the head.
        try trial.expect("GET / HTTP/1.1\r\nHost: a\r\n\(eleven)", refused: [431], "limit-late", limits: limits)
    },
    Check("request-limit-body") { trial in
        let limits = Limits(body: 100)
        var stream = RequestStream()
        stream.add("POST", "/", body: .length(trial.random.bytes(100)))
        stream.add("POST", "/", body: .chunked([trial.random.bytes(60), trial.random.bytes(40)]))
        stream.add("POST", "/", body: .length(trial.random.bytes(100)))
        try trial.expect(stream, in: whole(stream.bytes), limits: limits)
        // From the number alone: no byte of the body has come.
        for length in ["101", "1000000"] {
            try trial.expect(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(length)\r\n\r\n", refused: [413], "limit-late",
                limits: limits)
        }
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        try trial.expect(head + "65\r\n", refused: [413], "limit-late", limits: limits)
        let sixty = String(repeating: "x", count: 60)
        try trial.expect(
            head + "3c\r\n\(sixty)\r\n29\r\n", refused: [413], "limit-per-chunk", limits: limits,
            after: [.body(Array(sixty.utf8))])
        // Sizes of endless length, and more behind a size than anybody needs.
        for endless in ["0000000", ";a=b"] {
            try trial.expect(
                head + "1" + String(repeating: endless, count: 20_000), refused: [400, 413, 414, 431], "no-limit",
                limits: limits)
        }
    },
    Check("request-before-bad") { trial in
        var stream = RequestStream()
        stream.add("GET", "/one")
        stream.add("POST", "/two", body: .length(Array("two".utf8)))
        let good = stream.bytes.count
        let bytes = stream.bytes + Array("GET /three HTTP/1.1\r\n\r\nGET /four HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        for cut in [bytes.count, 10, good - 1, good, good + 5, bytes.count - 30] {
            let chunks = [Array(bytes.prefix(cut)), Array(bytes.dropFirst(cut))].filter { !$0.isEmpty }
            let answer = try trial.decode(chunks, Limits())
            let expected = stream.expected(after: good)
            guard answer.steps != expected || answer.refused != 400 else { continue }
            throw Failure(
                expected: say(
                    "two good requests and one without Host, cut after \(cut) bytes: ",
                    "两个好请求和一个没有 Host 的，在第 \(cut) 字节后切断：") + text(of: expected)
                    + say(", and the refusal 400", "，然后以 400 拒绝"),
                got: text(of: answer.steps) + ", " + (answer.ending ?? say("no refusal", "没有拒绝")),
                cause: answer.steps.count < expected.count ? "good-requests-lost" : nil)
        }
    },
    Check("request-memory") { trial in
        let process = try trial.launch()
        let limits = Limits(body: 400 << 20)
        _ = try trial.decode([Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)], limits, in: process)
        let before = (process.peakMemory, process.peakAddressSpace)
        let head = "POST / HTTP/1.1\r\nHost: a\r\n"
        for bytes in [
            head + "Content-Length: 400000000\r\n\r\nonly this",
            head + "Transfer-Encoding: chunked\r\n\r\n17d78400\r\nonly this",
        ] {
            let answer = try trial.decode([Array(bytes.utf8)], limits, in: process)
            guard answer.steps.last == .body(Array("only this".utf8)) else {
                throw Failure(
                    expected: say(
                        "400,000,000 bytes of body are announced, 9 came: these",
                        "宣布了 400,000,000 字节的消息体，来了 9 个：给出这 9 个"),
                    got: text(of: answer.steps) + (answer.ending.map { ", " + $0 } ?? ""))
            }
        }
        let grown = max(process.peakMemory - before.0, process.peakAddressSpace - before.1)
        if grown > 128 << 20 {
            throw Failure(
                expected: say("memory for the 9 bytes that came", "只为来到的 9 个字节占用内存"),
                got: say("memory for \(grown >> 20) MiB", "占用了 \(grown >> 20) MiB"), cause: "room-in-advance")
        }
    },
    Check("request-cost") { trial in
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: "
        try trial.expectLinearCost(2048, chunk: 1, cause: "head-searched-again") { size in
            (Array((start + String(repeating: "a", count: size - start.utf8.count - 4) + "\r\n\r\n").utf8), 1, 1)
        }
        try trial.expectLinearCost(64 << 10, chunk: 1 << 30, cause: "rest-moved-again") { size in
            (Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), size / 28, size / 28)
        }
        try trial.expectLinearCost(64 << 10, chunk: 1 << 30, cause: "rest-moved-again") { size in
            let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            return (Array((head + String(repeating: "1\r\nx\r\n", count: size / 6) + "0\r\n\r\n").utf8), 1, 1)
        }
    },
]

/// `RequestLimits`, and the same as the default where nothing is said.
struct Limits {
    var line = 8192
    var head = 16_384
    var fields = 100
    var body = 1 << 20

    var value: Value { .list([.int(line), .int(head), .int(fields), .int(body)]) }
}

extension Trial {
    fileprivate func decode(
        _ chunks: [[UInt8]], _ limits: Limits, in process: Subject? = nil
    ) throws -> DecodedRequests {
        let lengths = Value.list(chunks.map { .int($0.count) })
        let value = try begin(
            "request-decoder", [limits.value, .bytes(Array(chunks.joined())), lengths], in: process
        ).value()
        guard let answer = DecodedRequests(value) else { throw LabError("request-decoder answered \(value.text)") }
        return answer
    }

    /// Feeds the chunks: after each, exactly the events that are known by then.
    fileprivate func expect(_ stream: RequestStream, in chunks: [[UInt8]], limits: Limits = Limits()) throws {
        let answer = try decode(chunks, limits)
        var fed = 0
        var got: [RequestStep] = []
        for (round, chunk) in chunks.enumerated() {
            fed += chunk.count
            let isLast = round >= answer.rounds.count - 1
            got = joined(got + (round < answer.rounds.count ? answer.rounds[round] : []))
            let expected = stream.expected(after: fed)
            guard got != expected || isLast && answer.ending != nil else { continue }
            let (missing, cause) = difference(got, expected, answer, stream, chunks, limits)
            let ending = isLast ? answer.ending.map { ", " + $0 } ?? "" : ""
            throw Failure(
                expected: say("fed ", "输入 ") + quoted(chunk, most: 60)
                    + (chunks.count > 1
                        ? say(" (chunk \(round + 1) of \(chunks.count))", "（\(chunks.count) 块中的第 \(round + 1) 块）") : "")
                    + say(": ", "，得到：") + text(of: Array(expected[missing...])),
                got: text(of: Array(got.dropFirst(missing))) + ending, cause: cause)
        }
    }

    /// Where two lists of events begin to differ, and the mistake that this looks like.
    private func difference(
        _ got: [RequestStep], _ expected: [RequestStep], _ answer: DecodedRequests, _ stream: RequestStream,
        _ chunks: [[UInt8]], _ limits: Limits
    ) -> (Int, String?) {
        if answer.error == "endless" { return (0, "event-again") }
        let first = zip(got, expected).enumerated().first { $0.element.0 != $0.element.1 }?.offset
        let index = first ?? min(got.count, expected.count)
        let all = stream.expected(after: stream.bytes.count)
        if chunks.count > 1, (try? decode([stream.bytes], limits))?.steps == all {
            // In one piece it is right. Nothing was refused, and all came in the end: only the body was late.
            if answer.steps == all { return (index, bodyIsBehind(got, expected) ? "body-kept-back" : "event-late") }
            return (index, "half-request-lost")
        }
        if index < got.count, index < expected.count, case .head(_, _, _, let fields) = got[index],
            case .head(_, _, _, let right) = expected[index], fields != right
        {
            return (index, fieldMistake(fields, right))
        }
        if index < expected.count, case .body = expected[index] {
            if answer.ending != nil { return (index, nil) }
            if index >= got.count { return (index, "body-kept-back") }
            if case .body = got[index] { return (index, "chunks-in-body") }
            return (index, "body-ignored")
        }
        if answer.ending == nil, index > 0, index >= got.count, got.last == .end {
            // The rest came with the next chunk, or never.
            let more = try? decode(chunks + [[]], limits)
            return (index, (more?.steps.count ?? 0) > got.count ? "one-request-a-chunk" : "next-request-lost")
        }
        return (index, nil)
    }

    private func bodyIsBehind(_ got: [RequestStep], _ expected: [RequestStep]) -> Bool {
        guard case .body(let right)? = expected.last else { return false }
        if case .body(let bytes)? = got.last { return bytes.count < right.count }
        return got.count == expected.count - 1
    }

    private func fieldMistake(_ got: [[String]], _ right: [[String]]) -> String? {
        if got.count < right.count, got.allSatisfy(right.contains) { return "fields-in-dictionary" }
        if Set(got) == Set(right) { return "fields-in-dictionary" }
        let isSpace = zip(got, right).allSatisfy { pair in
            pair.0.count == 2 && pair.1.count == 2 && trimmed(Substring(pair.0[1])) == pair.1[1]
        }
        if got.count == right.count && isSpace { return "white-space-kept" }
        if got.count == right.count
            && zip(got, right).allSatisfy({ $0.0.first?.lowercased() == $0.1.first?.lowercased() })
            && zip(got, right).contains(where: { $0.0.first != $0.1.first })
        {
            return "names-changed"
        }
        return nil
    }

    /// Feeds bytes that must be refused, whole and byte by byte: at the last of them at the latest, with one of these
    /// statuses; nothing of them came out but `after`, behind a head.
    fileprivate func expect(
        _ text: String, refused statuses: [Int], _ mistake: String, limits: Limits = Limits(), after: [RequestStep] = []
    ) throws {
        let bytes = Array(text.utf8)
        for chunks in bytes.count < 300 ? [whole(bytes), byteByByte(bytes)] : [whole(bytes)] {
            let answer = try decode(chunks, limits)
            let steps = answer.steps.filter { if case .head = $0 { false } else { true } }
            if let refused = answer.refused, statuses.contains(refused), steps == after { continue }
            let list = statuses.map { "\($0)" }.joined(separator: say(" or ", " 或 "))
            var cause: String? = mistake
            if let refused = answer.refused { cause = statuses.contains(refused) ? nil : "wrong-refusal" }
            if answer.error != nil { cause = answer.isEndless ? "event-again" : "another-error" }
            throw Failure(
                expected: say("fed ", "输入 ") + quoted(bytes, most: 120)
                    + (chunks.count > 1 ? say(", byte by byte", "，逐字节") : "")
                    + say(": RequestRefused(status: \(list))", "：RequestRefused(status: \(list))"),
                got: answer.ending ?? acceptedText(answer.steps), cause: cause)
        }
    }

    /// The byte after `count` makes it certain: fed one by one, it is refused there, and not before.
    fileprivate func expectEarly(_ text: String, after count: Int, refused status: Int, limits: Limits) throws {
        let answer = try decode(byteByByte(Array(text.utf8)), limits)
        let expected = say(
            "RequestRefused(status: \(status)) at byte \(count + 1), with nothing behind it needed",
            "第 \(count + 1) 个字节到来时抛出 RequestRefused(status: \(status))，不需要后面的字节")
        guard let refused = answer.refused else {
            throw Failure(
                expected: expected, got: answer.ending ?? acceptedText(answer.steps), cause: "no-limit")
        }
        // Two bytes less, for those who know that a CR LF is still to come; two more, for those who wait for it.
        let place = answer.rounds.count
        if refused == status && (count - 1...count + 3).contains(place) { return }
        throw Failure(
            expected: expected,
            got: say(
                "RequestRefused(status: \(refused)) at byte \(place)",
                "第 \(place) 个字节时 RequestRefused(status: \(refused))"),
            cause: refused == status ? (place > count + 3 ? "limit-late" : "limit-shifted") : "wrong-refusal")
    }

    /// Four times the bytes may take eight times the CPU time, or half a second, whichever is more.
    ///
    /// - Parameter pattern: of a stream of so many bytes; how often it is repeated; how many requests that makes.
    fileprivate func expectLinearCost(
        _ size: Int, chunk: Int, cause: String, pattern: (Int) -> ([UInt8], Int, Int)
    ) throws {
        let limits = Limits(line: 1 << 30, head: 1 << 30, fields: 1 << 30, body: 1 << 30)
        func seconds(_ size: Int) throws -> Double {
            let (bytes, times, requests) = pattern(size)
            let value = try begin(
                "request-decoder-cost", [limits.value, .bytes(bytes), .int(times), .int(chunk)]
            ).value(within: 120)
            guard case .list(let list) = value, list.count == 2, case .unsigned(let time) = list[1],
                case .int(let count) = list[0]
            else { throw LabError("request-decoder-cost answered \(value.text)") }
            try expect(count, equals: requests, say("requests in a stream of \(size) bytes", "\(size) 字节的流里的请求数"))
            return Double(time) / 1e9
        }
        _ = try seconds(size / 8)
        let (small, large) = (try seconds(size), try seconds(4 * size))
        guard large > max(8 * small, 0.5) else { return }
        func text(_ seconds: Double) -> String { "\(Int(seconds * 1000)) ms" }
        throw Failure(
            expected: say(
                "\(size >> 10) KiB take \(text(small)), so \(size >> 8) KiB take about \(text(4 * small))",
                "\(size >> 10) KiB 用 \(text(small))，那么 \(size >> 8) KiB 约用 \(text(4 * small))"),
            got: say("\(text(large)) of CPU time", "用了 \(text(large)) 的 CPU 时间"), cause: cause)
    }

    /// Requests of all kinds, one behind the other, and the beginning of one more.
    fileprivate func randomRequests() -> RequestStream {
        var stream = RequestStream()
        for number in 0..<Int.random(in: 1...6, using: &random) {
            let bytes = random.bytes(Int.random(in: 0...30, using: &random))
            let half = bytes.count / 2
            let bodies: [RequestStream.Body] = [
                .none, .length(bytes), .length([]), .chunked([]),
                .chunked([Array(bytes.prefix(half)), Array(bytes.dropFirst(half))].filter { !$0.isEmpty }),
                .chunked([[0x0d], [0x0a]], extensions: ";x=\(number)", trailers: ["X-A: 1", "X-B: 2"]),
            ]
            stream.add(
                ["GET", "POST", "PUT"].randomElement(using: &random) ?? "GET", "/\(number)",
                RequestStream.host + (0..<number).map { ("X-\($0): \($0)", "\($0)") },
                body: bodies.randomElement(using: &random) ?? .none)
        }
        stream.add(unfinished: "DELETE /half HTTP/1.1\r\nHos")
        return stream
    }

    fileprivate func randomCuts(of stream: [UInt8]) -> [[UInt8]] {
        var rest = stream[...]
        var chunks: [[UInt8]] = []
        while !rest.isEmpty {
            let count = min(rest.count, Int.random(in: 0...40, using: &random))
            chunks.append(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        return chunks
    }
}

private func acceptedText(_ steps: [RequestStep]) -> String { say("no refusal: ", "没有拒绝：") + text(of: steps) }
