// ws-chat: a room for browsers and terminals. ws-client: one connection, frame by frame.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension Demo {
    static let wsChat = Demo(
        "ws-chat", Lesson09.slug, "a chat for several browsers, and its page", "多个浏览器的聊天室和它的网页", port: 8765,
        [.serve, .client, .mine]
    ) { play in
        play.stage.label(webSocketLabel)
        try play.converse(
            .init(
                clientName: say("members 1, 2", "成员 1、2"),
                serverName: say("chat (\(play.author))", "聊天室（\(play.author)）"),
                server: (play.subject, "chat-room"),
                makeClient: { ChatMembers(play, $0) },
                hint: say(
                    "Two members sit here and take turns: what one says, the other hears, and so does every browser that has "
                        + "the page open. What browsers say is shown with the next line.",
                    "这里有两个成员轮流说话：一个说，另一个听到，每个开着网页的浏览器也听到。浏览器说的话在下一行时显示。"),
                others: {
                    [say("a browser: ", "浏览器：") + "http://\($0.written)/", "lab run ws-chat --client \($0.written)"]
                }))
    }

    static let wsClient = Demo(
        "ws-client", Lesson09.slug, "a client, frame by frame", "客户端，一帧一帧地看", port: 8765, [.client, .mine]
    ) { play in
        play.stage.label(webSocketLabel)
        try play.converse(
            .init(
                clientName: say("client (\(play.author))", "客户端（\(play.author)）"),
                serverName: "",
                makeClient: { ConnectionPerMessageClient(play, $0) },
                hint: say(
                    "Type a line: the client connects, shakes hands, sends it in one frame, waits for a message, and closes. "
                        + "A server that answers: lab run ws-echo --serve",
                    "输入一行：客户端连接、握手，用一帧发出，等一条消息，然后关闭。会回答的服务器：lab run ws-echo --serve"),
                others: { ["python3 -m websockets ws://\($0.written)/"] }))
    }
}

/// What stands on the arrow: the frames, or the line of a handshake.
@Sendable func webSocketLabel(_ bytes: [UInt8]) -> String? {
    for start in ["GET ", "HTTP/1.1 "] where bytes.starts(with: start.utf8) {
        return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\r") }, as: UTF8.self)
    }
    var rest = bytes[...]
    var names: [String] = []
    while rest.count >= 2 {
        let (first, second) = (rest[rest.startIndex], rest[rest.startIndex + 1])
        let lengthSize = second & 0x7F == 126 ? 2 : second & 0x7F == 127 ? 8 : 0
        let header = 2 + lengthSize + (second & 0x80 == 0 ? 0 : 4)
        guard first & 0x70 == 0, let opcode = Opcode(rawValue: first & 0x0F), rest.count >= header else { return nil }
        let length =
            lengthSize == 0
            ? Int(second & 0x7F)
            : rest.dropFirst(2).prefix(lengthSize).reduce(0) { ($0 & 0xFF_FFFF) << 8 | Int($1) }
        let mask = second & 0x80 == 0 ? [0, 0, 0, 0] : Array(rest.dropFirst(header - 4).prefix(4))
        let payload = rest.dropFirst(header).prefix(min(length, 40)).enumerated().map { $1 ^ mask[$0 & 3] }
        switch opcode {
        case .close where payload.count >= 2: names.append("close \(UInt16(payload[0]) << 8 | UInt16(payload[1]))")
        case .text: names.append("text " + quoted(payload, total: length))
        default: names.append("\(opcode)")
        }
        // The tap keeps the first bytes of a call only.
        rest = rest.dropFirst(header).dropFirst(length)
    }
    return names.isEmpty ? nil : names.joined(separator: ", ")
}

/// Two members of a room that others may be in, too.
final class ChatMembers: DemoClient {
    private let callers: [Caller]
    private let server: Endpoint
    private var isConnected = [false, false]
    private var turn = 0

    init(_ play: Play, _ server: Endpoint) {
        callers = ["1", "2"].map { Caller(play, play.reference(WebSocketDemoProgram.slug), tag: $0) }
        self.server = server
    }

    var prompt: String { "\(turn + 1)> " }

    func start() throws { for index in callers.indices { try connect(index) } }

    private func connect(_ index: Int) throws {
        guard !isConnected[index] else { return }
        let arguments: [Value] = [.string(server.host), .int(Int(server.port)), .string("/")]
        _ = try callers[index].call("open", arguments, server: server)
        isConnected[index] = true
    }

    func ask(_ line: [UInt8]) throws -> [[UInt8]] {
        let (speaker, listener) = (turn, 1 - turn)
        turn = listener
        try start()
        do {
            let message = [
                "from": say("terminal \(speaker + 1)", "终端 \(speaker + 1)"),
                "text": String(decoding: line, as: UTF8.self),
            ]
            let said = Array(try JSONSerialization.data(withJSONObject: message, options: .sortedKeys))
            _ = try callers[speaker].call("say", [.bytes(said)], server: server)
            // What the speaker hears is heard by the listener, too: it is only taken off the queue.
            _ = try callers[speaker].call("catch-up", [], server: server)
            let heard = try [try callers[listener].call("catch-up", [], server: server)].list(0)
            guard heard.contains(.bytes(said)) else {
                throw NoAnswer(text: say("The other member has not heard it.", "另一个成员没有听到。"))
            }
            return try heard.indices.map { index in
                let bytes = try heard.bytes(index)
                return bytes == said ? Array((message["text"] ?? "").utf8) : words(bytes)
            }
        } catch {
            // Nobody knows what is under way on these connections now.
            isConnected = [false, false]
            for caller in callers { caller.end() }
            throw error
        }
    }

    /// `Ada: hello`, if it is the page's JSON; else as it came.
    private func words(_ message: [UInt8]) -> [UInt8] {
        guard let parts = try? JSONSerialization.jsonObject(with: Data(message)) as? [String: Any],
            let from = parts["from"] as? String, let text = parts["text"] as? String
        else { return message }
        return Array("\(from): \(text)".utf8)
    }

    func finish() throws {
        for index in callers.indices where isConnected[index] {
            _ = try callers[index].call("leave", [], server: server)
        }
    }
}

/// A connection for each line: the contract's client, from the handshake to the close.
final class ConnectionPerMessageClient: DemoClient {
    private let caller: Caller
    private let server: Endpoint

    init(_ play: Play, _ server: Endpoint) {
        caller = Caller(play, play.subject)
        self.server = server
    }

    func ask(_ line: [UInt8]) throws -> [[UInt8]] {
        let key = Data((0..<16).map { _ in UInt8.random(in: 0...255) }).base64EncodedString()
        let text = Array(String(decoding: line, as: UTF8.self).utf8)
        let steps: [Value] = [
            .list([.string("text"), .bytes(text)]), .list([.string("receive")]),
            .list([.string("close"), .string(""), .int(1000)]),
        ]
        let value = try caller.call(
            "client",
            [.string(server.host), .int(Int(server.port)), .string("/"), .string(key), .none, .list(steps)],
            server: server)
        return [try [value].list(0).list(0).bytes(1)]
    }
}
