// The request decoder of lesson 08, fed whole, byte by byte, cut at random, and with the next request behind. Expected is
// what RFC 9112 and RFC 9110 say, not what the decoder does.
import Course
import GraderKit
import XCTest

@testable import Solution08

final class RequestDecoderTests: XCTestCase {
    // MARK: What is accepted

    func testTakesARequestWithoutABody() {
        expect(
            "GET /a?b HTTP/1.1\r\nHost: localhost\r\nX-Empty:\r\nAccept: \t a, b \t\r\n\r\n",
            [
                .head(
                    RequestHead(
                        method: "GET", target: "/a?b", minorVersion: 1,
                        fields: [
                            HTTPField("Host", "localhost"), HTTPField("X-Empty", ""), HTTPField("Accept", "a, b"),
                        ])),
                .end,
            ])
    }

    func testTakesEveryFormOfATarget() {
        // RFC 9112 section 3.2.
        for line in [
            "GET / HTTP/1.1", "GET //a//b HTTP/1.1", "GET /%zz HTTP/1.1", "GET http://localhost/a HTTP/1.1",
            "GET HTTP://localhost:80?q HTTP/1.1", "GET http://[::1]:80/ HTTP/1.1", "OPTIONS * HTTP/1.1",
            "CONNECT localhost:443 HTTP/1.1", "CONNECT [::1]:443 HTTP/1.1", "BREW /pot HTTP/1.1", "get / HTTP/1.1",
            "M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1",
        ] {
            expectAccepted(line + "\r\nHost: a\r\n\r\n")
        }
    }

    func testTakesEveryKindOfHost() {
        for host in [
            "", "a", "a:", "a:80", "127.0.0.1:8080", "[::1]", "[::1]:80", "[::ffff:1.2.3.4]", "a_b-c.d~e", "%41",
            "xn--0",
        ] {
            expectAccepted("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n")
        }
        expectAccepted("GET / HTTP/1.0\r\n\r\n")
    }

    func testTakesABodyByLength() {
        expect(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0005\r\n\r\nhe\nlo",
            [head("POST", [HTTPField("Content-Length", "0005")]), .body(Array("he\nlo".utf8)), .end])
        expect(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            [head("POST", [HTTPField("Content-Length", "0")]), .end])
    }

    func testTakesABodyInChunks() {
        let field = HTTPField("Transfer-Encoding", "chunked")
        let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        expect(chunked + "0\r\n\r\n", [head("POST", [field]), .end])
        expect(
            chunked + "5\r\nhello\r\n00A;x=\"y z\"\r\n\r\n world\r\n\r\n000\r\n\r\n",
            [head("POST", [field]), .body(Array("hello\r\n world\r\n".utf8)), .end])
        // Trailers are checked and dropped; white space before the semicolon is bad, and allowed.
        expect(
            chunked + "1 ;a\r\nx\r\n0\r\nX-Sum: 1\r\nContent-Length: 3\r\n\r\n",
            [head("POST", [field]), .body(Array("x".utf8)), .end])
        expectAccepted("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKed\r\n\r\n0\r\n\r\n")
        expectAccepted("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked,\r\n\r\n0\r\n\r\n")
    }

