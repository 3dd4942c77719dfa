// robust-client: one client on a bad day. Nobody listens; then a server says nothing; then one resets; then one works. The
// client's attempts, waits and errors are told by name.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension Demo {
    static let robustClient = Demo(
        "robust-client", Lesson11.slug,
        "a server refuses, answers slowly, resets, then works; the client tells each attempt and wait",
        "服务器先拒绝、再拖延、再重置、最后正常；客户端说出每次尝试和等待", port: 12000, [.client, .mine], isShow: true
    ) { play in
        let day = BadDay(play)
        if let server = play.options.client { try day.show(only: server) } else { try day.show() }
    }
}

private final class BadDay {
    private let play: Play
    /// `connectWithRetry`, `sendWithRetry`, `receiveWithTimeout`, one after another.
    private let client: Caller
    private let server: Caller
    private var endpoint: Endpoint
    private var telling = RetryTelling()

    private let policy = RetryPolicy(
        attempts: 10, firstWait: 200, longestWait: 1600, connectTimeout: 2000, timeout: 20_000)
    private let message = Array("hello\n".utf8)
    /// For sending, and for the answer (ms).
    private let limit = 1500

    init(_ play: Play) {
        self.play = play
        client = Caller(play, play.subject)
        server = Caller(play, play.helper, side: .right)
        endpoint = Endpoint(host: play.host, port: play.port)
    }

    private func begin(_ right: String) throws {
        play.introduce(
            say(
                "A client that expects errors: it tries up to \(policy.attempts) times, waits at random and twice as long each "
                    + "time, and gives each answer \(limit) ms.",
                "一个对错误有准备的客户端：最多尝试 \(policy.attempts) 次，等待时间随机且每次翻倍，每个回答最多等 \(limit) ms。"))
        play.stage.heading(left: say("client (\(play.author))", "客户端（\(play.author)）"), right: right)
        try client.start()
    }

    /// One exchange with somebody's server.
    func show(only server: Endpoint) throws {
        endpoint = server
        try begin(server.written)
        try ask()
        let patience = Double(policy.timeout + 2 * limit) / 1000 + 5
        guard let outcome = try awaitOutcome(until: Deadline(in: patience)) else { throw tooSlow(patience) }
        play.stage.settle(showsWaiting: false)
        guard case .returned(.list(let facts)) = outcome, case .bytes(let answer)? = facts.first else {
            throw CommandError.failure(text(outcome))
        }
        play.screen.print(text(outcome), .waiting)
        if !answer.isEmpty { play.screen.answer(answer) }
    }

    func show() throws {
        try begin(say("server", "服务器"))
        play.step(
            say(
                "1. Nobody listens. ECONNREFUSED is not for ever: each wait is longer than the one before.",
                "1. 没有人监听。ECONNREFUSED 不是永远的：每次等待都比上一次久。"))
        try bind()
        try ask()
        try awaitRefusals(3)
        play.step(
            say(
                "2. Now a server listens. It accepts, and says nothing: the client waits for \(limit) ms, and no longer.",
                "2. 现在有服务器在监听了。它接受连接，却一声不吭：客户端等 \(limit) ms，不会更久。"))
        try run("listen")
        try accept()
        try finish("timedOut")
        try run("close")

        play.step(
            say(
                "3. It accepts again, reads the question, and resets: that is an error, and no end.",
                "3. 它又接受了连接，读了问题，然后重置：这是错误，不是结束。"))
        try ask()
        try accept()
        try run("receive", .int(1024))
        try run("reset")
        try finish("broken(code: \(ECONNRESET))")

        play.step(say("4. It works.", "4. 终于正常。"))
        try ask()
        try accept()
        try run("receive", .int(1024))
        try run("send", .list([.bytes(Array("HELLO\n".utf8))]), .int(0))
        try finish("complete")
        try run("close")
        play.stage.settle(showsWaiting: false)
    }

    // MARK: The server

    private func bind() throws {
        do {
            try run("bind", .string(endpoint.host), .int(Int(endpoint.port)), .bool(true))
        } catch let failure as NoAnswer {
            let code = try server.timeline.calls("bind").last?.error ?? 0
            throw Complaint.cannotServe("bind", code, failure.text, host: endpoint.host, port: endpoint.port)
        }
        if let found = try server.timeline.calls("bind").last?.found { endpoint.port = found.port }
    }

    private func run(_ entry: String, _ arguments: Value...) throws {
        _ = try server.call(entry, arguments, server: endpoint)
    }

    /// A student's client may have given up before it came.
    private func accept() throws {
        try server.begin("accept", [])
        let deadline = Deadline(in: 15)
        while try server.poll(until: Deadline(in: 0.05)) == nil {
            if let outcome = try awaitOutcome(until: Deadline(in: 0)) { throw gaveUp(outcome) }
            if deadline.hasPassed { throw tooSlow(15) }
        }
    }

    // MARK: The client

    private func ask() throws {
        let numbers = [
            policy.attempts, policy.firstWait, policy.longestWait, policy.connectTimeout, policy.timeout,
        ]
        try client.begin(
            "exchange",
            [.string(endpoint.host), .int(Int(endpoint.port))] + numbers.map { .int($0) }
                + [.bytes(message), .int(message.count), .int(limit)])
    }

