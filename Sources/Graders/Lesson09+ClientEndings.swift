// Grader of lesson 09, the client: how a connection ends, and what is left of it. lesson.json describes each check.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

let clientEndingChecks: [Check] = [
    Check("client-server-closes", suspects: [.clientKeptClose] + Cause.client) { trial in
        for (code, reason) in [(1001, "going away"), (4321, ""), (nil, "")] as [(UInt16?, String)] {
            let play = try trial.beginClient(steps: [receiveStep, receiveStep])
            let server = try play.accept()
            try server.send("last words")
            try server.sendClose(code, reason)
            try server.expectClose(
                code, cause: "close-code-not-returned", causeIfLate: "close-not-answered",
                causeIfEnded: "close-not-answered")
            try server.stream.expectEnd()
            server.stream.close()
            try trial.expect(
                play.call, returns: [eventValue("text", Array("last words".utf8)), closedEvent(code, reason)])
        }
    },
    Check("client-closes", suspects: Cause.client) { trial in
        let play = try trial.beginClient(steps: [.list([.string("text"), .bytes([0x78])]), closeStep(3000, "done")])
        let server = try play.accept()
        try server.expect("x")
        let frame = try server.nextFrame("close 3000 \"done\"")
        try server.checkMask(frame)
        try trial.expect(frame.text, equals: "close 3000 \"done\"", say("the close frame", "关闭帧"))
        // Under way when the server heard of it: nobody asks for them any more.
        try server.send("too late")
        try server.send(.ping, [1])
        try server.sendClose(3000, "fine")
        server.stream.halfClose()
        try trial.expect(play.call, returns: [closedEvent(3000, "fine")])
        try server.expectSilentEnd()
        // Who has closed says nothing more, whichever side began.
        for isFirst in [true, false] {
            let step = isFirst ? closeStep(1000) : receiveStep
            let play = try trial.beginClient(steps: [step, .list([.string("text"), .bytes([0x78])])])
            let server = try play.accept()
            if isFirst {
                try server.answerClose(1000)
            } else {
                try server.sendClose(1000)
                try server.expectClose(1000, causeIfEnded: "close-not-answered")
            }
            try server.expectSilentEnd()
            server.stream.close()
            // Whether send throws then is its own affair.
            _ = try play.call.outcome()
        }
    },
    Check("client-close-unanswered", suspects: Cause.client) { trial in
        let play = try trial.beginClient(steps: [closeStep(1000)])
        let server = try play.accept()
        let frame = try server.nextFrame("close 1000")
        try trial.expect(frame.text, equals: "close 1000", say("the close frame", "关闭帧"))
        let stillWaits = Failure(
            expected: say("SocketError: ", "SocketError：") + errorText(ETIMEDOUT),
            got: say("it still waits, while other messages come", "别的消息不断到来，它还在等"),
            cause: "waits-for-close-for-ever")
        // It says other things, again and again, and never close: a patience that begins anew with each has no end.
        let deadline = Deadline(in: 2 * Deadline.patience)
        let chatter = server.frame(.text, Array("I have not finished".utf8))
        repeat {
            // The client may hang up between two of them.
            do { _ = try server.stream.sendWhatFits(chatter) } catch is Failure {}
            guard !deadline.hasPassed else {
                throw stillWaits
            }
        } while try !play.call.isOver(within: 0.25)
        do {
            try trial.expect(play.call, throwsSocketError: ETIMEDOUT, cause: "waits-for-close-for-ever")
        } catch var failure as Failure {
            if failure.got.hasPrefix(say("returned", "返回")), failure.got.contains("\"close\"") {
                failure.cause = "close-invented"
            }
            throw failure
        }
        // By the program's own calls: how long the grader took to look does not count.
        let calls = play.call.subject.timeline.calls
        if let said = calls.first(where: { $0.isSend && $0.data.first == 0x88 }),
            let end = calls.first(where: {
                $0.entered > said.entered && $0.descriptor == said.descriptor && $0.process == said.process
                    // It may end its own side at once, and still wait.
                    && ($0.name == "close" || $0.name == "shutdown" && $0.arguments.0 != Int64(SHUT_WR as Int32))
            })
        {
            // Its clock may have begun before it sent, but not before the call before that was over.
            let before = calls.last { $0.thread == said.thread && $0.returned ?? .max <= said.entered }
            let took = Int(end.entered - (before?.returned ?? said.entered)) / 1_000_000
            guard took >= Lesson09.closePatience - 200 else {
                throw Failure(
                    expected: say(
                        "it waits \(Lesson09.closePatience) ms for the server's close",
                        "等服务器的关闭帧 \(Lesson09.closePatience) ms"),
                    got: say("it gave up after \(took) ms", "\(took) ms 后就放弃了"), cause: "gives-up-too-early")
            }
        }
        try server.expectDropped()
        // One that says nothing at all, and one that never stops: its words are there whenever the time is looked at.
        for isSilent in [true, false] {
            let play = try trial.beginClient(steps: [closeStep(1000)])
            let server = try play.accept()
            _ = try server.nextFrame("close 1000")
            if !isSilent {
                let words = [UInt8](repeatElement(chatter, count: 20_000).joined())
                let deadline = Deadline(in: 2 * Deadline.patience)
                var sent = 0
                do {
                    // Without a gap: in the shortest one a client may find the time to look at its clock.
                    while !deadline.hasPassed, try !play.call.isOver(within: 0) {
                        sent =
                            (sent + (try server.stream.sendWhatFits(Array(words[sent...].prefix(1 << 16)))))
                            % words.count
                    }
                } catch is Failure {
                    // The client has hung up.
                }
                guard try play.call.isOver(within: 0) || !deadline.hasPassed else { throw stillWaits }
            }
            try trial.expect(play.call, throwsSocketError: ETIMEDOUT, cause: "waits-for-close-for-ever")
            try server.expectDropped()
        }
    },
    Check("client-broken-server", suspects: Cause.client) { trial in
        let cases: [(what: String, bytes: [UInt8], code: UInt16, error: String)] = [
            (say("a masked frame", "带掩码的帧"), [0x81, 0x81, 1, 2, 3, 4, 0x79], 1002, "protocolError"),
            (say("opcode 3", "操作码 3"), [0x83, 0], 1002, "protocolError"),
            (say("a text that is not UTF-8", "不是 UTF-8 的文本"), [0x81, 2, 0xC3, 0x28], 1007, "invalidText"),
            (
                say("a frame of 2^40 bytes", "2^40 字节的帧"), [0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0], 1009, "tooLong"
            ),
        ]
        for (what, bytes, code, error) in cases {
            let play = try trial.beginClient(steps: [receiveStep])
            let server = try play.accept()
            trial.note(what)
            try server.stream.send(bytes)
            try server.expectClose(code, cause: "error-not-told")
            server.stream.halfClose()
            try trial.expect(play.call, throws: "WebSocketError", error, cause: nil)
            try server.expectDropped()
        }
    },
    Check("client-endless-message", suspects: Cause.client) { trial in
        // Fragments without end: never over the limit in one frame, but together.
        let play = try trial.beginClient(steps: [receiveStep])
        let server = try play.accept()
        let part = [UInt8](repeating: UInt8(ascii: "x"), count: 4 << 20)
        try server.send(.binary, part, isFinal: false)
        for _ in 0..<15 { try server.send(.continuation, part, isFinal: false) }
        // 64 MiB, and now one byte more.
        try server.send(.continuation, [0], isFinal: false)
        try server.expectClose(1009, cause: "error-not-told", causeIfLate: "message-limit-ignored")
        server.stream.halfClose()
        try trial.expect(play.call, throws: "WebSocketError", "tooLong", cause: nil)
    },
    Check("client-abrupt-end", suspects: Cause.client) { trial in
        // In the middle of the answer, before it, in the middle of a frame, between frames.
        for part in [0, 40] {
            let play = try trial.beginClient(steps: [receiveStep])
            _ = try play.stream.receiveHead(say("a request up to its empty line", "一个请求，直到空行"))
            try play.stream.send(Array(acceptingAnswer(to: play.key).prefix(part)))
            play.stream.close()
            try trial.expectSocketError(play.call)
        }
        for bytes in [[], [0x81, 5, 0x68]] as [[UInt8]] {
            let play = try trial.beginClient(steps: [receiveStep])
            let server = try play.accept()
            try server.stream.send(bytes)
            server.stream.close()
            try trial.expectSocketError(play.call)
        }
        let play = try trial.beginClient(steps: [receiveStep])
        let server = try play.accept()
        server.stream.reset()
        try trial.expectSocketError(play.call)
        // And while it talks, more than fits in: behind the end of the stream a reset makes send fail with EPIPE.
        let text = trial.random.letters(4000)
        let talking = try trial.beginClient(
            steps: Array(repeating: .list([.string("text"), .bytes(text)]), count: 250), smallBuffers: true)
        let deaf = try talking.accept()
        try deaf.expect(.text, text)
        deaf.stream.halfClose()
        deaf.stream.reset()
        try trial.expectSocketError(talking.call)
    },
    Check("client-bad-day", suspects: [.interruptedCall, .shortSend] + Cause.client) { trial in
        let plan =
            FaultPlan.most(3, each: .receive) + .most(2, each: .send) + .fail(.receive, every: 5, with: EINTR)
            + .fail(.send, every: 7, with: EINTR) + .fail(.waitReady, 1, through: 2, with: EINTR)
        let text = trial.random.letters(300)
        let play = try trial.beginClient(
            steps: [.list([.string("text"), .bytes(text)]), receiveStep, closeStep(1000)], plan: plan)
        let server = try play.accept()
        try server.expect(.text, text)
        try server.send(.text, text)
        try server.answerClose(1000)
        try trial.expect(play.call, returns: [eventValue("text", text), closedEvent(1000)])
        // An interrupted connect goes on by itself; so does the wait for it.
        let late = try trial.beginClient(
            steps: [closeStep(1000)],
            plan: FaultPlan.fail(.connect, with: EINTR) + .fail(.waitReady, 1, through: 2, with: EINTR))
        try late.accept().answerClose(1000)
        try trial.expect(late.call, returns: [closedEvent(1000)])
        // It may end in a refusal: openClient says so, and not the first word.
        let nobody = try trial.boundStream()
        let refused = try trial.begin(
            "client", clientArguments(nobody.address, key: exampleKey, steps: []),
            plan: FaultPlan.fail(.connect, with: EINTR))
        try trial.expect(refused, throwsSocketError: ECONNREFUSED, cause: nil)
        // One send comes back short; the next takes what is left of the request, and no byte more.
        let short = try trial.beginClient(steps: [closeStep(1000)], plan: FaultPlan.most(2, first: .send))
        let (_, behind) = try short.stream.receiveHead(say("a request up to its empty line", "一个请求，直到空行"))
        try trial.expect(Array(behind), equals: [], say("bytes behind the request", "请求之后的字节"))
        try short.accept(alreadyRead: true).answerClose(1000)
        try trial.expect(short.call, returns: [closedEvent(1000)])
    },
    Check("client-leaves-nothing", suspects: [.connectionLeak] + Cause.client) { trial in
        let process = try trial.launch(descriptorLimit: 32)
        let nobody = try trial.boundStream()
        for _ in 0..<20 {
            let call = try trial.begin(
                "client", clientArguments(nobody.address, key: exampleKey, steps: []), in: process)
            try trial.expect(call, throwsSocketError: ECONNREFUSED, cause: nil)
        }
        let listener = try trial.listen()
        for number in 0..<100 {
            let call = try trial.begin(
                "client", clientArguments(listener.address, key: exampleKey, steps: [closeStep(1000)]), in: process)
            let stream = try listener.accept(from: call)
            _ = try stream.receiveHead(say("a request up to its empty line", "一个请求，直到空行"))
            if number % 2 == 0 {
                try stream.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                try trial.expect(call, throws: "HandshakeError", "status", cause: nil)
            } else {
                try stream.send(acceptingAnswer(to: exampleKey))
                let server = FramePeer(stream, as: .server, random: trial.random)
                try server.answerClose(1000)
                _ = try call.value()
            }
            stream.close()
        }
    },
    Check("client-python", suspects: Cause.client) { trial in
        let server = try PythonPeer.echoServer(trial)
        defer { server.stop() }
        let messages = [Array("hello, 世界".utf8), [], trial.random.letters(70_000), trial.random.letters(1_200_000)]
        var steps: [Value] = []
        var expected: [Value] = []
        for message in messages {
            steps += [.list([.string("text"), .bytes(message)]), receiveStep]
            expected.append(eventValue("text", message))
        }
        let bytes = trial.random.bytes(5000)
        steps += [.list([.string("binary"), .bytes(bytes)]), receiveStep]
        expected.append(eventValue("binary", bytes))
        steps += [.list([.string("ping"), .bytes([1, 2])]), receiveStep, closeStep(1000, "bye")]
        expected += [eventValue("pong", [1, 2]), closedEvent(1000, "bye")]
        let key = Data(trial.random.bytes(16)).base64EncodedString()
        let call = try trial.begin("client", clientArguments(server.address, key: key, steps: steps))
        try trial.expect(call, returns: expected)
    },
]

extension FramePeer {
    /// The program ends the connection, in whatever way, and says nothing before that.
    fileprivate func expectSilentEnd() throws {
        let expected = say("the program ends \(name), and sends nothing more", "程序结束\(name)，不再发送")
        switch try next(until: Deadline(), expected: expected) {
        case .end, .broken: return
        case .frame(let frame): throw Failure(expected: expected, got: frame.text, cause: "answers-after-close")
        case .late: throw Failure(expected: expected, got: say("it is still open", "它仍然开着"))
        }
    }
}
