// Lesson 09: the two echo servers. What every TCP server must bear (resets, silence, EINTR, restarts) is checked as for the
// servers of lesson 04.
import Course
import GraderKit
import Sockets
import Wire

private let server = "echo-server"

let webSocketEchoChecks: [Check] =
    [
        Check("echo-handshake", suspects: [.waitsForMore]) { trial in
            let service = try trial.serve(server)
            try WebSocketPeer(try service.connect(), trial).shakeHands()
            try WebSocketPeer(try service.connect(), trial).shakeHands(.chromium(key: ""))
            // Cut in the worst places: in the midst of a name, and of the empty line.
            let slow = try service.connect()
            let request = Request(key: sampleKey).bytes
            let before = service.subject.timeline.receivedSoFar
            for end in [7, request.count - 3, request.count] {
                let start = end == 7 ? 0 : end == request.count ? end - 3 : 7
                try slow.send(Array(request[start..<end]))
                // The next part comes alone: only when this one was received.
                _ = try service.subject.waitForTimeline { $0.receivedSoFar >= before + end ? true : nil }
            }
            try slow.expectSwitching()
        },
        Check("echo-refuses") { trial in
            let service = try trial.serve(server)
            let wrong: [(Request, Int)] = [
                (Request(key: sampleKey).with("Sec-WebSocket-Version", "8"), 426),
                (Request(key: sampleKey).without("Sec-WebSocket-Key"), 400),
                (Request(key: sampleKey).without("Upgrade"), 426),
            ]
            for (request, status) in wrong {
                let client = WebSocketPeer(try service.connect(), trial)
                try client.stream.send(request.bytes)
                let head = try client.receiveHead()
                if let fault = faultOfRefusal(head, status, needing: []) {
                    throw Failure(
                        expected: say("a refusal: ", "拒绝：") + fault, got: quoted(head, most: 300),
                        cause: faultOfAcceptance(head, key: sampleKey) == nil ? "bad-handshake-accepted" : nil)
                }
                _ = try client.receiveBody()
            }
        },
        Check("echo-messages") { trial in
            let client = try trial.serve(server).webSocket(trial)
            for text in ["Hello", "", "世界 🌍", "ping"] {
                try client.send(text)
                try client.expect(text) { frame in
                    frame.payload == Array("pong".utf8) ? "text-ping-is-no-ping" : nil
                }
            }
            try client.send(binaryOpcode, [0, 0xFF, 0xFE])
            try client.expect(binaryOpcode, [0, 0xFF, 0xFE])
        },
        Check("echo-lengths") { trial in
            let client = try trial.serve(server).webSocket(trial)
            for count in [125, 126, 127, 0x0102, 65_535, 65_536, 0x01_0203] {
                let message = trial.random.letters(count)
                try client.send(binaryOpcode, message)
                do { try client.expect(binaryOpcode, message) } catch var failure as Failure {
                    if failure.got == say("nothing", "什么也没有"), client.isTakenForLonger(message) {
                        failure.cause = "extended-length-little-endian"
                    }
                    throw failure
                }
            }
        },
        Check("echo-large") { trial in
            let client = try trial.serve(server).webSocket(trial)
            let message = trial.random.letters(4 << 20)
            try client.stream.send(client.frame(textOpcode, message), within: 6 * Deadline.patience)
            try client.expect(textOpcode, message, within: 6 * Deadline.patience)
        },
        Check("echo-first-frames", suspects: [.waitsForMore]) { trial in
            let client = WebSocketPeer(try trial.serve(server).connect(), trial)
            // Nobody has to wait for the 101 to send.
            let first = client.frame(textOpcode, Array("early".utf8)) + client.frame(textOpcode, Array("bird".utf8))
            try client.shakeHands(behind: first)
            do {
                try client.expect("early")
            } catch var failure as Failure {
                failure.name("first-frames-lost")
                throw failure
            }
            // Both were behind the request: who answers one has them.
            do { try client.expect("bird") } catch var failure as Failure {
                failure.name("one-recv-one-frame")
                throw failure
            }
        },
        Check("echo-pipelined") { trial in
            let client = try trial.serve(server).webSocket(trial)
            let messages = (1...50).map { "message \($0)" }
            try client.stream.send(messages.flatMap { client.frame(textOpcode, Array($0.utf8)) })
            try client.expect(messages[0])
            do {
                for message in messages[1...] { try client.expect(message) }
            } catch var failure as Failure {
                failure.name("one-recv-one-frame")
                throw failure
            }
        },
        Check("echo-cut", suspects: [.oneReceiveOneFrame]) { trial in
            for most in [1, 3, 7] {
                let service = try trial.serve(server, plan: .most(most, each: .receive))
                let client = try service.webSocket(trial)
                do {
                    for message in ["cut", "", "anywhere, 世界"] {
                        try client.send(message)
                        try client.expect(message)
                    }
                } catch var failure as Failure {
                    // These very frames are right when they come whole, so a refusal is no judgement of them.
                    if failure.cause == "good-frame-refused" {
                        failure.cause = failure.isOfText ? "mask-restarts-each-chunk" : "one-recv-one-frame"
                    }
                    throw failure
                }
            }
        },
        Check("echo-fragments") { trial in
            let client = try trial.serve(server).webSocket(trial)
            try client.send(textOpcode, Array("frag".utf8), isFinal: false)
            try client.send(continuationOpcode, Array("men".utf8), isFinal: false)
            try client.send(continuationOpcode, Array("ted".utf8))
            try client.expect("fragmented") { frame in
                frame.payload == Array("frag".utf8) ? "fragments-echoed-apart" : nil
            }
            // A character in two fragments, and a ping between them.
            try client.send(textOpcode, Array("粘".utf8.prefix(1)), isFinal: false)
            for (payload, mistake) in [("", "utf8-per-fragment"), ("between", "control-checked-as-text")] {
                try client.send(pingOpcode, Array(payload.utf8))
                try client.expect(pongOpcode, Array(payload.utf8)) { $0.opcode == closeOpcode ? mistake : nil }
            }
            try client.send(continuationOpcode, Array("粘".utf8.dropFirst(1)))
            try client.expect("粘") { frame in frame.opcode == closeOpcode ? "control-frame-resets-text" : nil }
        },
        Check("echo-ping", suspects: [.pingNotAnswered]) { trial in
            let client = try trial.serve(server).webSocket(trial)
            for payload in [Array("are you there?".utf8), [], trial.random.bytes(125)] {
                try client.send(pingOpcode, payload)
                try client.expect(pongOpcode, payload) { frame in
                    if frame.opcode == pingOpcode { return "ping-echoed" }
                    if frame.opcode == textOpcode { return "pong-as-text" }
                    return frame.opcode == pongOpcode ? "pong-with-other-payload" : nil
                }
            }
            // A pong that nobody asked for means nothing, and is answered by nothing.
            try client.send(pongOpcode, [1, 2, 3])
            try client.send("still here")
            try client.expect("still here") { frame in frame.opcode == pongOpcode ? "pong-echoed" : nil }
        },
        Check("echo-close", suspects: [.closeNotAnswered]) { trial in
            let service = try trial.serve(server)
            // What a server makes for itself when somebody comes or goes for the first time, a timer or another thread with an
            // epoll of its own, is there then: as many are there at once as below.
            let first = try (0..<4).map { _ in try service.webSocket(trial) }
            for client in first {
                try client.send(closeOpcode, closePayload(1000, ""))
                try client.expectClose([1000])
                try client.expectEnd()
                client.stream.close()
            }
            var clients: [WebSocketPeer] = []
            var withOne = 0
            for code in [1000, 1001, 4000] as [UInt16] {
                let client = try service.webSocket(trial)
                clients.append(client)
                try client.send("before")
                try client.expect("before")
                if clients.count == 1 { withOne = service.subject.descriptorCount }
                try client.send("before the end")
                try client.send(closeOpcode, closePayload(code, "bye"))
                try client.expect("before the end")
                try client.expectClose([code])
                // The server ends the connection: it is the one that should.
                try client.expectEnd()
            }
            let client = try service.webSocket(trial)
            try client.send(closeOpcode, [])
            try client.expectClose([nil, 1000])
            try client.expectEnd()
            // None of the four ends its side: they are not waited for without end.
            let isClosed = withExtendedLifetime((clients, client)) { service.waitForDescriptors(withOne) }
            guard isClosed else {
                throw Failure(
                    expected: say(
                        "behind the close frames connections are closed, though their clients do not end their side",
                        "关闭帧之后连接被关闭，即使客户端不结束自己的一侧"),
                    got: say("some are still open", "还有没关闭的"), cause: "lingers-for-ever")
            }
            // What comes behind a close is not answered.
            let late = try service.webSocket(trial)
            try late.stream.send(late.frame(closeOpcode, closePayload(1000)) + late.frame(textOpcode, [65]))
            try late.expectClose([1000])
            do { try late.expectEnd() } catch var failure as Failure {
                if failure.cause == nil { failure.cause = "answers-after-close" }
                throw failure
            }
        },
        Check("echo-protocol-error", suspects: [.clientEndedServer]) { trial in
            let service = try trial.serve(server)
            let hello = Array("hello".utf8)
            let wrong: [(String, [UInt8], String)] = [
                (say("a frame without mask", "没有掩码的帧"), wireFrame(textOpcode, hello), "masking-rule-ignored"),
                (
                    say("a reserved bit", "保留位为 1"),
                    wireFrame(textOpcode, hello, mask: trial.random.mask(), reserved: 0x40), "reserved-bits-ignored"
                ),
                (
                    say("opcode 3", "操作码 3"), wireFrame(3, hello, mask: trial.random.mask()),
                    "unknown-opcode-accepted"
                ),
                (
                    say("a continuation of nothing", "没有可延续的延续帧"),
                    wireFrame(continuationOpcode, hello, mask: trial.random.mask()), "lone-continuation-accepted"
                ),
            ]
            for (what, bytes, cause) in wrong {
                let client = try service.webSocket(trial)
                trial.note(what)
                try client.stream.send(bytes)
                try client.expectFailed(1002, what, accepted: cause)
            }
        },
        Check("echo-bad-text", suspects: [.clientEndedServer]) { trial in
            let service = try trial.serve(server)
            let client = try service.webSocket(trial)
            try client.send(textOpcode, [0x6F, 0x6B, 0xC3, 0x28])
            try client.expectFailed(1007, say("a text that is no UTF-8", "不是 UTF-8 的文本"), accepted: "text-not-checked")
            let early = try service.webSocket(trial)
            // The message is not finished, but there is nothing that could save it.
            try early.send(textOpcode, [0xFF], isFinal: false)
            try early.expectFailed(
                1007, say("the first fragment of a text that is no UTF-8", "文本的第一个分片就不是 UTF-8"),
                accepted: "utf8-only-at-the-end")
        },
        Check("echo-too-long", suspects: [.clientEndedServer]) { trial in
            let client = try trial.serve(server).webSocket(trial)
            let length = UInt64(Lesson09.messageLimit + 1)
            try client.stream.send([0x82, 0xFF] + bigEndianBytes(length) + trial.random.mask())
            try client.expectFailed(
                1009, say("a header that announces 64 MiB and a byte", "帧头宣布 64 MiB 又一个字节"),
                accepted: "message-limit-late")
        },
        Check("echo-clean-end", suspects: [.clientEndedServer]) { trial in
            // More than one receive takes lies unread behind the mistake: a server that closes now resets the connection,
            // and the reset overtakes what it said.
            let service = try trial.serve(server)
            let client = try service.webSocket(trial)
            try client.stream.send(wireFrame(textOpcode, [65]) + [UInt8](repeating: 0, count: 300_000))
            try client.expectClose([1002])
            try client.expectEnd()
            // The reset may come behind the end.
            client.stream.halfClose()
            _ = try service.subject.waitForTimeline { $0.openConnections.isEmpty ? true : nil }
            try client.stream.expectNoReset(cause: "closed-with-unread-bytes")
        },
        Check("echo-end-mid-frame", suspects: [.closedTooEarly, .leftOpen, .pendingDroppedAtEnd]) { trial in
            let service = try trial.serve(server)
            let client = try service.webSocket(trial)
            try client.send("whole")
            try client.stream.send(Array(client.frame(textOpcode, Array("cut".utf8)).dropLast(1)))
            client.stream.halfClose()
            try client.expect("whole")
            try client.expectEnd()
            // What is complete may be more than the kernel takes at once.
            let slow = try service.webSocket(trial, smallBuffers: true)
            let message = trial.random.letters(4 << 20)
            try slow.stream.send(slow.frame(textOpcode, message), within: 6 * Deadline.patience)
            try slow.stream.send(Array(slow.frame(textOpcode, Array("cut".utf8)).dropLast(1)))
            slow.stream.halfClose()
            try slow.expect(textOpcode, message, within: 6 * Deadline.patience)
            try slow.expectEnd()
        },
        Check("echo-half-frame", suspects: [.blockedInReceive]) { trial in
            let service = try trial.serve(server)
            let clients = try (0..<3).map { _ in try service.webSocket(trial) }
            let frames = clients.map { $0.frame(textOpcode, Array("half".utf8)) }
            try clients[0].stream.send(Array(frames[0][..<1]))
            try clients[1].stream.send(Array(frames[1][..<8]))
            // The last to come is answered first: none of the others holds it up.
            try clients[2].stream.send(frames[2])
            try clients[2].expect("half")
            for (index, kept) in [(1, 8), (0, 1)] {
                try clients[index].stream.send(Array(frames[index][kept...]))
                do { try clients[index].expect("half") } catch var failure as Failure {
                    failure.name(failure.isOfText ? "mask-restarts-each-chunk" : "half-frame-lost")
                    throw failure
                }
            }
            try clients[0].expectKeptThroughSilence()
            for client in clients {
                try client.send("still here")
                try client.expect("still here")
            }
        },
        Check("echo-in-order") { trial in
            let client = try trial.serve(server).webSocket(trial)
            for round in 1...20 {
                let text = trial.random.letters(Int.random(in: 0...2000, using: &trial.random))
                try client.stream.send(
                    client.frame(textOpcode, text) + client.frame(pingOpcode, [UInt8(round)])
                        + client.frame(binaryOpcode, text))
                try client.expect(textOpcode, text) { $0.opcode == pongOpcode ? "pong-overtakes" : nil }
                do { try client.expect(pongOpcode, [UInt8(round)]) } catch var failure as Failure {
                    // All three came at once. Who ignores pings answers what stands behind this one.
                    if failure.got == say("nothing", "什么也没有") { failure.cause = "one-recv-one-frame" }
                    throw failure
                }
                try client.expect(binaryOpcode, text)
            }
        },
    ] + concurrentServerChecks(server, prefix: "echo", exchange: oneMessage, clients: 50, suspects: Cause.sentFrames)
    + streamServerChecks(server, prefix: "echo", exchange: oneMessage, suspects: Cause.sentFrames)

