// WebSocket, byte by byte: ws-echo.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension Demo {
    static let wsEcho = Demo(
        "ws-echo", Lesson09.slug, "a WebSocket, byte by byte: handshake, frames, close", "逐字节地看 WebSocket：握手、帧、关闭",
        port: 8765, [.serve, .client, .mine]
    ) { play in
        try play.converse(
            .init(
                clientName: say("client", "客户端"),
                serverName: say("server (\(play.author))", "服务器（\(play.author)）"),
                server: (play.subject, "echo-server"),
                makeClient: { MessageClient(play, $0) },
                hint: say(
                    "Type a line: it travels as one text message over a connection of its own. First the handshake, in HTTP; "
                        + "then a masked frame there and one without mask back; then both say close.",
                    "输入一行：它作为一条文本消息，走一个单独的连接。先是 HTTP 形式的握手；然后去的帧带掩码，回来的帧不带；最后双方说关闭。"),
                example: "Hello",
                others: { server in
                    [
                        "python3 -m websockets ws://\(server.written)",
                        "new WebSocket(\"ws://\(server.written)\")",
                    ]
                },
                explain: { line, answers in answers.flatMap { explained(line, $0) } }))
    }

    /// The two frames as bytes. The mask is drawn by lot, so it is written with names.
    private static func explained(_ line: [UInt8], _ answer: [UInt8]) -> [StyledText] {
        guard answer.count <= 125 else { return [] }
        let length = answer.count
        return [
            StyledText(
                say("sent      ", "发出  ") + "81 \(hex(0x80 | UInt8(length)))  m0 m1 m2 m3  "
                    + say("and \(length) bytes, byte i ^ m[i % 4]", "和 \(length) 个字节，第 i 个 ^ m[i % 4]"), .quiet),
            StyledText(
                say("received  ", "收到  ") + "81 \(hex(UInt8(length)))  \(hexText(answer))"
                    + say("  (FIN and text, the length, the payload)", "  （FIN 与文本、长度、载荷）"), .quiet),
        ]
    }
}

/// Lesson 09's client: for each line a connection, a text message, its answer, and a close.
private final class MessageClient: DemoClient {
    private let caller: Caller
    private let server: Endpoint

    init(_ play: Play, _ server: Endpoint) {
        caller = Caller(play, play.reference(Lesson09.slug))
        self.server = server
    }

    func ask(_ line: [UInt8]) throws -> [[UInt8]] {
        let key = Data((0..<16).map { _ in UInt8.random(in: 0...255) }).base64EncodedString()
        let steps: [Value] = [
            .list([.string("text"), .bytes(line)]), .list([.string("receive")]),
            .list([.string("close"), .string("bye"), .int(1000)]),
        ]
        let value = try caller.call(
            "client",
            [.string(server.host), .int(Int(server.port)), .string("/"), .string(key), .none, .list(steps)],
            server: server)
        // Of what was received, the message; the close came after it.
        guard case .list(let received) = value, case .list(let event)? = received.first else { return [] }
        return [try event.bytes(1)]
    }
}
