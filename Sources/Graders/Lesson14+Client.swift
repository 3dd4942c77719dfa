// Lesson 14: the chat client. The grader plays servers of every kind on raw sockets, and looks at each frame that the
// client sends; then the client talks to servers that are real.
import Course
import GraderKit
import Sockets
import Wire

let chatClientChecks: [Check] = [
    Check("client-conversation") { trial in
        let play = try trial.beginChatClient([
            login("ann"), say14("hi"), receive(3), say14("\"再见\"\n"), ["logout"].step, ["close"].step,
        ])
        let server = try play.accept()
        try server.expect(.login(username: "ann"))
        try server.send(.loginResponse(refusal: nil))
        try server.expect(.chat(content: "hi"))
        let line = ChatLine(id: 8, username: "ann", content: "hi", timestamp: 1_766_000_000.25)
        try server.send(.userJoined(username: "bob"), .chatMessage(line), .userLeft(username: "bob"))
        try server.expect(.chat(content: "\"再见\"\n"), .logout)
        try server.send(.logoutResponse)
        try server.expectEnd()
        try trial.expect(
            play,
            returns: [loggedIn]
                + heard(.userJoined(username: "bob"), .chatMessage(line), .userLeft(username: "bob")))
        play.call.subject.catchUp()
        guard let again = play.call.subject.timeline.calls("close").first(where: { $0.error == EBADF }) else { return }
        throw Failure(
            expected: say("its descriptor is closed once, by logout", "描述符只关闭一次，由 logout 关闭"),
            got: say("\(again.callText) once more, by close", "close 又调用了一次 \(again.callText)"), cause: "closed-twice")
    },
    Check("client-refused") { trial in
        let play = try trial.beginChatClient([
            login("ann"), login(""), login("bob"), login("bob"), receive(3), ["logout"].step,
        ])
        let server = try play.accept()
        try server.expect(.login(username: "ann"))
        try server.send(.loginResponse(refusal: .nameTaken))
        try server.expectAgain(.login(username: ""))
        try server.send(.loginResponse(refusal: .badName))
        try server.expectAgain(.login(username: "bob"))
        try server.send(.loginResponse(refusal: nil))
        // A member that logs in again is told so by an error; what is said meanwhile is kept.
        try server.expect(.login(username: "bob"))
        let meanwhile = [said(1, "eve", "mean"), .userJoined(username: "fay"), said(2, "eve", "while")]
        for message in meanwhile { try server.send(message) }
        try server.send(.error(.alreadyLoggedIn))
        try play.expectLogout(server)
        try server.send(.logoutResponse)
        try trial.expect(
            play,
            returns: [refused(.nameTaken), refused(.badName), loggedIn, refused(.alreadyLoggedIn)]
                + meanwhile.map(\.value))
    },
    Check("client-pieces", suspects: [.oneReceiveOneChat]) { trial in
        let messages: [ChatMessage] = [
            said(1, "a", "one"), said(2, "b", "二"), .userLeft(username: "b"), .error(.badContent), said(3, "a", ""),
        ]
        let play = try trial.beginChatClient([login("ann"), receive(messages.count * 2), ["close"].step])
        let server = try play.accept()
        try server.expect(.login(username: "ann"))
        // The answer and what comes behind it, byte by byte; then all in one piece.
        let bytes = messages.flatMap { framed(writeMessage($0)) }
        do {
            for byte in framed(writeMessage(.loginResponse(refusal: nil))) + bytes { try server.stream.send([byte]) }
            try server.stream.send(bytes)
        } catch is Failure {
            // It has hung up: what it came back with says why.
        }
        try trial.expect(play, returns: [loggedIn] + (messages + messages).map(\.value))
    },
    Check("client-unknown-types") { trial in
        let play = try trial.beginChatClient([login("ann"), receive(2), ["logout"].step])
        let server = try play.accept()
        try server.expect(.login(username: "ann"))
        let news = #"{"type":"weather","username":7,"content":{"sky":["blue"]}}"#
        try server.send(json: news, #"{"type":"login_response","success":true,"message":"hi","users":3}"#, news)
        try server.send(said(1, "a", "one"))
        try server.send(json: news, news)
        try server.send(said(2, "a", "two"))
        do { try server.expect(.logout) } catch var failure as Failure {
            if try play.call.isOver(within: 1), case .threw("MessageError", let name, _, _) = try play.call.outcome(),
                name.hasPrefix("badMessage")
            {
                failure.cause = "unknown-type-taken-for-bad"
            }
            throw failure
        }
        try server.send(json: news)
        try server.send(said(3, "a", "not waited for"), .logoutResponse)
        try server.expectEnd()
        try trial.expect(play, returns: [loggedIn] + heard(said(1, "a", "one"), said(2, "a", "two")))
    },
    Check("client-end") { trial in
        let play = try trial.beginChatClient([login("ann"), receive(2)])
        let server = try play.accept()
        try server.expect(.login(username: "ann"))
        try server.send(.loginResponse(refusal: nil), said(1, "a", "one"))
        server.stream.halfClose()
        try trial.expect(play, returns: [loggedIn] + heard(said(1, "a", "one")) + [ended])
        // Within a frame it is no end, but a break.
        for count in [2, 20] {
            let play = try trial.beginChatClient([login("ann"), receive(1)])
            let server = try play.accept()
            try server.expect(.login(username: "ann"))
            try server.stream.send(
                framed(writeMessage(.loginResponse(refusal: nil)))
                    + framed(writeMessage(said(1, "a", "one"))).prefix(count))
            server.stream.halfClose()
            try trial.expect(play, throws: ECONNRESET, cause: "half-frame-is-no-end")
            try server.expectClosedByClient()
        }
    },
    Check("client-reset", suspects: [.breakUnnoticed]) { trial in
        // While it waits in receive: by its chat it has said that it has taken the answer.
        let waiting = try trial.beginChatClient([login("ann"), say14("hi"), receive(1)])
        let breaker = try waiting.accept()
        try breaker.expect(.login(username: "ann"))
        try breaker.send(.loginResponse(refusal: nil))
        try breaker.expect(.chat(content: "hi"))
        breaker.stream.reset()
        try trial.expect(waiting, throws: ECONNRESET)
        // And while it talks, more than fits in: behind the end of the stream a reset makes send fail with EPIPE.
        let text = String(repeating: "x", count: 4000)
        let talking = try trial.beginChatClient(
            [login("ann")] + Array(repeating: say14(text), count: 250), plan: FaultPlan.none, smallBuffers: true)
        let deaf = try talking.accept()
        try deaf.expect(.login(username: "ann"))
        try deaf.send(.loginResponse(refusal: nil))
        try deaf.expect(.chat(content: text))
        deaf.stream.halfClose()
        deaf.stream.reset()
        let expected = say("chat throws SocketError, EPIPE or ECONNRESET", "chat 抛出 SocketError：EPIPE 或 ECONNRESET")
        switch try talking.call.outcome(expecting: expected) {
        case .threw("SocketError", _, EPIPE, _), .threw("SocketError", _, ECONNRESET, _): return
        case let outcome: throw Failure(expected: expected, got: outcome.text)
        }
    },
    Check("client-no-answer") { trial in
        for steps in [[login("ann")], [login("ann"), ["logout"].step]] {
            // One server says something else, again and again, and the other nothing. With a plan each client has a process of
            // its own, so that both wait at the same time.
            let plays = try (0..<2).map { _ in try trial.beginChatClient(steps, plan: FaultPlan.none) }
            let servers = try plays.map { play in
                let server = try play.accept()
                try server.expect(.login(username: "ann"))
                if steps.count == 2 {
                    try server.send(.loginResponse(refusal: nil))
                    try server.expect(.logout)
                }
                return server
            }
            try servers[0].talk(past: plays[0])
            for (play, server) in zip(plays, servers) {
                try trial.expect(play, throws: ETIMEDOUT, cause: "waits-for-answer-for-ever")
                try server.expectClosedByClient()
            }
        }
        // The server leaves in place of an answer.
        for steps in [[login("ann")], [login("ann"), ["logout"].step]] {
            let play = try trial.beginChatClient(steps)
            let server = try play.accept()
            try server.expect(.login(username: "ann"))
            if steps.count == 2 {
                try server.send(.loginResponse(refusal: nil))
                try server.expect(.logout)
            }
            server.stream.close()
            try trial.expect(play, throws: ECONNRESET, cause: "end-taken-for-answer")
        }
    },
    Check("client-bad-frames") { trial in
        let bad: [([UInt8], String, String)] = [
            (bigEndianBytes(UInt32(65_537)), "FramingError", "tooLong"),
            ([0xFF, 0xFF, 0xFF, 0xFF], "FramingError", "tooLong"),
            (framed(Array("hello".utf8)), "MessageError", "badMessage"), (framed([]), "MessageError", "badMessage"),
            (framed(Array(#"{"type":"user_left"}"#.utf8)), "MessageError", "badMessage"),
        ]
        for (bytes, type, name) in bad {
            let play = try trial.beginChatClient([login("ann"), receive(1)])
            let server = try play.accept()
            try server.expect(.login(username: "ann"))
            try server.stream.send(framed(writeMessage(.loginResponse(refusal: nil))) + bytes)
            let expected = say("receive throws \(type).\(name) for ", "receive 抛出 \(type).\(name)：") + hexText(bytes)
            guard case .threw(type, let got, _, _) = try play.call.outcome(expecting: expected), got.hasPrefix(name)
            else {
                throw Failure(expected: expected, got: try play.call.outcome().text)
            }
            try server.expectClosedByClient()
        }
    },
    Check("client-no-server") { trial in
        let port = try trial.freePort(SOCK_STREAM)
        let process = try trial.launch()
        var before: Int?
        for _ in 0..<5 {
            let call = try trial.begin(
                "chat-client", [.string("127.0.0.1"), .int(Int(port)), .list([login("ann")])], in: process)
            let expected = say("SocketError ECONNREFUSED", "SocketError ECONNREFUSED")
            switch try call.outcome() {
            case .threw("SocketError", _, ECONNREFUSED, _): before = before ?? process.descriptorCount
            case let outcome: throw Failure(expected: expected, got: outcome.text)
            }
        }
        // Interrupted, connect goes on by itself, and is refused: openClient says so, and not the first word.
        let interrupted = try trial.begin(
            "chat-client", [.string("127.0.0.1"), .int(Int(port)), .list([])], plan: .fail(.connect, with: EINTR))
        let expected = say("openClient throws SocketError ECONNREFUSED", "openClient 抛出 SocketError ECONNREFUSED")
        switch try interrupted.outcome(expecting: expected) {
        case .threw("SocketError", _, ECONNREFUSED, _): break
        case let outcome: throw Failure(expected: expected, got: outcome.text)
        }
        let more = process.descriptorCount - (before ?? 0)
        guard more <= 0 else {
            throw Failure(
                expected: say("no descriptor stays open", "没有描述符留着不关"),
                got: say("\(more) more are open", "多开了 \(more) 个"),
                cause: "connection-leak")
        }
    },
    Check("client-bad-day", suspects: [.readsPastTheEnd]) { trial in
        let calls: [FaultPlan.Calls] = [.connect, .receive, .send, .waitReady]
        let interrupted = calls.map { FaultPlan.fail($0, 1, through: 2, with: EINTR) }.reduce(.none, +)
        // Where connect is interrupted, too, it waits behind that already.
        let later = calls.dropFirst().map { FaultPlan.fail($0, 1, through: 2, with: EINTR) }.reduce(.none, +)
        for plan in [interrupted, later, .most(1, each: .send) + .most(2, each: .receive)] {
            let play = try trial.beginChatClient(
                [login("ann"), say14(String(repeating: "long ", count: 200)), receive(1), ["logout"].step], plan: plan)
            let server = try play.accept()
            try server.expect(.login(username: "ann"))
            try server.send(.loginResponse(refusal: nil))
            try server.expect(.chat(content: String(repeating: "long ", count: 200)))
            try server.send(said(1, "ann", "long"))
            try server.expect(.logout)
            try server.send(.logoutResponse)
            try trial.expect(play, returns: [loggedIn] + heard(said(1, "ann", "long")))
        }
        // errno is EINTR when recv returns 0: the end of the stream all the same.
        let play = try trial.beginChatClient([login("ann"), receive(1)], plan: .fail(.receive, every: 2, with: EINTR))
        let server = try play.accept()
        try server.expect(.login(username: "ann"))
        try server.send(.loginResponse(refusal: nil))
        server.stream.halfClose()
        try trial.expect(play, returns: [loggedIn, ended])
    },
    Check("client-reference-server") { trial in
        let reference = try Companion(trial, Lesson14.slug)
        try trial.talk(in: try reference.serve("chat-server"), servedBy: reference.subject)
    },
    Check("client-own-server") { trial in
        let server = try trial.serve(chatServer14)
        try trial.talk(in: server.address, servedBy: server.subject)
    },
]

private func login(_ name: String) -> Value { ["login", name].step }
private func say14(_ content: String) -> Value { ["chat", content].step }
private func receive(_ count: Int) -> Value { .list([.string("receive"), .int(count)]) }

extension [String] {
    fileprivate var step: Value { .list(map { .string($0) }) }
}

// Parts of what `chat-client` answers.
private let loggedIn = ["login"].step
private let ended = ["end"].step
private func refused(_ problem: ChatProblem) -> Value { ["refused", problem.rawValue].step }
private func heard(_ messages: ChatMessage...) -> [Value] { messages.map(\.value) }

extension PendingCall {
    /// The only thing that it has sent was answered, and it hung up.
    fileprivate func closedAfterFirstAnswer() -> Bool {
        subject.catchUp()
        let calls = subject.timeline.calls
        guard let send = calls.first(where: \.isSend), calls.filter(\.isSend).count == 1,
            let answer = calls.last(where: { $0.isReceive && $0.descriptor == send.descriptor }), answer.result > 0
        else { return false }
        return calls.contains { $0.name == "close" && $0.descriptor == send.descriptor }
    }
}

extension Trial {
    /// Three clients of the student's in one room, each in a process of its own.
    fileprivate func talk(in address: SocketAddress, servedBy server: Subject) throws {
        // A member of the grader's keeps time: it hears what has happened.
        let clock = ChatPeer(try streamClient(to: address, of: server), self)
        try clock.send(.login(username: "clock"))
        try clock.expect(.loginResponse(refusal: nil))
        func client(_ steps: [Value]) throws -> PendingCall {
            try begin(
                "chat-client", [.string(address.host), .int(Int(address.port)), .list(steps)], in: try launch())
        }
        // It hears both others say one thing, and the clock.
        let first = try client([login("ann"), receive(5), ["logout"].step])
        try clock.expect(.userJoined(username: "ann"))
        let second = try client([login("ann"), login("bob"), say14("I am bob"), receive(4), ["logout"].step])
        do { try clock.expect(.userJoined(username: "bob"), said(1, "bob", "I am bob")) } catch var failure as Failure {
            if failure.cause == nil, second.closedAfterFirstAnswer() { failure.cause = "closes-after-no" }
            throw failure
        }
        let third = try client([login("eve"), say14("hello, 大家好"), receive(3), ["close"].step])
        try clock.expect(.userJoined(username: "eve"), said(2, "eve", "hello, 大家好"))
        try clock.chat("the end")
        do { try clock.expect(said(3, "clock", "the end")) } catch var failure as Failure {
            // Another member has heard it.
            let isHeard = try? first.value().text.contains("the end")
            if failure.cause == nil, isHeard == true { failure.cause = "sender-not-told" }
            throw failure
        }
        /// Whoever joins now is sent nothing of what was said.
        func isHistoryMissing() throws -> Bool {
            let visitor = ChatPeer(try streamClient(to: address, of: server), self)
            try visitor.send(.login(username: "visitor"))
            do { try visitor.expect(.loginResponse(refusal: nil)) } catch is Failure { return false }
            do {
                if case .message(.chatMessage) = try visitor.nextMessage("") { return false }
            } catch is Failure {}
            return true
        }
        let end = [said(1, "bob", "I am bob"), said(2, "eve", "hello, 大家好"), said(3, "clock", "the end")]
        func check(_ name: String, _ call: PendingCall, _ wanted: [Value]) throws {
            let got = try [call.value()].list(0).map(timeless)
            guard got != wanted else { return }
            try expect(
                Value.list(got).text, equals: Value.list(wanted).text,
                say("what \(name) got", "\(name) 收到的"), cause: isHistoryMissing() ? "history-not-sent" : nil)
        }
        let joined: [ChatMessage] = [
            .userJoined(username: "bob"), end[0], .userJoined(username: "eve"), end[1], end[2],
        ]
        try check("ann", first, [["login"].step] + joined.map { timeless($0.value) })
        try check(
            "bob", second,
            [["refused", "name_taken"].step, ["login"].step]
                + joined[1...].map { timeless($0.value) })
        try check("eve", third, [["login"].step] + [end[0], end[1], end[2]].map { timeless($0.value) })
    }
}

/// Without its last part, if it is a chat message: that is the time.
private func timeless(_ value: Value) -> Value {
    guard case .list(let parts) = value, parts.first == .string("chat_message") else { return value }
    return .list(Array(parts.dropLast()))
}
