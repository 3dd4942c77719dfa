// nonblocking-connect: the same call to a server that listens, to a port where nobody does, and to one that does not
// answer: what connect, select and SO_ERROR say each time.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension Demo {
    static let nonblockingConnect = Demo(
        "nonblocking-connect", Lesson06.slug,
        "connect with a time limit: connected, refused, and no answer at all",
        "有时限的 connect：连上、被拒绝、毫无回应", port: 12000, [.client, .mine], isShow: true
    ) { play in
        let connecting = Connecting(play)
        if let server = play.options.client { try connecting.show(only: server) } else { try connecting.show() }
    }
}

private final class Connecting {
    private let play: Play
    /// `connectWithTimeout`.
    private let client: Caller
    private let server: Caller
    /// Those who fill the queue before our client comes.
    private let crowd: Caller
    private var endpoint: Endpoint

    /// How long the client waits at most (ms).
    private static let limit = 1000

    init(_ play: Play) {
        self.play = play
        client = Caller(play, play.subject)
        server = Caller(play, play.helper, side: .right)
        crowd = Caller(play, play.helper, isDrawn: false)
        endpoint = Endpoint(host: play.host, port: play.port)
    }

    private func begin(_ right: String) throws {
        play.introduce(
            say(
                "connect on a non-blocking socket only begins: EINPROGRESS. select waits until it is decided, for at most "
                    + "\(Connecting.limit) ms, and SO_ERROR tells how.",
                "在非阻塞套接字上，connect 只是开个头：EINPROGRESS。select 等到有结果为止，最多等 \(Connecting.limit) 毫秒，结果是什么由 SO_ERROR 说。"
            ))
        play.stage.heading(
            left: say("client (\(play.author))", "客户端（\(play.author)）"), right: right)
        try client.start()
    }

    /// One try, at a server of somebody's.
    func show(only server: Endpoint) throws {
        endpoint = server
        try begin(server.written)
        let outcome = try connect()
        guard case .returned = outcome else { throw CommandError.failure(Connecting.text(outcome, server)) }
        play.screen.print(Connecting.text(outcome, server), .waiting)
    }

    func show() throws {
        try begin(say("server", "服务器"))
        play.step(say("1. A server listens.", "1. 有服务器在监听。"))
        try listen(backlog: nil)
        try attempt(reads: say("SO_ERROR is 0: connected.", "SO_ERROR 为 0：连上了。"))
        try run(server, "accept")
        try run(server, "close")
        try run(server, "close-listener")
        play.stage.settle(showsWaiting: false)

        play.step(
            say(
                "2. The server has gone: nobody listens on the port. The socket becomes writable all the same.",
                "2. 服务器走了，端口上没有人监听。套接字照样变成可写。"))
        try attempt(
            reads: say(
                "Writable means decided, not connected: whoever does not ask SO_ERROR takes this for a connection.",
                "可写只说明有了结果，不说明连上了：不查 SO_ERROR 的程序会把它当成连接。"))

        play.step(
            say(
                "3. A server listens whose queue is full: what comes now gets no answer, as from a machine that is switched off.",
                "3. 服务器在监听，但队列已满：再来的得不到任何回应，就像对方关了机。"))
        try listen(backlog: 0)
        _ = try crowd.call("crowd", [.string(endpoint.host), .int(Int(endpoint.port)), .int(8)], server: endpoint)
        try attempt(
            reads: say(
                "select returned 0: the time is over. A connect that blocks would try for more than two minutes.",
                "select 返回 0：时间到了。阻塞的 connect 会试上两分多钟。"))
    }

    private func listen(backlog: Int?) throws {
        do {
            try run(server, "bind", .string(endpoint.host), .int(Int(endpoint.port)), .bool(true))
        } catch let failure as NoAnswer {
            let code = try server.timeline.calls("bind").last?.error ?? 0
            throw Complaint.cannotServe("bind", code, failure.text, host: endpoint.host, port: endpoint.port)
        }
        if let found = try server.timeline.calls("bind").last?.found { endpoint.port = found.port }
        if let backlog { try run(server, "listen", .int(backlog)) } else { try run(server, "listen") }
        play.stage.settle(showsWaiting: false)
    }

    private func attempt(reads lesson: String) throws {
        let outcome = try connect()
        play.screen.print(Connecting.text(outcome, endpoint), .waiting)
        if play.stage.draws { play.screen.print(lesson) }
        play.pause()
    }

    private func connect() throws -> PendingCall.Outcome {
        try client.begin(
            "connect-with-timeout",
            [.string(endpoint.host), .int(Int(endpoint.port)), .int(Connecting.limit)])
        let patience = Connecting.limit / 1000 + 5
        let outcome = try client.poll(until: Deadline(in: Double(patience)))
        play.stage.settle(showsWaiting: false)
        if let outcome { return outcome }
        let waiting = try client.timeline.blocked.last?.callText
        throw CommandError(
            .notPassed,
            say("connectWithTimeout has not come back after \(patience) s", "过了 \(patience) 秒 connectWithTimeout 还没有返回")
                + (waiting.map { say(": it waits in \($0).", "：它阻塞在 \($0)。") } ?? say(".", "。")))
    }

    private static func text(_ outcome: PendingCall.Outcome, _ server: Endpoint) -> String {
        switch outcome {
        case .returned(.list(let facts)):
            if case .string(let peer)? = facts.last { return say("connected to \(peer)", "连上了 \(peer)") }
            return say("It returned a descriptor that is not connected.", "它返回了一个没有连上的描述符。")
        case .threw(_, _, let code, _) where code != 0:
            return say(
                "\(server.written): \(errorName(code)), \(errorText(code))",
                "\(server.written)：\(errorName(code))，\(errorText(code))")
        default: return "\(server.written): \(outcome.text)"
        }
    }

    private func run(_ caller: Caller, _ entry: String, _ arguments: Value...) throws {
        _ = try caller.call(entry, arguments, server: endpoint)
    }
}