    private func awaitRefusals(_ count: Int) throws {
        let deadline = Deadline(in: 15)
        while telling.failures < count {
            if let outcome = try awaitOutcome(until: Deadline(in: 0.05)) { throw gaveUp(outcome) }
            if deadline.hasPassed { throw tooSlow(15) }
        }
        play.stage.settle(showsWaiting: false)
    }

    /// What it came back with, or nil. What it does meanwhile is told as it happens, unless it is drawn.
    private func awaitOutcome(until deadline: Deadline) throws -> PendingCall.Outcome? {
        while true {
            let outcome = try client.poll(until: Deadline(in: 0.05))
            let told = telling.next(try client.timeline)
            if !play.stage.draws { for line in told { play.screen.print(line) } }
            if outcome != nil || deadline.hasPassed { return outcome }
        }
    }

    /// - Parameter ending: what a right client comes back with.
    private func finish(_ ending: String) throws {
        guard let outcome = try awaitOutcome(until: Deadline(in: 10)) else { throw tooSlow(10) }
        play.stage.settle(showsWaiting: false)
        guard case .returned(.list(let facts)) = outcome, facts.last == .string(ending) else { throw gaveUp(outcome) }
        if play.stage.draws { play.screen.print(text(outcome), .waiting) }
        play.pause()
    }

    private func text(_ outcome: PendingCall.Outcome) -> String {
        guard case .returned(.list(let facts)) = outcome, facts.count == 2, case .bytes(let bytes) = facts[0],
            case .string(let ending) = facts[1]
        else { return "\(endpoint.written): \(outcome.text)" }
        switch ending {
        case "complete": return say("The answer is whole: \(quoted(bytes)).", "回答收全了：\(quoted(bytes))。")
        case "timedOut":
            return say(
                "No more within \(limit) ms (.timedOut), after \(byteCount(bytes.count)).",
                "收到 \(byteCount(bytes.count)) 之后，\(limit) ms 内没有更多（.timedOut）。")
        case "endOfStream":
            return say(
                "The server ended the stream (.endOfStream), after \(byteCount(bytes.count)).",
                "收到 \(byteCount(bytes.count)) 之后，服务器结束了流（.endOfStream）。")
        default:
            // `broken(code: 104)`
            let code = Int32(ending.filter(\.isNumber)) ?? 0
            return say(
                "The connection broke (.broken, \(errorName(code))), after \(byteCount(bytes.count)).",
                "收到 \(byteCount(bytes.count)) 之后，连接断了（.broken，\(errorName(code))）。")
        }
    }

    private func gaveUp(_ outcome: PendingCall.Outcome) -> CommandError {
        CommandError(
            .notPassed,
            say("The client came back with something else: ", "客户端返回的不是该有的结果：") + text(outcome))
    }

    private func tooSlow(_ seconds: Double) -> CommandError {
        let waiting = (try? client.timeline)?.blocked.last?.callText
        return CommandError(
            .notPassed,
            say("The client has not come back after \(Int(seconds)) s", "过了 \(Int(seconds)) 秒客户端还没有返回")
                + (waiting.map { say(": it waits in \($0).", "：它阻塞在 \($0)。") } ?? say(".", "。")))
    }
}

/// The calls of a client that retries, as a person tells them: attempts, waits, and errors by name.
struct RetryTelling {
    /// Attempts that have failed.
    private(set) var failures = 0
    private var told = 0
    private var attempts = 0
    /// A connect is under way.
    private var isConnecting = false

    /// Lines for the calls that have returned since it was asked last.
    mutating func next(_ timeline: Timeline) -> [String] {
        var lines: [String] = []
        while told < timeline.calls.count, timeline.calls[told].returned != nil {
            if let line = line(timeline.calls[told]) { lines.append(line) }
            told += 1
        }
        return lines
    }

    private mutating func line(_ call: Call) -> String? {
        switch call.name {
        case "connect":
            attempts += 1
            isConnecting = call.failed && (call.error == EINPROGRESS || call.error == EINTR)
            return isConnecting ? nil : decided(call.error)
        case "getsockopt":
            guard isConnecting, let code = call.pendingError else { return nil }
            return decided(code)
        case "sleep", "usleep", "nanosleep":
            return say("wait \(call.arguments.0) ms", "等待 \(call.arguments.0) ms")
        case _ where call.isWait:
            guard call.result == 0, call.arguments.0 > 0 else { return nil }
            return isConnecting ? decided(ETIMEDOUT) : say("nothing came within the time", "时限内没有动静")
        case _ where call.isSend || call.isReceive:
            if call.failed { return call.error == EAGAIN || call.error == EINTR ? nil : failed(call.name, call.error) }
            if call.isSend { return say("sent \(byteCount(Int(call.result)))", "发送了 \(byteCount(Int(call.result)))") }
            if call.result == 0 { return say("the stream has ended", "流结束了") }
            return say("received \(byteCount(Int(call.result)))", "收到 \(byteCount(Int(call.result)))")
        default: return nil
        }
    }

    private mutating func decided(_ code: Int32) -> String {
        isConnecting = false
        let attempt = say("attempt \(attempts)", "第 \(attempts) 次尝试")
        guard code != 0 else {
            attempts = 0
            return say("\(attempt): connected", "\(attempt)：连上了")
        }
        failures += 1
        return failed(attempt, code)
    }

    private func failed(_ what: String, _ code: Int32) -> String {
        say("\(what): \(errorName(code)), \(errorText(code))", "\(what)：\(errorName(code))，\(errorText(code))")
    }
}
