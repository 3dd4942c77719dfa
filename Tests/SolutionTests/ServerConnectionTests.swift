// The server's side of a connection in lesson 08, without sockets: requests in, answers out.
import Course
import GraderKit
import XCTest

@testable import Solution08

final class ServerConnectionTests: XCTestCase {
    /// Answers with the method, the target and the body that it was asked with.
    private final class Echo: Site {
        let wantsBodies = true
        var size = 0

        func answer(_ request: RequestHead, body: [UInt8]) -> Reply {
            let text = "\(request.method) \(request.target) "
            return Reply(
                status: 200, content: .bytes(Array(text.utf8) + body + Array(repeating: 46, count: size)))
        }
    }

    private func connection(_ site: Echo = Echo(), room: Int = 1 << 20) -> ServerConnection {
        ServerConnection(site: site, room: BodyRoom(room))
    }

    /// All that it answers to this, if the client reads as fast as it can.
    private func answers(_ connection: ServerConnection, to stream: String) -> String {
        connection.receive(Array(stream.utf8)[...])
        var sent: [UInt8] = []
        connection.advance(date: "now")
        while connection.hasOutput {
            connection.send { bytes in
                sent += bytes.prefix(1000)
                return min(bytes.count, 1000)
            }
            connection.advance(date: "now")
        }
        return String(decoding: sent, as: UTF8.self)
    }

    private let get = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"

    func testAnswersWithDateAndLength() {
        XCTAssertEqual(
            answers(connection(), to: get), "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 7\r\n\r\nGET /a ")
    }

    func testAnswersInTheOrderOfTheRequests() {
        let connection = connection()
        let stream = (0..<500).map { "PUT /\($0) HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx" }.joined()
        let places = answers(connection, to: stream).components(separatedBy: "\r\n\r\nPUT /").dropFirst()
        XCTAssertEqual(places.compactMap { Int($0.prefix { $0 != " " }) }, Array(0..<500))
        XCTAssertEqual(connection.answered, 500)
        XCTAssertFalse(connection.isClosing)
    }

    func testHeadHasTheLengthAndNoBody() {
        let text = answers(connection(), to: "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n")
        XCTAssert(text.hasSuffix("Content-Length: 8\r\n\r\n"), text)
    }

    func testStaysOpenOrClosesAsTheClientSays() {
        // RFC 9112 section 9.3.
        let cases = [
            ("1.1", "", false), ("1.1", "Connection: close\r\n", true), ("1.1", "Connection: x, CLOSE\r\n", true),
            ("1.1", "Connection: keep-alive\r\n", false), ("1.0", "", true),
            ("1.0", "Connection: Keep-Alive\r\n", false),
            ("1.0", "Connection: keep-alive, close\r\n", true), ("1.1", "Connection: x\r\nConnection: close\r\n", true),
        ]
        for (version, field, closes) in cases {
            let connection = connection()
            let text = answers(connection, to: "GET / HTTP/\(version)\r\nHost: h\r\n\(field)\r\n" + get)
            XCTAssertEqual(connection.isClosing, closes, "\(version) \(field)")
            XCTAssertEqual(text.contains("Connection: close\r\n"), closes, text)
            XCTAssertEqual(text.contains("Connection: keep-alive\r\n"), version == "1.0" && !closes, text)
            // After the last answer nothing more is answered.
            XCTAssertEqual(connection.answered, closes ? 1 : 2)
        }
    }

    func testSaysGoOnToWhoWaits() {
        // RFC 9110 section 10.1.1.
        let connection = connection()
        let head = "PUT /a HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n"
        XCTAssertEqual(answers(connection, to: head), "HTTP/1.1 100 Continue\r\n\r\n")
        XCTAssert(answers(connection, to: "xy").hasSuffix("PUT /a xy"))
        XCTAssertEqual(
            answers(self.connection(), to: head.replacingOccurrences(of: "1.1\r", with: "1.0\r")), "")
    }

    func testRefusesOnceAndThenNothing() {
        let connection = connection()
        let text = answers(connection, to: get + "GET / HTTP/1.1\nHost: h\r\n\r\n" + get)
        XCTAssertEqual(text.components(separatedBy: "HTTP/1.1 ").dropFirst().map { $0.prefix(3) }, ["200", "400"])
        XCTAssert(connection.isClosing)
        XCTAssertFalse(connection.wantsBytes)
    }

    func testEndsWithTheClientButAnswersFirst() {
        let connection = connection()
        connection.receive(Array((get + "GET /half").utf8)[...])
        connection.receiveEnd()
        XCTAssert(answers(connection, to: "").hasSuffix("GET /a "))
        XCTAssert(connection.isClosing)
    }

    func testDoesNotAnswerAheadOfWhatIsRead() {
        let site = Echo()
        site.size = 50_000
        let connection = connection(site)
        connection.receive(Array(String(repeating: get, count: 1000).utf8)[...])
        connection.advance(date: "now")
        XCTAssertLessThanOrEqual(connection.answered, 2)
        XCTAssertFalse(connection.wantsBytes)
        // A client that takes a byte at a time must not make the rest be moved or kept over and over.
        for _ in 0..<10_000 {
            connection.send { _ in 1 }
            connection.advance(date: "now")
        }
        XCTAssertLessThanOrEqual(connection.answered, 3)
    }

    func testKeepsNoMoreOfBodiesThanThereIsRoomFor() {
        let room = BodyRoom(10)
        let site = Echo()
        let put = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\n"
        var first: ServerConnection? = ServerConnection(site: site, room: room)
        XCTAssertEqual(first.map { answers($0, to: put + "1234567") }, "")
        let second = ServerConnection(site: site, room: room)
        XCTAssert(answers(second, to: put + "12345678").hasPrefix("HTTP/1.1 503 "))
        // Who leaves gives the room back, and so does an answer.
        first = nil
        let third = ServerConnection(site: site, room: room)
        for _ in 0..<3 { XCTAssert(answers(third, to: put + "12345678").hasSuffix(" 12345678")) }
    }
}
