// The frame decoder of lesson 09: fuzzed with a seed, and compared with what Swift itself says of UTF-8. Its rules, one by
// one, are what the lesson's graders check.
import Course
import GraderKit
import XCTest

@testable import Solution09

final class FrameDecoderTests: XCTestCase {
    /// Events, and the error at the end, however the stream was cut.
    private func decode(_ chunks: [[UInt8]], _ role: WebSocketRole = .server, limit: Int = 1000) -> (
        [WebSocketEvent], Error?
    ) {
        var decoder = FrameDecoder(role: role, limit: limit)
        var events: [WebSocketEvent] = []
        for chunk in chunks {
            decoder.feed(chunk)
            do { while let event = try decoder.next() { events.append(event) } } catch { return (events, error) }
        }
        return (events, nil)
    }

    func testTheExamplesOfTheStandard() {
        // RFC 6455 section 5.7.
        let hello = Array("Hello".utf8)
        let examples: [(WebSocketRole, [UInt8], [WebSocketEvent])] = [
            (.client, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f], [.text(hello)]),
            (.server, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58], [.text(hello)]),
            (.client, [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f], [.text(hello)]),
            (.client, [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f], [.ping(hello)]),
            (.server, [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58], [.pong(hello)]),
            (
                .client, [0x82, 0x7E, 0x01, 0x00] + [UInt8](repeating: 7, count: 256),
                [.binary([UInt8](repeating: 7, count: 256))]
            ),
        ]
        for (role, bytes, events) in examples {
            XCTAssertEqual(decode([bytes], role).0, events)
            XCTAssertEqual(decode(bytes.map { [$0] }, role).0, events)
        }
    }

    func testWhatIsEncodedIsDecoded() {
        var random = SeededGenerator(seed: 9)
        for count in Array(0...300) + [65_535, 65_536, 200_000] {
            let payload = random.bytes(count)
            let masked = encodeFrame(.binary, payload, mask: random.bytes(4))
            let (events, error) = decode([masked], limit: 1 << 20)
            XCTAssertNil(error)
            XCTAssertEqual(events, [.binary(payload)])
            XCTAssertEqual(decode([encodeFrame(.binary, payload)], .client, limit: 1 << 20).0, [.binary(payload)])
        }
    }

    func testSwiftAgreesOnUTF8() {
        // Every sequence of one, two and three bytes with a first byte that is not ASCII, and many of four.
        var sequences: [[UInt8]] = (0...255).map { [$0] }
        for first in 0x80...0xFF as ClosedRange<UInt8> {
            for second in Array(stride(from: 0, through: 255, by: 5)) + [
                0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0,
            ] {
                sequences.append([first, UInt8(second)])
                for third in [0x00, 0x41, 0x7F, 0x80, 0xBF, 0xC0, 0xFF] as [UInt8] {
                    sequences.append([first, UInt8(second), third])
                    sequences.append([first, UInt8(second), third, 0x80])
                    sequences.append([first, UInt8(second), third, 0xC0])
                }
            }
        }
        for bytes in sequences {
            var validator = UTF8Validator()
            let isWhole = bytes.withUnsafeBytes { validator.accepts($0) } && validator.isBetweenCharacters
            let text = String(decoding: bytes, as: UTF8.self)
            // Repaired text has other bytes.
            XCTAssertEqual(isWhole, Array(text.utf8) == bytes, "\(bytes)")
            var slow = UTF8Validator()
            let isWholeSlowly =
                bytes.allSatisfy { byte in withUnsafeBytes(of: byte) { slow.accepts($0) } } && slow.isBetweenCharacters
            XCTAssertEqual(isWhole, isWholeSlowly, "\(bytes)")
        }
    }

    /// Streams that are nearly right, changed at random: the decoder never traps, and how a stream is cut changes nothing.
    func testMutatedStreams() {
        var random = SeededGenerator(seed: 20_09)
        for round in 0..<4000 {
            let role: WebSocketRole = round % 2 == 0 ? .server : .client
            var stream: [UInt8] = []
            for _ in 0..<Int.random(in: 1...5, using: &random) {
                let opcode = Opcode.allCases.randomElement(using: &random) ?? .text
                let text = Array("é世🌍abc".utf8)
                let payload = Bool.random(using: &random) ? text : random.bytes(Int.random(in: 0...140, using: &random))
                stream += encodeFrame(
                    opcode, payload, isFinal: Bool.random(using: &random), mask: role == .server ? random.bytes(4) : nil
                )
            }
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                let place = Int.random(in: stream.indices, using: &random)
                switch Int.random(in: 0...2, using: &random) {
                case 0: stream[place] = UInt8.random(in: 0...255, using: &random)
                case 1: stream[place] ^= 1 << UInt8.random(in: 0...7, using: &random)
                default: stream.insert(UInt8.random(in: 0...255, using: &random), at: place)
                }
            }
            let (events, error) = decode([stream], role, limit: 100)
            var chunks: [[UInt8]] = []
            var rest = stream[...]
            while !rest.isEmpty {
                chunks.append(Array(rest.prefix(Int.random(in: 0...9, using: &random))))
                rest = rest.dropFirst(chunks[chunks.count - 1].count)
            }
            for cut in [stream.map { [$0] }, chunks] {
                let (otherEvents, otherError) = decode(cut, role, limit: 100)
                XCTAssertEqual(events, otherEvents, "round \(round)")
                XCTAssertEqual(error as? WebSocketError, otherError as? WebSocketError, "round \(round)")
            }
        }
    }

    func testTheLargestMessage() {
        // 64 MiB, fed as a socket gives it.
        let piece = [UInt8](repeating: UInt8(ascii: "m"), count: 65_536)
        let mask: [UInt8] = [1, 2, 3, 4]
        var decoder = FrameDecoder(role: .server, limit: Lesson09.messageLimit)
        decoder.feed([0x81, 0xFF, 0, 0, 0, 0, 4, 0, 0, 0] + mask)
        let masked = piece.indices.map { piece[$0] ^ mask[$0 % 4] }
        for index in 0..<1024 {
            XCTAssertNoThrow(
                try {
                    decoder.feed(masked)
                    let event = try decoder.next()
                    if index < 1023 { return XCTAssertNil(event) }
                    guard case .text(let bytes) = event else { return XCTFail("no text") }
                    XCTAssertEqual(bytes.count, Lesson09.messageLimit)
                    let places = stride(from: 0, to: bytes.count, by: 4093)
                    XCTAssert(places.allSatisfy { bytes[$0] == UInt8(ascii: "m") })
                }())
        }
    }

    func testAHandshakeBytesByBytes() {
        let request =
            Array(
                "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
                    .utf8) + Array("dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".utf8)
        for count in 0..<request.count {
            XCTAssertEqual(serverHandshake(Array(request[..<count]), allowedOrigins: nil), .incomplete)
        }
        guard case .accepted(let response, let length) = serverHandshake(request + [0x81], allowedOrigins: nil) else {
            return XCTFail("not accepted")
        }
        XCTAssertEqual(length, request.count)
        XCTAssertEqual(try checkAnswer(response, key: "dGhlIHNhbXBsZSBub25jZQ=="), response.count)
    }

    /// Requests that are nearly right, changed at random: never a trap, and never accepted with a wrong length.
    func testMutatedRequests() {
        var random = SeededGenerator(seed: 9_02)
        let request = clientRequest(
            HandshakeRequest(host: "localhost", key: "dGhlIHNhbXBsZSBub25jZQ==", origin: "http://localhost"))
        for _ in 0..<5000 {
            var bytes = request
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: bytes.indices, using: &random)
                switch Int.random(in: 0...2, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                default: bytes.insert([10, 13, 32, 58, 0, 44].randomElement(using: &random) ?? 10, at: place)
                }
            }
            switch serverHandshake(bytes, allowedOrigins: ["http://localhost"]) {
            case .accepted(_, let length): XCTAssertLessThanOrEqual(length, bytes.count)
            case .refused(let status, let response):
                XCTAssert([400, 403, 426, 431].contains(status))
                XCTAssert(response.starts(with: Array("HTTP/1.1 \(status) ".utf8)))
            case .incomplete: break
            }
            _ = try? checkAnswer(bytes, key: "dGhlIHNhbXBsZSBub25jZQ==")
        }
    }
}
