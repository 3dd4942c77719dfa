// http-client: a URL, what the client makes of it, and what comes back.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension Demo {
    static let httpClient = Demo(
        "http-client", Lesson08.slug, "a URL, the request, and the answer", "一个 URL、请求和回答", port: 8000,
        [.client, .mine]
    ) { play in
        play.stage.label(firstLine)
        let client = URLClient(play)
        try play.converse(
            .init(
                clientName: say("client (\(play.author))", "客户端（\(play.author)）"),
                serverName: say("store server (reference)", "存储服务器（参考实现）"),
                server: (play.reference(Lesson08.slug), "store-server"),
                makeClient: { endpoint in
                    client.server = endpoint
                    return client
                },
                hint: say(
                    "Type a path, or a URL of any http server; before it a method, behind it a body: PUT /a hello, "
                        + "POST /list name=Ada, DELETE /a. Several requests with ; between them go over one connection.",
                    "输入路径，或者任何 http 服务器的 URL；前面可以写方法，后面可以写消息体：PUT /a hello、POST /list name=Ada、DELETE /a。"
                        + "用 ; 隔开的几个请求走同一个连接。"),
                example: "PUT /greeting hello ; GET /greeting",
                others: { ["curl -v http://\($0.written)/greeting", "lab run http-client --client \($0.written)"] },
                explain: { _, _ in client.explanation }))
    }
}

/// Of what goes out and comes back, enough to tell one from another: `GET /a HTTP/1.1`.
@Sendable private func firstLine(_ bytes: [UInt8]) -> String? {
    let line = bytes.prefix { $0 != 13 }
    guard line.count < bytes.count, isReadable(Array(line), total: line.count) else { return nil }
    let text = String(decoding: line, as: UTF8.self)
    return text.hasPrefix("HTTP/1.") || text.hasSuffix(" HTTP/1.1") ? text : nil
}

/// Lesson 08's client. What one line asks for goes through one client, so that its requests can share a connection.
private final class URLClient: DemoClient {
    private let play: Play
    private let caller: Caller
    var server = Endpoint(host: "127.0.0.1", port: 80)
    /// What the last line brought.
    private(set) var explanation: [StyledText] = []

    init(_ play: Play) {
        self.play = play
        caller = Caller(play, play.subject)
    }

    var prompt: String { "http> " }

    func ask(_ line: [UInt8]) throws -> [[UInt8]] {
        explanation = []
        let requests = try String(decoding: line, as: UTF8.self).split(separator: ";").map { try request($0) }
        guard !requests.isEmpty else { throw NoAnswer(text: usage, exit: .usage) }
        let options = ClientOptions(timeout: 5000, totalTimeout: 20_000)
        let value = try caller.call(
            "client",
            [
                .list(
                    [
                        options.timeout, options.totalTimeout, options.redirects, options.attempts, options.backOff,
                        options.longestWait, options.headLimit, options.bodyLimit,
                    ].map(Value.int)), .list(requests),
            ], server: server, within: 60)
        return try [value].list(0).flatMap { try lines(of: $0) }
    }

    private var usage: String {
        say("Type a path, such as /greeting, or a URL.", "请输入路径，例如 /greeting，或者 URL。")
    }

    /// `[method, url, fields, body]`, as the contract's entry takes it.
    private func request(_ text: Substring) throws -> Value {
        var words = text.split(separator: " ", maxSplits: 2).map(String.init)
        guard let first = words.first else { throw NoAnswer(text: usage, exit: .usage) }
        let hasMethod = !first.hasPrefix("/") && !first.contains(":")
        if !hasMethod { words = ["GET"] + text.split(separator: " ", maxSplits: 1).map(String.init) }
        guard words.count >= 2 else { throw NoAnswer(text: usage, exit: .usage) }
        let url = words[1].hasPrefix("/") ? "http://\(server.written)\(words[1])" : words[1]
        let content = words.count > 2 ? words[2].trimmingCharacters(in: .whitespaces) : ""
        return .list([.string(words[0]), .string(url), .list([]), body(content)])
    }

    /// `{…}` is JSON, `a=b c=d` a form, anything else is text.
    private func body(_ text: String) -> Value {
        if text.isEmpty { return .none }
        if text.hasPrefix("{") || text.hasPrefix("[") {
            return .list([.string("json"), .bytes(Array(text.utf8))])
        }
        let pairs = text.split(separator: " ").map {
            $0.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        }
        guard pairs.allSatisfy({ $0.count == 2 && !$0[0].isEmpty }) else {
            return .list([.string("bytes"), .bytes(Array(text.utf8)), .string("text/plain; charset=utf-8")])
        }
        return .list([
            .string("form"), .list(pairs.map { .list([.string(String($0[0])), .string(String($0[1]))]) }),
        ])
    }

    /// The status, and the body below it.
    private func lines(of answer: Value) throws -> [[UInt8]] {
        if case .string(let error) = answer {
            throw NoAnswer(text: say("The client threw \(error).", "客户端抛出 \(error)。"))
        }
        let parts = try [answer].list(0)
        let status = "\(try parts.int(0)) \(try parts.string(1))"
        let fields = try parts.list(2)
        explanation.append(StyledText(say("from ", "来自 "), .quiet) + StyledText(try parts.string(3), .code))
        explanation += try fields.indices.map { index in
            let field = try fields.list(index)
            return StyledText("  \(try field.string(0)): ", .quiet)
                + StyledText(visibleLines(try field.string(1)).joined(separator: " "))
        }
        let body = try parts.bytes(4)
        return [Array(status.utf8)] + (body.isEmpty ? [] : [body.last == 10 ? Array(body.dropLast()) : body])
    }
}