    func testSkipsEmptyLinesBeforeARequest() {
        // RFC 9112 section 2.2.
        expectAccepted("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
    }

    func testTakesBytesOver127InValues() {
        expectAccepted(Array("GET / HTTP/1.1\r\nHost: a\r\nX: caf".utf8) + [0xe9] + Array("\r\n\r\n".utf8))
    }

    func testTakesOneRequestAfterAnother() {
        let stream =
            "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
            + "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n\r\n"
            + "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
            + "GET /4 HTTP/1.0\r\n\r\n"
        for outcome in allCuts(Array(stream.utf8)) {
            XCTAssertNil(outcome.status)
            let targets = outcome.events.compactMap { event in
                if case .head(let head) = event { return head.target }
                return nil
            }
            XCTAssertEqual(targets, ["/1", "/2", "/3", "/4"])
            XCTAssertEqual(outcome.events.last, .end)
        }
    }

    func testGivesTheEventsBeforeABadRequest() {
        let stream = Array("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\n".utf8)
        for outcome in allCuts(stream) {
            XCTAssertEqual(outcome.events, [head("GET"), .end])
            XCTAssertEqual(outcome.status, 400)
        }
    }

    func testGivesABodyOutAsItComes() throws {
        var decoder = HTTPRequestDecoder(limits: RequestLimits())
        decoder.feed(Array("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab".utf8))
        XCTAssertEqual(try decoder.next(), head("POST", [HTTPField("Content-Length", "4")]))
        XCTAssertEqual(try decoder.next(), .body(Array("ab".utf8)))
        XCTAssertNil(try decoder.next())
        decoder.feed(Array("cd".utf8))
        XCTAssertEqual(try decoder.next(), .body(Array("cd".utf8)))
        XCTAssertEqual(try decoder.next(), .end)
        XCTAssertNil(try decoder.next())
    }

    // MARK: What is refused

    func testRefusesBadRequestLines() {
        for line in [
            "", " ", "GET", "GET /", "GET / ", "GET  / HTTP/1.1", "GET /  HTTP/1.1", " GET / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET\t/\tHTTP/1.1", "GET / http/1.1", "GET / HTTP/1.10", "GET / HTTP/11", "GET / HTTP/1", "GET / HTTP/1.",
            "GET / HTTP/a.1", "GET / HTTPS/1.1", "GET / XTTP/1.1", "G(T / HTTP/1.1", "GÈT / HTTP/1.1", "GET a HTTP/1.1",
            "GET * HTTP/1.1", "GET /a b HTTP/1.1", "GET /a#b HTTP/1.1", "GET /\u{7f} HTTP/1.1", "GET /é HTTP/1.1",
            "GET /\u{0} HTTP/1.1", "GET ftp://a/ HTTP/1.1", "GET http:// HTTP/1.1", "GET http:///a HTTP/1.1",
            "GET http://u@a/ HTTP/1.1", "GET http://a:b/ HTTP/1.1", "CONNECT / HTTP/1.1", "CONNECT a HTTP/1.1",
            "CONNECT a: HTTP/1.1", "CONNECT http://a/ HTTP/1.1", "GET a:80 HTTP/1.1", ": a / HTTP/1.1",
        ] where !line.isEmpty {
            expectRefused(line + "\r\nHost: a\r\n\r\n", 400)
        }
    }

    func testRefusesOtherVersions() {
        for version in ["0.9", "2.0", "3.0", "9.9", "0.0"] {
            expectRefused("GET / HTTP/\(version)\r\nHost: a\r\n\r\n", 505)
        }
        expectRefused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)
        // A higher minor version is the same protocol (RFC 9110 section 6.2).
        expectAccepted("GET / HTTP/1.9\r\nHost: a\r\n\r\n")
    }

