// Lesson 09: the client. The grader plays servers of every kind on raw sockets, and looks at each byte that the client sends.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

let clientOfLesson09Checks = clientChecks.map { check in
    // There the answer is wrong, or its head has no end.
    ["client-wrong-accept", "client-endless-head"].contains(check.id)
        ? check : check.explained(first: [.rightKeyRefused])
}

private let clientChecks: [Check] = [
    Check("client-request", suspects: Cause.client) { trial in
        for origin in [nil, "http://localhost:8765"] {
            let play = try trial.beginClient(path: "/chat?room=1", origin: origin, steps: [closeStep(1000)])
            let (head, behind) = try play.stream.receiveHead(say("a request up to its empty line", "一个请求，直到空行"))
            try trial.expect(Array(behind), equals: [], say("bytes behind the request", "请求之后的字节"))
            var lines = head.components(separatedBy: "\r\n").dropLast(2)
            try trial.expect(
                lines.removeFirst(), equals: "GET /chat?room=1 HTTP/1.1", say("the first line", "第一行"))
            var wanted = [
                "host": play.host, "upgrade": "websocket", "connection": "Upgrade", "sec-websocket-key": play.key,
                "sec-websocket-version": "13",
            ]
            if let origin { wanted["origin"] = origin }
            for (name, value) in wanted.sorted(by: { $0.key < $1.key }) {
                let values = lines.filter { $0.lowercased().hasPrefix(name + ":") }
                    .map { $0.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces) }
                try trial.expect(values, equals: [value], say("the field \(name)", "字段 \(name)"))
            }
            let server = try play.accept(alreadyRead: true)
            try server.expectClose(1000)
            try server.sendClose(1000)
            server.stream.halfClose()
            _ = try play.call.value()
        }
    },
    Check("client-messages", suspects: Cause.client) { trial in
        let sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 200_000]
        let messages = sizes.map { trial.random.letters($0) } + [trial.random.bytes(1000)]
        let last = messages.count - 1
        let steps = messages.indices.flatMap {
            [.list([.string($0 == last ? "binary" : "text"), .bytes(messages[$0])]), receiveStep]
        }
        let play = try trial.beginClient(steps: steps + [closeStep(1000)])
        let server = try play.accept()
        var expected: [Value] = []
        for (index, message) in messages.enumerated() {
            let opcode: Opcode = index == last ? .binary : .text
            try server.expect(opcode, message)
            try server.send(opcode, message)
            expected.append(eventValue(opcode == .text ? "text" : "binary", message))
        }
        try server.answerClose(1000)
        try trial.expect(play.call, returns: expected + [closedEvent(1000)])
    },
    Check("client-masks", suspects: Cause.client) { trial in
        let text = Array("the same text".utf8)
        let steps = Array(repeating: Value.list([.string("text"), .bytes(text)]), count: 12)
        let play = try trial.beginClient(steps: steps + [.list([.string("ping"), .bytes(text)]), closeStep(1000)])
        let server = try play.accept()
        var keys: [[UInt8]] = []
        for _ in steps { keys.append(try server.expect(.text, text).mask ?? []) }
        keys.append(try server.expect(.ping, text).mask ?? [])
        try server.answerClose(1000)
        _ = try play.call.value()
        guard Set(keys).count >= keys.count - 1, !keys.contains([0, 0, 0, 0]) else {
            throw Failure(
                expected: say("every frame has a mask of its own", "每一帧有自己的掩码"),
                got: say(
                    "\(Set(keys).count) different in \(keys.count) frames: \(hexText(keys[0])), \(hexText(keys[1])) …",
                    "\(keys.count) 帧里只有 \(Set(keys).count) 种：\(hexText(keys[0]))、\(hexText(keys[1]))……"),
                cause: "fixed-mask-key")
        }
    },
    Check("client-wrong-accept", suspects: Cause.client) { trial in
        let wrong = [
            "Sec-WebSocket-Accept: \(acceptFor("another key"))",
            "Sec-WebSocket-Accept: \(acceptFor("").lowercased())",
            "X-Nothing: 1",
        ]
        for field in wrong {
            try trial.expectRefusal(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\(field)\r\n\r\n",
                error: "wrongAcceptKey", cause: "accept-key-unchecked")
        }
    },
    Check("client-wrong-status", suspects: Cause.client) { trial in
        for status in ["200 OK", "404 Not Found", "403 Forbidden", "301 Moved Permanently"] {
            try trial.expectRefusal(
                "HTTP/1.1 \(status)\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n"
                    + "Sec-WebSocket-Accept: ACCEPT\r\n\r\n",
                error: "status", cause: "status-unchecked")
        }
    },
    Check("client-not-upgraded", suspects: Cause.client) { trial in
        for fields in ["Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c\r\nConnection: Upgrade"] {
            try trial.expectRefusal(
                "HTTP/1.1 101 Switching Protocols\r\n\(fields)\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n",
                error: "notUpgraded", cause: "upgrade-unchecked")
        }
        try trial.expectRefusal("SSH-2.0-OpenSSH_9.2\r\n\r\n", error: "notHTTP", cause: nil)
    },
    Check("client-endless-head", suspects: Cause.client) { trial in
        let play = try trial.beginClient(steps: [receiveStep])
        _ = try play.stream.receiveHead(say("a request up to its empty line", "一个请求，直到空行"))
        try play.stream.send("HTTP/1.1 101 Switching Protocols\r\n")
        let field = Array("X-More: and more and more and more\r\n".utf8)
        // It hangs up when it has had enough: what is under way then comes to nothing.
        let deadline = Deadline()
        var sent = 0
        do {
            while sent < 64 * Lesson09.headLimit, !deadline.hasPassed {
                let count = try play.stream.sendWhatFits(field)
                sent += count
                if count == 0 { poll(nil, 0, 1) }
            }
        } catch is Failure {}
        try trial.expect(play.call, throws: "HandshakeError", "notHTTP", cause: "head-limit-ignored")
    },
    Check("client-answer-in-pieces", suspects: Cause.client) { trial in
        let play = try trial.beginClient(steps: [receiveStep, receiveStep, closeStep(1000)])
        let server = try play.accept(sending: { answer, stream in
            for byte in answer { try stream.send([byte]) }
        })
        for byte in server.frame(.text, Array("one".utf8)) + server.frame(.binary, [2]) {
            try server.stream.send([byte])
        }
        try server.answerClose(1000)
        try trial.expect(
            play.call, returns: [eventValue("text", Array("one".utf8)), eventValue("binary", [2]), closedEvent(1000)])
    },
    Check("client-frames-behind-answer", suspects: [.framesBehindAnswerLost] + Cause.client) { trial in
        let play = try trial.beginClient(steps: [receiveStep, receiveStep, closeStep(1000)])
        var first: [UInt8] = []
        let server = try play.accept(
            atOnce: true,
            sending: { answer, stream in
                let peer = FramePeer(stream, as: .server, random: trial.random)
                first = peer.frame(.text, Array("at once".utf8)) + peer.frame(.ping, [7])
                // One segment: the answer, a message, a ping, and half of the next message.
                try stream.send(answer + first + [0x81])
            })
        try server.stream.send([3] + Array("two".utf8))
        do { try server.expect(.pong, [7], cause: "ping-not-answered") } catch var failure as Failure {
            // What came later is the rest of a frame, for who has thrown its beginning away.
            let receive = play.call.subject.timeline.calls.first { $0.isReceive && $0.result > 0 }
            if failure.cause == "good-frame-refused", let receive, receive.result > acceptingAnswer(to: play.key).count
            {
                failure.cause = "frames-behind-answer-lost"
            }
            throw failure
        }
        try server.answerClose(1000)
        try trial.expect(
            play.call,
            returns: [
                eventValue("text", Array("at once".utf8)), eventValue("text", Array("two".utf8)), closedEvent(1000),
            ])
    },
    Check("client-pings", suspects: [.pingReturned] + Cause.client) { trial in
        let play = try trial.beginClient(steps: [receiveStep, receiveStep, closeStep(1000)])
        let server = try play.accept()
        try server.send(.ping, Array("first".utf8))
        try server.expect(.pong, Array("first".utf8), cause: "ping-not-answered", causeIfLate: "ping-not-answered")
        let longest = trial.random.bytes(125)
        try server.send(.text, Array("in ".utf8), isFinal: false)
        try server.send(.ping, longest)
        try server.expect(.pong, longest, cause: "ping-not-answered", causeIfLate: "ping-not-answered")
        try server.send(.continuation, Array("two ".utf8), isFinal: false)
        try server.send(.ping)
        try server.expect(.pong, [], cause: "ping-not-answered", causeIfLate: "ping-not-answered")
        try server.send(.continuation, Array("parts".utf8))
        try server.send(.pong, Array("unasked".utf8))
        try server.answerClose(1000)
        try trial.expect(
            play.call,
            returns: [
                eventValue("text", Array("in two parts".utf8)), eventValue("pong", Array("unasked".utf8)),
                closedEvent(1000),
            ])
    },
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
        try server.expectDropped()
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
            let expected = say(
                "the program ends \(server.name), and sends nothing more", "程序结束\(server.name)，不再发送")
            switch try server.next(until: Deadline(), expected: expected) {
            case .end, .broken: break
            case .frame(let frame): throw Failure(expected: expected, got: frame.text)
            case .late: throw Failure(expected: expected, got: say("it is still open", "它仍然开着"))
            }
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
        // It says other things, again and again, and never close: a patience that begins anew with each has no end.
        let deadline = Deadline(in: 2 * Deadline.patience)
        let chatter = server.frame(.text, Array("I have not finished".utf8))
        repeat {
            // The client may hang up between two of them.
            do { _ = try server.stream.sendWhatFits(chatter) } catch is Failure {}
            guard !deadline.hasPassed else {
                throw Failure(
                    expected: say("SocketError: ", "SocketError：") + errorText(ETIMEDOUT),
                    got: say("it still waits, while other messages come", "别的消息不断到来，它还在等"),
                    cause: "waits-for-close-for-ever")
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
            let end = calls.first(where: { $0.entered > said.entered && ["close", "shutdown"].contains($0.name) })
        {
            let took = Int(end.entered - said.entered) / 1_000_000
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
                let words = [UInt8](repeatElement(chatter, count: 1000).joined())
                let deadline = Deadline(in: 2 * Deadline.patience)
                var sent = 0
                do {
                    while !deadline.hasPassed, try !play.call.isOver(within: 0.001) {
                        sent = (sent + (try server.stream.sendWhatFits(Array(words[sent...])))) % words.count
                    }
                } catch is Failure {}
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