// MARK: JSON

private let jsonServer = "json-echo-server"

let jsonEchoChecks: [Check] =
    [
        Check("json-answers") { trial in
            let client = try trial.serve(jsonServer).webSocket(trial)
            for (question, answer) in [
                (
                    #"{"data":"hello","timestamp":1700000000.5}"#,
                    #"{"type":"echo","data":"HELLO","timestamp":1700000000.5}"#
                ),
                (
                    #"{ "timestamp" : "noon" , "data" : "a\"b\\c\n世界" }"#,
                    #"{"type":"echo","data":"A\"B\\C\n世界","timestamp":"noon"}"#
                ),
                (
                    #"{"data":"\u0061\u4e16","timestamp":42,"other":[1]}"#,
                    #"{"type":"echo","data":"A世","timestamp":42}"#
                ),
            ] { try trial.expectJSON(client, question, answer) }
        },
        Check("json-missing") { trial in
            let client = try trial.serve(jsonServer).webSocket(trial)
            try trial.expectJSON(client, #"{"data":"x"}"#, #"{"type":"echo","data":"X","timestamp":null}"#)
            try trial.expectJSON(client, #"{"timestamp":7}"#, #"{"type":"echo","data":"","timestamp":7}"#)
        },
        Check("json-not-json", suspects: [.clientEndedServer, .crash(meaning: "json-taken-for-granted")]) { trial in
            let client = try trial.serve(jsonServer).webSocket(trial)
            let broken = [
                "hello", "", "{", "[1]", "3", #"{"data":5}"#, #"{"data":["a"]}"#, String(repeating: "[", count: 5000),
            ]
            for text in broken {
                try client.send(text)
                try trial.expectJSONError(client, text)
            }
            // And it is still there.
            try trial.expectJSON(client, #"{"data":"x"}"#, #"{"type":"echo","data":"X","timestamp":null}"#)
        },
        Check("json-binary") { trial in
            let client = try trial.serve(jsonServer).webSocket(trial)
            try client.send(binaryOpcode, Array(#"{"data":"x"}"#.utf8))
            try client.expectClose([1003])
            // A server that began to close waits for the answer, or not; then it ends.
            try client.send(closeOpcode, closePayload(1003))
            try client.expectEnd()
        },
        Check("json-two-clients", suspects: [.blockedInReceive]) { trial in
            let service = try trial.serve(jsonServer)
            let clients = try (0..<3).map { _ in try service.webSocket(trial) }
            for (index, client) in clients.enumerated().reversed() {
                try trial.expectJSON(
                    client, #"{"data":"c\#(index)","timestamp":\#(index)}"#,
                    #"{"type":"echo","data":"C\#(index)","timestamp":\#(index)}"#)
            }
        },
        Check("json-ping-close", suspects: [.pingNotAnswered, .closeNotAnswered]) { trial in
            let client = try trial.serve(jsonServer).webSocket(trial)
            try client.send(pingOpcode, [1, 2])
            try client.expect(pongOpcode, [1, 2])
            try client.send(closeOpcode, closePayload(1000))
            try client.expectClose([1000])
            try client.expectEnd()
        },
    ]
