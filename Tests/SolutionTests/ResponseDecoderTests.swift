// The response decoder of lesson 08: the client's half of the protocol.
import Course
import XCTest

@testable import Solution08

final class ResponseDecoderTests: XCTestCase {
    func testTakesABodyByLengthByChunksAndUntilTheEnd() {
        expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "200 OK hello", isComplete: true)
        expect(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\nT: u\r\n\r\n",
            "200 OK hello",
            isComplete: true)
        expect("HTTP/1.0 200 OK\r\n\r\nhello", "200 OK hello", isComplete: true)
    }

    func testKnowsWhatIsCutShort() {
        expect("", "", isComplete: false)
        expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "200 OK hell", isComplete: false)
        expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "", isComplete: false)
        expect(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "200 OK hello", isComplete: false)
        expect(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "200 OK hello",
            isComplete: false)
    }

    func testSomeAnswersHaveNoBodyWhateverTheySay() {
        // RFC 9112 section 6.3, first rule.
        expect("HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n", "204 None ", isComplete: true)
        expect("HTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\n\r\n", "304 Same ", isComplete: true)
        expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "200 OK ", isComplete: true, to: "HEAD")
    }

    func testInterimAnswersComeBeforeTheOneThatCounts() {
        expect(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103\r\nLink: x\r\n\r\nHTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx",
            "100 Continue 103  200  x", isComplete: true)
    }

    func testRefusesWhatIsNotHTTP() {
        for head in [
            "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 +20 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n",
            "HTTP/1.1\r\n\r\n", "HTTP/1.1 999 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "http/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\n\n", "hello\r\n\r\n", "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
        ] {
            expect(head, nil, isComplete: false)
        }
    }

    func testTellsWhatNobodyAskedFor() throws {
        var decoder = ResponseDecoder(to: "GET", limits: RequestLimits())
        decoder.feed(Array("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n".utf8))
        while try decoder.next() != nil {}
        XCTAssertTrue(decoder.hasRest)
    }

    // MARK: Dates, ranges, paths

    func testReadsTheThreeFormsOfADate() {
        // RFC 9110 section 5.6.7.
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
        ] {
            XCTAssertEqual(httpDate(text), 784_111_777, text)
        }
        XCTAssertEqual(httpDate(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT")
        XCTAssertEqual(httpDate(0), "Thu, 01 Jan 1970 00:00:00 GMT")
        for text in [
            "", "now", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 25:49:37 GMT", "Sun, 06 Nix 1994 08:49:37 GMT",
        ] {
            XCTAssertNil(httpDate(text), text)
        }
        for seconds in stride(from: -1_000_000_000, to: 5_000_000_000, by: 12_345_678) {
            XCTAssertEqual(httpDate(httpDate(seconds)), seconds)
        }
    }

    func testReadsRanges() {
        // RFC 9110 section 14.1.2.
        let ranges: [(String, RequestedRange)] = [
            ("bytes=0-0", .part(0..<1)), ("bytes=0-", .part(0..<100)), ("bytes=99-", .part(99..<100)),
            ("bytes=10-19", .part(10..<20)), ("bytes=10-1000", .part(10..<100)), ("bytes=-1", .part(99..<100)),
            ("bytes=-1000", .part(0..<100)), ("BYTES=5-5", .part(5..<6)),
            ("bytes=0-99999999999999999999", .part(0..<100)),
            ("bytes=0-9223372036854775807", .part(0..<100)), ("bytes=100-", .none), ("bytes=100-200", .none),
            ("bytes=-0", .none), ("bytes=99999999999999999999-", .none), ("bytes=5-4", .whole), ("bytes=-", .whole),
            ("bytes=", .whole), ("bytes=a-b", .whole), ("bytes=1", .whole), ("bytes=0-1,5-6", .whole),
            ("lines=0-1", .whole),
            ("bytes=--1", .whole), ("bytes=1-2-3", .whole), ("bytes=+1-2", .whole),
        ]
        for (text, range) in ranges { XCTAssertEqual(parseRange(text, size: 100), range, text) }
        XCTAssertEqual(parseRange("bytes=0-", size: 0), .none)
        XCTAssertEqual(parseRange("bytes=-5", size: 0), .whole)
    }

    func testPathNamesNeverLeadUp() {
        let paths: [(String, [String]?)] = [
            ("/", []), ("/a", ["a"]), ("/a/", ["a"]), ("//a//b", ["a", "b"]), ("/./a/.", ["a"]),
            ("/a%20b?c/../d", ["a b"]),
            ("/%C3%A9", ["é"]), ("/a+b", ["a+b"]), ("/%252e%252e", ["%2e%2e"]), ("/...", ["..."]), ("/a..", ["a.."]),
            ("http://h", []), ("http://h/a", ["a"]), ("HTTP://h:80/a?b", ["a"]), ("http://h?b", []), ("/%2e", []),
            ("/..", nil), ("/../", nil), ("/a/../b", nil), ("/%2e%2e", nil), ("/%2E.", nil), ("/.%2e/x", nil),
            ("/%2f", nil),
            ("/a%2Fb", nil), ("/..%2fx", nil), ("/..%5cx", nil), ("/a\\..\\b", nil), ("/%00", nil), ("/a%00.html", nil),
            ("/%", nil), ("/%4", nil), ("/%zz", nil), ("/%C3", nil), ("/%ff", nil), ("/%c0%ae%c0%ae/", nil), ("*", nil),
            ("", nil), ("a", nil), ("h:80", nil), ("https://h/a", nil), ("ftp://h/a", nil), ("/%+1", nil),
        ]
        for (target, names) in paths { XCTAssertEqual(pathNames(target: target), names, target) }
    }

    // MARK: How it is fed

    /// - Parameter text: status, reason and body of each head, as one text; nil if the response is to be refused.
    /// - Parameter isComplete: when the connection ends after these bytes.
    private func expect(
        _ stream: String, _ text: String?, isComplete: Bool, to method: String = "GET", line: UInt = #line
    ) {
        let bytes = Array(stream.utf8)
        for size in [max(bytes.count, 1), 1, 2, 3, 7] {
            var decoder = ResponseDecoder(to: method, limits: RequestLimits())
            var read = ""
            do {
                for start in stride(from: 0, to: bytes.count, by: size) {
                    decoder.feed(bytes[start..<min(start + size, bytes.count)])
                    while let event = try decoder.next() {
                        switch event {
                        case .head(let status, let reason, _, _): read += "\(status) \(reason) "
                        case .body(let piece): read += String(decoding: piece, as: UTF8.self)
                        case .end: break
                        }
                    }
                }
                XCTAssertEqual(read, text, line: line)
                XCTAssertEqual(decoder.isCompleteAtEnd, isComplete, line: line)
            } catch {
                XCTAssertNil(text, "\(stream.debugDescription): \(error)", line: line)
            }
        }
    }
}
