// Lesson 09: the client. The grader plays servers of every kind on raw sockets, and looks at each byte that the client sends.
import Course
import GraderKit
import Sockets
import Wire

let clientOfLesson09Checks = (clientChecks + clientEndingChecks).map { check in
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
]
