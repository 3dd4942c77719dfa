// Lesson 09: the handshake on both sides, and frames on both sides.
import Course
import Foundation
import Solution09

extension FuzzTarget {
    static let handshake = FuzzTarget(
        "handshake",
        seeds: [
            "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
                + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: http://a\r\n\r\nrest",
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c, WebSocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 8\r\n\r\n",
            "GET / HTTP/1.1\n\n", "POST / HTTP/1.1\r\n\r\n",
        ]
    ) { stream in
        for origins in [nil, ["http://a"]] {
            let answer = Solution09.reference.serverHandshake(stream, origins)
            switch answer {
            case .incomplete: break
            case .accepted(let response, let length):
                try expect(length > 0 && length <= stream.count, "a request of \(length) bytes in \(stream.count)")
                try checkHead(response, "HTTP/1.1 101 ")
                // What comes behind the head is no part of it; before its end nothing was certain.
                let exact = Solution09.reference.serverHandshake(Array(stream[..<length]), origins)
                try expect(exact == answer, "without what follows: \(exact)")
                let short = Solution09.reference.serverHandshake(Array(stream[..<(length - 1)]), origins)
                try expect(short == .incomplete, "without its last byte: \(short)")
            case .refused(let status, let response):
                try expect([400, 403, 426, 431].contains(status), "\(status)")
                try checkHead(response, "HTTP/1.1 \(status) ")
            }
            // What was said is not taken back when more comes.
            if answer != .incomplete {
                let later = Solution09.reference.serverHandshake(stream + [0x0d, 0x0a, 0x0d, 0x0a], origins)
                try expect(later == answer, "\(answer), and with more bytes \(later)")
            }
        }
    }

    static let answer = FuzzTarget(
        "answer",
        seeds: [
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nrest",
            "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "SSH-2.0-OpenSSH\r\n\r\n",
        ]
    ) { stream in
        guard let length = try? Solution09.reference.checkAnswer(stream, "dGhlIHNhbXBsZSBub25jZQ==") else { return }
        try expect(length > 0 && length <= stream.count, "a head of \(length) bytes in \(stream.count)")
        let exact = try? Solution09.reference.checkAnswer(Array(stream[..<length]), "dGhlIHNhbXBsZSBub25jZQ==")
        try expect(exact == length, "without what follows: \(exact ?? -1)")
    }

    static let serverFrames = FuzzTarget("server-frames", seeds: exampleFrames(mask: [1, 2, 3, 4])) {
        try checkFrames($0, role: .server)
    }

    static let clientFrames = FuzzTarget("client-frames", seeds: exampleFrames(mask: nil)) {
        try checkFrames($0, role: .client)
    }

    /// What is encoded is what is decoded.
    static let roundTrip = FuzzTarget(
        "round-trip", seeds: [[0], [1] + Array("hello".utf8), [2] + [UInt8](repeating: 7, count: 300)]
    ) {
        guard let first = $0.first else { return }
        let payload = Array($0.dropFirst())
        let opcodes: [Opcode] = [.text, .binary, .ping, .pong]
        let opcode = opcodes[Int(first & 3)]
        if opcode.isControl && payload.count > 125 { return }
        let mask: [UInt8]? = first & 4 == 0 ? nil : [first, 0x5a, 0, 0xff]
        let frame = Solution09.reference.encodeFrame(opcode, payload, true, mask)
        var decoder = Solution09.reference.makeFrameDecoder(mask == nil ? .client : .server, payload.count)
        decoder.feed(frame)
        let expected: WebSocketEvent
        switch opcode {
        case .text: expected = .text(payload)
        case .ping: expected = .ping(payload)
        case .pong: expected = .pong(payload)
        default: expected = .binary(payload)
        }
        do {
            let event = try decoder.next()
            try expect(event == expected, "\(expected) became \(event.map { "\($0)" } ?? "nothing")")
            try expect(opcode != .text || isUTF8(payload), "a text that is not UTF-8 was accepted")
            try expect(try decoder.next() == nil, "there is more than was encoded")
        } catch WebSocketError.invalidText {
            try expect(opcode == .text && !isUTF8(payload), "UTF-8 was refused")
        }
    }
}

private let limit = 200

private func exampleFrames(mask: [UInt8]?) -> [[UInt8]] {
    let encode = Solution09.reference.encodeFrame
    return [
        encode(.text, Array("grüß dich 😀".utf8), true, mask) + encode(.close, [3, 232, 0x62, 0x79, 0x65], true, mask),
        encode(.text, Array("he".utf8), false, mask) + encode(.ping, [1], true, mask)
            + encode(.continuation, Array("llo".utf8), true, mask) + encode(.pong, [], true, mask),
        encode(.binary, [UInt8](repeating: 9, count: 130), false, mask)
            + encode(.continuation, [UInt8](repeating: 8, count: 60), true, mask),
        encode(.text, [0xf0, 0x9f], false, mask) + encode(.continuation, [0x98, 0x80], true, mask),
        encode(.close, [], true, mask), [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4],
    ]
}

private func isUTF8(_ bytes: [UInt8]) -> Bool { String(validating: bytes, as: UTF8.self) != nil }

private func checkFrames(_ stream: [UInt8], role: WebSocketRole) throws {
    try expectSameHoweverCut(stream) { pieces in
        var decoder = Solution09.reference.makeFrameDecoder(role, limit)
        var decoded = Decoded<WebSocketEvent>()
        do {
            for piece in pieces {
                decoder.feed(Array(piece))
                while let event = try decoder.next() {
                    switch event {
                    case .text(let bytes):
                        try expect(isUTF8(bytes), "a text that is not UTF-8: \(bytes)")
                        try expect(bytes.count <= limit, "a message of \(bytes.count) bytes")
                    case .binary(let bytes): try expect(bytes.count <= limit, "a message of \(bytes.count) bytes")
                    case .ping(let bytes), .pong(let bytes):
                        try expect(bytes.count <= 125, "\(bytes.count) bytes of control")
                    case .close(let code, let reason):
                        try expect(code != nil || reason.isEmpty, "a reason without a code")
                        try expect(reason.utf8.count <= 123, "a reason of \(reason.utf8.count) bytes")
                    }
                    decoded.events.append(event)
                }
            }
        } catch let error as WebSocketError { decoded.error = "\(error.closeCode)" }
        return decoded
    }
}

/// One head, with one empty line at its end, and no line end but CR LF: nothing of the request got into it.
private func checkHead(_ response: [UInt8], _ start: String) throws {
    let text = String(decoding: response, as: UTF8.self)
    try expect(text.hasPrefix(start), text.debugDescription)
    let lines = text.components(separatedBy: "\r\n")
    guard let end = lines.firstIndex(of: "") else { throw Broken("no empty line: \(text.debugDescription)") }
    try expect(
        lines[..<end].allSatisfy { !$0.utf8.contains { $0 < 32 || $0 > 126 } },
        "not fit for a line: \(text.debugDescription)")
}
