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
        // All that a path may be made of (RFC 3986, section 3.3).
        stream.add("GET", "/az!$&'()*+,;=:@-._~%2F09AZ")
        try trial.expect(stream, in: whole(stream.bytes))
        for target in ["index.html", "*", "example.org:443", "?a=1"] {
            try trial.expect("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n", refused: [400], "target-unchecked")
        }
    },
    Check("request-line") { trial in
        for line in [
            "GET / HTTP/1.1 ", "GET  / HTTP/1.1", "GET /  HTTP/1.1", " GET / HTTP/1.1", "GET /", "GET",
            "GET /a b HTTP/1.1", " / HTTP/1.1",
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
            func isBad(_ step: RequestStep) -> Bool {
                if case .head(_, "/three", _, _) = step { true } else { false }
            }
            var cause = answer.steps.count < expected.count ? "good-requests-lost" : nil
            if answer.steps.contains(where: isBad) { cause = "host-unchecked" }
            if answer.refused == 400, answer.steps.map(\.inAnyOrder) == expected.map(\.inAnyOrder) {
                cause = "fields-in-dictionary"
            }
            if answer.refused == nil, answer.error == nil, cause != "host-unchecked" {
                cause = try trial.mistakeOfPipelining() ?? cause
            }
            throw Failure(
                expected: say(
                    "two good requests and one without Host, cut after \(cut) bytes: ",
                    "两个好请求和一个没有 Host 的，在第 \(cut) 字节后切断：") + text(of: expected)
                    + say(", and the refusal 400", "，然后以 400 拒绝"),
                got: text(of: answer.steps) + ", " + (answer.ending ?? say("no refusal", "没有拒绝")),
                cause: cause)
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
        try trial.expectLinearCost(4096, chunk: 1, cause: "head-searched-again") { size in
            (Array((start + String(repeating: "a", count: size - start.utf8.count - 4) + "\r\n\r\n").utf8), 1, 1)
        }
        try trial.expectLinearCost(256 << 10, chunk: 1 << 30, cause: "rest-moved-again") { size in
            (Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), size / 28, size / 28)
        }
        try trial.expectLinearCost(256 << 10, chunk: 1 << 30, cause: "rest-moved-again") { size in
            let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            return (Array((head + String(repeating: "1\r\nx\r\n", count: size / 6) + "0\r\n\r\n").utf8), 1, 1)
        }
    },
]
