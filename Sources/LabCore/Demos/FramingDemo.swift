// framing: several messages in one send, told apart by the length in front of each.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension Demo {
    static let framing = Demo(
        "framing", Lesson05.slug,
        "messages with their length in front: cut anywhere on the wire, and whole again",
        "带长度前缀的消息：在线路上任意切断，再还原", port: 8888, [.serve, .client, .mine]
    ) { play in
        play.stage.label(label)
        try play.converse(
            .init(
                clientName: say("client", "客户端"),
                serverName: say("server (\(play.author))", "服务器（\(play.author)）"),
                server: (play.subject, "framed-echo-server"),
                makeClient: { FrameClient(play, $0) },
                hint: say(
                    "Type a line: each word is a message, and all of them go out in one send. The length in front (u32, "
                        + "big-endian) says where each one ends.",
                    "输入一行：每个词是一条消息，全部用一次 send 发出。每条前面的长度（u32，大端）说明它在哪里结束。"),
                example: "one two three",
                afterExample: { try play.cutIntoPieces() },
                others: { ["lab run framing --client \($0.written)"] },
                explain: explained))
    }
}

extension Play {
    /// The same bytes on a bad day: the tap lets each recv of another server have a few of them at a time.
    fileprivate func cutIntoPieces() throws {
        step(
            say(
                "Once more, with another server whose every recv gets at most 5 bytes: the tap sees to that. The messages are "
                    + "the same, however the stream is cut.",
                "再来一次：换一个服务器，由探针让它每次 recv 最多得到 5 个字节。无论字节流怎么切断，消息都一样。"))
        let server = try serve(subject, "framed-echo-server", host: host, port: 0, plan: .most(5, each: .receive))
        let client = FrameClient(self, server.reachable)
        let answers = try client.ask(Array("one two".utf8))
        stage.settle(showsWaiting: false)
        for answer in answers { screen.answer(answer) }
        try client.finish()
        stage.settle(showsWaiting: false)
        client.end()
        stage.end(server.subject)
        step(say("Now your lines.", "现在轮到你输入。"))
    }
}

/// Each word of a line is a message; all of them go out in one send.
private final class FrameClient: DemoClient {
    private let caller: Caller
    private let server: Endpoint
    private var isConnected = false

    init(_ play: Play, _ server: Endpoint) {
        caller = Caller(play, play.helper)
        self.server = server
    }

    func start() throws {
        guard !isConnected else { return }
        _ = try caller.call("connect", [.string(server.host), .int(Int(server.port))], server: server)
        isConnected = true
    }

    func ask(_ line: [UInt8]) throws -> [[UInt8]] {
        try start()
        do {
            let value = try caller.call(
                "exchange-frames", [.list(words(line).map(Value.bytes))], server: server)
            let answers = try [value].list(0)
            return try answers.indices.map { try answers.bytes($0) }
        } catch {
            isConnected = false
            caller.end()
            throw error
        }
    }

    func end() { caller.end() }

    func finish() throws { if isConnected { _ = try caller.call("leave", [], server: server) } }
}

private func words(_ line: [UInt8]) -> [[UInt8]] { line.split(separator: UInt8(ascii: " ")).map(Array.init) }

/// `[3]one [3]two`, if the bytes are whole frames.
@Sendable private func label(_ bytes: [UInt8]) -> String? {
    var rest = bytes[...]
    var frames: [String] = []
    while rest.count >= 4 {
        let length = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
        rest = rest.dropFirst(4)
        guard length <= rest.count, isReadable(Array(rest.prefix(length)), total: length) else { return nil }
        frames.append("[\(length)]" + String(decoding: rest.prefix(length), as: UTF8.self))
        rest = rest.dropFirst(length)
    }
    return rest.isEmpty && !frames.isEmpty ? frames.joined(separator: " ") : nil
}

/// How the decoder reads the bytes that came.
private func explained(_ line: [UInt8], _ answers: [[UInt8]]) -> [StyledText] {
    guard !answers.isEmpty else { return [] }
    let title = say("as the decoder reads them:", "解码器是这样读的：")
    let rows = answers.prefix(8).map { answer -> StyledText in
        let length = withUnsafeBytes(of: UInt32(answer.count).bigEndian) { $0.map(hex).joined(separator: " ") }
        let shown = answer.prefix(10).map(hex).joined(separator: " ") + (answer.count > 10 ? " …" : "")
        return StyledText("  " + length, .code) + StyledText("  " + shown.padded(to: 33))
            + StyledText(say("length \(answer.count), then ", "长度 \(answer.count)，然后是 "), .quiet)
            + StyledText(shownText(answer, total: answer.count, room: 20))
    }
    return [StyledText(title, .quiet)] + rows
}
