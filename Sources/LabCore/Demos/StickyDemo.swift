// sticky: three sends, one recv. A stream has no marks in it, and a pause between two sends is none.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension Demo {
    static let sticky = Demo(
        "sticky", Lesson05.slug,
        "three sends, one recv: messages stick together, and sleeping does not help",
        "三次 send，一次 recv：消息粘在一起，sleep 也没有用",
        port: 8888, [], isShow: true
    ) { play in
        let rounds = Rounds(play)
        play.introduce(
            say(
                "A client sends three messages. TCP carries bytes, in order, and nothing that says where a send began: the "
                    + "kernel keeps what has arrived (┆) until somebody receives it.",
                "客户端发送三条消息。TCP 只按顺序传送字节，不记得每次 send 从哪里开始：到达的字节放在内核里（┆），等人来收。"))
        play.stage.heading(left: say("client", "客户端"), right: say("server", "服务器"))
        try rounds.open()
        play.step(
            say("1. Three sends; then the server gets round to receiving.", "1. 连发三次；之后服务器才腾出手来接收。"))
        try rounds.glued(pause: 0)
        play.step(
            say(
                "2. \"Then sleep between the sends.\" The server is busy a little longer than that: the same again.",
                "2. “那就在两次发送之间 sleep 一下。”服务器忙的时间只要再长一点，结果照旧。"))
        try rounds.glued(pause: 100)
        play.step(
            say(
                "3. The server waits in recv the whole time: now the sleep seems to help. That is how the mistake gets past "
                    + "its author, and fails at the first busy moment.",
                "3. 服务器一直等在 recv 里：这回 sleep 好像有用。这个错误就是这样瞒过作者的，一忙起来就出错。"))
        try rounds.apart(pause: 100)
        if !play.options.quiet { play.screen.print([StyledText()]) }
        play.screen.print(
            say(
                "Messages need marks of their own: an end (a newline) or a length in front. lab run framing",
                "消息要有自己的边界标记：结尾（换行符），或者前面的长度。见 lab run framing"), .strong)
    }
}

private final class Rounds {
    private let play: Play
    private let client: Caller
    private let server: Caller
    private let messages = ["one", "two", "three"].map { Array($0.utf8) }
    private var endpoint: Endpoint

    init(_ play: Play) {
        self.play = play
        client = Caller(play, play.helper)
        server = Caller(play, play.helper, side: .right)
        endpoint = Endpoint(host: play.host, port: play.port)
    }

    func open() throws {
        do {
            _ = try run(server, "bind", .string(endpoint.host), .int(Int(endpoint.port)), .bool(true))
        } catch let failure as NoAnswer {
            let code = try server.timeline.calls("bind").last?.error ?? 0
            throw Complaint.cannotServe("bind", code, failure.text, host: endpoint.host, port: endpoint.port)
        }
        if let found = try server.timeline.calls("bind").last?.found { endpoint.port = found.port }
        _ = try run(server, "listen")
        _ = try run(client, "connect", .string(endpoint.host), .int(Int(endpoint.port)))
        _ = try run(server, "accept")
        play.stage.settle(showsWaiting: false)
    }

    /// The server receives once, after everything has been sent: it had something else to do.
    func glued(pause: Int) throws {
        _ = try send(pause: pause)
        let received = try [try run(server, "receive", .int(1024))].bytes(0)
        play.stage.settle(showsWaiting: false)
        tell([received])
    }

    /// The server receives all the time.
    func apart(pause: Int) throws {
        try server.begin("receive-all", [.int(messages.joined().count)])
        _ = try send(pause: pause)
        let parts = try [try server.outcome(server: endpoint)].list(0)
        play.stage.settle(showsWaiting: false)
        tell(try parts.indices.map { try parts.bytes($0) })
    }

    private func send(pause: Int) throws -> Value {
        try run(client, "send", .list(messages.map(Value.bytes)), .int(pause))
    }

    private func tell(_ received: [[UInt8]]) {
        let list = received.map { shownText($0, total: $0.count, room: 40) }.joined(separator: ", ")
        play.screen.print(
            say(
                "3 sends, \(received.count) recv: \(list)", "send 3 次，recv \(received.count) 次：\(list)"), .waiting)
        play.pause()
    }

    private func run(_ caller: Caller, _ entry: String, _ arguments: Value...) throws -> Value {
        try caller.call(entry, arguments, server: endpoint)
    }
}