    func testRefusesBadLineEnds() {
        for stream in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\n\n", "GET / HTTP/1.1\rHost: a\r\r", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
            "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            expectRefused(stream, 400)
        }
    }

    func testRefusesBadFields() {
        for line in [
            "X : b", "X\t: b", " X: b", "\tX: b", "X", ": b", ":", "X Y: b", "X(: b", "\"X\": b", "é: b", "X: a\u{0}b",
            "X: a\u{1}b", "X: \u{7f}", "X: a\r\n b", "X: a\r\n\tb", "X:a\u{b}", "=", "GET / HTTP/1.1",
        ] {
            expectRefused("GET / HTTP/1.1\r\nHost: a\r\n\(line)\r\n\r\n", 400)
            expectRefused("GET / HTTP/1.1\r\n\(line)\r\nHost: a\r\n\r\n", 400)
        }
    }

    func testRefusesBadHosts() {
        expectRefused("GET / HTTP/1.1\r\n\r\n", 400)
        expectRefused("GET / HTTP/1.2\r\n\r\n", 400)
        expectRefused("GET http://a/ HTTP/1.1\r\n\r\n", 400)
        for version in ["1.0", "1.1"] {
            expectRefused("GET / HTTP/\(version)\r\nHost: a\r\nHost: a\r\n\r\n", 400)
            expectRefused("GET / HTTP/\(version)\r\nHost: a\r\nX: y\r\nhOST: b\r\n\r\n", 400)
            for host in [
                "a b", "a/b", "u@a", "a, b", "a:b", "a:80:80", "[::1", "[]", "[::1]x", "::1", "a:-1", "a:123456", "a?",
                "a#",
                "http://a", "\"a\"", ":80", "a\\b",
            ] {
                expectRefused("GET / HTTP/\(version)\r\nHost: \(host)\r\n\r\n", 400)
            }
        }
    }

    /// Bytes that one server on the way reads as one request and the next as two (RFC 9112 section 11.2).
    func testRefusesWhatCanBeReadInTwoWays() {
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        let framings: [(String, Int)] = [
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
            ("Content-Length: 0\r\nTransfer-Encoding: identity", 400), ("Content-Length: 5\r\nContent-Length: 6", 400),
            ("Content-Length: 5\r\nContent-Length: 5", 400), ("Content-Length: 5\r\ncontent-length: 0", 400),
            ("Content-Length: 5, 5", 400), ("Content-Length: 5,6", 400), ("Content-Length: ", 400),
            ("Content-Length: +5", 400), ("Content-Length: -5", 400), ("Content-Length: -0", 400),
            ("Content-Length: 0x5", 400), ("Content-Length: 5.0", 400), ("Content-Length: 5 0", 400),
            ("Content-Length: 5a", 400), ("Content-Length: ٥", 400), ("Content-Length: \"5\"", 400),
            ("Content-Length : 5", 400), (" Content-Length: 5", 400), ("Content-Length\r\n : 5", 400),
            ("Content-Length: 5\u{b}", 400), ("Transfer-Encoding : chunked", 400), ("Transfer-Encoding: xchunked", 400),
            ("Transfer-Encoding: chunked, identity", 400), ("Transfer-Encoding: chunked, chunked", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip", 400), ("Transfer-Encoding: identity", 400),
            ("Transfer-Encoding: gzip", 400), ("Transfer-Encoding:", 400), ("Transfer-Encoding: ,", 400),
            ("Transfer-Encoding: chunked;q=1", 400), ("Transfer-Encoding: \"chunked\"", 400),
            ("Transfer-Encoding: 'chunked'", 400), ("Transfer-Encoding: chunked chunked", 400),
            ("Transfer-Encoding:\u{b}chunked", 400), ("Transfer-Encoding: \u{1}chunked", 400),
            ("Transfer-Encoding: chunked\u{0}", 400), ("Transfer-Encoding:\r\n chunked", 400),
            ("Transfer-Encoding: gzip, chunked", 501), ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", 501),
            ("Transfer-Encoding: identity, chunked", 501), ("Transfer-Encoding: \u{a0}chunked", 400),
        ]
        for (framing, status) in framings {
            expectRefused("POST / HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\r\n0\r\n\r\n" + smuggled, status)
        }
        // HTTP/1.0 knows no chunks (RFC 9112 section 6.1).
        expectRefused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, 400)
    }

    func testRefusesBadChunks() {
        for body in [
            "\r\n", ";\r\n", "x\r\n", "5\nhello\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello\n0\r\n\r\n",
            "5\r\nhelloX\r\n0\r\n\r\n",
            "5\r\nhello\r0\r\n\r\n", " 5\r\nhello\r\n", "5 \r\nhello\r\n", "5\t\r\nhello\r\n", "+5\r\nhello\r\n",
            "-1\r\n", "0x5\r\nhello\r\n", "5h\r\nhello\r\n", "5;\u{0}\r\nhello\r\n", "5;a\nb\r\nhello\r\n",
            "5;a\rb\r\nhello\r\n",
            "0\n\r\n", "0\r\n\n", "0\r\nX : y\r\n\r\n", "0\r\n x: y\r\n\r\n", "0\r\nGET / HTTP/1.1\r\n\r\n",
            "5" + String(repeating: " ", count: 2000) + ";\r\nhello\r\n",
            String(repeating: "0", count: 2000) + "5\r\nhello\r\n",
        ] {
            expectRefused("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body, 400)
        }
    }

    // MARK: Limits

    private static let small = RequestLimits(line: 20, head: 40, fields: 3, body: 10)

    func testTakesWhatIsAtALimitAndRefusesWhatIsOver() {
        // 20 bytes of line: "GET /234567 HTTP/1.1".
        expectAccepted("GET /234567 HTTP/1.1\r\nHost: a\r\n\r\n", Self.small)
        expectRefused("GET /2345678 HTTP/1.1\r\nHost: a\r\n\r\n", 414, Self.small)
        // 9 for Host, and 31.
        let value = String(repeating: "v", count: 26)
        expectAccepted("GET / HTTP/1.1\r\nHost: a\r\nX: \(value)\r\n\r\n", Self.small)
        expectRefused("GET / HTTP/1.1\r\nHost: a\r\nX: \(value)v\r\n\r\n", 431, Self.small)
        expectAccepted("GET / HTTP/1.1\r\nHost: a\r\nA:\r\nB:\r\n\r\n", Self.small)
        expectRefused("GET / HTTP/1.1\r\nHost: a\r\nA:\r\nB:\r\nC:\r\n\r\n", 431, Self.small)
        let post = "POST / HTTP/1.1\r\nHost: a\r\n"
        expectAccepted(post + "Content-Length: 10\r\n\r\n0123456789", Self.small)
        expectRefused(post + "Content-Length: 11\r\n\r\n", 413, Self.small)
        for length in ["9223372036854775808", "18446744073709551621", String(repeating: "9", count: 200)] {
            expectRefused(post + "Content-Length: \(length)\r\n\r\n", 413)
        }
    }

    func testCountsChunksAgainstTheLimitOfTheBody() {
        let limits = RequestLimits(body: 10)
        let post = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        expectAccepted(post + "5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n", limits)
        for body in [
            "b\r\n", "5\r\n01234\r\n6\r\n", "ffffffffffffffff\r\n", "8000000000000000\r\n", "7fffffffffffffff\r\n",
            "10000000000000005\r\n", String(repeating: "f", count: 100) + "\r\n",
        ] {
            expectRefused(post + body, 413, limits)
        }
    }

    func testLimitsTrailersAndExtensions() {
        let post = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        let many = String(repeating: "X: y\r\n", count: 101)
        expectRefused(post + "0\r\n" + many + "\r\n", 431)
        expectRefused(post + "0\r\nX: " + String(repeating: "y", count: 20_000), 431)
        expectRefused(post + String(repeating: "1;" + String(repeating: "e", count: 500) + "\r\nx\r\n", count: 40), 400)
    }

    func testRefusesAsSoonAsItIsKnown() {
        // One byte over the limit, and no end of a line in sight.
        XCTAssertEqual(outcome(of: [Array(repeating: 65, count: 20)], Self.small).status, nil)
        XCTAssertEqual(outcome(of: [Array(repeating: 65, count: 21)], Self.small).status, 414)
        let start = Array("GET / HTTP/1.1\r\n".utf8)
        XCTAssertEqual(outcome(of: [start + Array(repeating: 65, count: 38)], Self.small).status, nil)
        XCTAssertEqual(outcome(of: [start + Array(repeating: 65, count: 39)], Self.small).status, 431)
    }

    // MARK: Anything at all

    /// Requests with bytes changed, left out, repeated and put in: whatever they are now, how they are cut makes no difference,
    /// and nothing but a refusal is thrown.
    func testAnyBytesMeanTheSameHoweverTheyAreCut() {
        let seeds = [
            "GET /a?b HTTP/1.1\r\nHost: localhost\r\nAccept: a, b\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.0\r\n\r\n",
            "PUT http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nX: y\r\n\r\n",
        ].map { Array($0.utf8) }
        let bytes = Array("\r\n :,;0159afAF/\t\u{0}\u{7f}é.*#%[]".utf8)
        var random = SeededGenerator(seed: 9112)
        for _ in 0..<3000 {
            var stream = seeds.randomElement(using: &random) ?? []
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<stream.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: stream[place] = bytes.randomElement(using: &random) ?? 0
                case 1: stream.insert(bytes.randomElement(using: &random) ?? 0, at: place)
                case 2: stream.remove(at: place)
                default: stream.insert(contentsOf: stream[place...].prefix(8), at: place)
                }
            }
            let outcomes = allCuts(stream, RequestLimits(line: 60, head: 80, fields: 4, body: 20))
            for outcome in outcomes.dropFirst() {
                XCTAssertEqual(outcome, outcomes[0], String(decoding: stream, as: UTF8.self).debugDescription)
            }
        }
    }

    // MARK: Cost

    /// Twice as long must not take four times as long: 4 MB of each, byte by byte, are seconds at worst; were they searched or
    /// moved again for each byte, it would be hours.
    func testWorkGrowsWithTheBytesOnly() throws {
        let limits = RequestLimits(line: 1 << 20, head: 1 << 20, fields: 100_000, body: .max)
        var long = HTTPRequestDecoder(limits: limits)
        long.feed(Array("GET /".utf8))
        for _ in 0..<500_000 {
            long.feed([65])
            XCTAssertNil(try long.next())
        }
        var many = HTTPRequestDecoder(limits: limits)
        many.feed(Array(repeatElement(Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), count: 50_000).joined()))
        var count = 0
        while try many.next() != nil { count += 1 }
        XCTAssertEqual(count, 100_000)
    }

    // MARK: How it is fed

    private struct Outcome: Equatable {
        /// Pieces of one body are joined.
        var events: [RequestEvent] = []
        var status: Int?
    }

    private func outcome(of chunks: [[UInt8]], _ limits: RequestLimits = RequestLimits()) -> Outcome {
        var decoder = HTTPRequestDecoder(limits: limits)
        var outcome = Outcome()
        do {
            for chunk in chunks {
                decoder.feed(chunk)
                while let event = try decoder.next() {
                    if case .body(let piece) = event, case .body(let before)? = outcome.events.last {
                        outcome.events[outcome.events.count - 1] = .body(before + piece)
                    } else {
                        outcome.events.append(event)
                    }
                }
            }
        } catch let refused as RequestRefused {
            outcome.status = refused.status
        } catch {
            XCTFail("\(error) is not a refusal")
        }
        return outcome
    }

    private func allCuts(_ stream: [UInt8], _ limits: RequestLimits = RequestLimits()) -> [Outcome] {
        var random = SeededGenerator(seed: 8)
        var cuts = [[stream], stream.map { [$0] }]
        for _ in 0..<3 {
            var chunks: [[UInt8]] = []
            var rest = stream[...]
            while !rest.isEmpty {
                let count = Int.random(in: 0...min(rest.count, 12), using: &random)
                chunks.append(Array(rest.prefix(count)))
                rest = rest.dropFirst(count)
            }
            cuts.append(chunks)
        }
        return cuts.map { outcome(of: $0, limits) }
    }

    private func head(_ method: String, _ fields: [HTTPField] = []) -> RequestEvent {
        .head(RequestHead(method: method, target: "/", minorVersion: 1, fields: [HTTPField("Host", "a")] + fields))
    }

    private func expect(_ stream: String, _ events: [RequestEvent], line: UInt = #line) {
        for outcome in allCuts(Array(stream.utf8)) {
            XCTAssertEqual(outcome, Outcome(events: events), line: line)
        }
        // What follows belongs to the next request, and changes nothing in this one.
        let next = Array("GET /next HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        for outcome in allCuts(Array(stream.utf8) + next) {
            XCTAssertEqual(Array(outcome.events.prefix(events.count)), events, line: line)
            XCTAssertEqual(outcome.events.count, events.count + 2, line: line)
        }
    }

    private func expectAccepted(_ stream: String, _ limits: RequestLimits = RequestLimits(), line: UInt = #line) {
        expectAccepted(Array(stream.utf8), limits, line: line)
    }

    private func expectAccepted(_ stream: [UInt8], _ limits: RequestLimits = RequestLimits(), line: UInt = #line) {
        let text = String(decoding: stream, as: UTF8.self).debugDescription
        for outcome in allCuts(stream, limits) {
            XCTAssertNil(outcome.status, text, line: line)
            XCTAssertEqual(outcome.events.last, .end, text, line: line)
            XCTAssertEqual(outcome.events.filter { $0 == .end }.count, 1, text, line: line)
        }
    }

    /// Refused, with this status, and without a second request.
    private func expectRefused(
        _ stream: String, _ status: Int, _ limits: RequestLimits = RequestLimits(), line: UInt = #line
    ) {
        for outcome in allCuts(Array(stream.utf8), limits) {
            XCTAssertEqual(outcome.status, status, stream.debugDescription, line: line)
            XCTAssertFalse(outcome.events.contains(.end), stream.debugDescription, line: line)
        }
    }
}
