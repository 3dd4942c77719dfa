// Lesson 16: ws-back-end. An echo whose pings keep it alive behind a proxy, and which says goodbye.
import Course
import GraderKit
import Sockets
import Wire

private let entry = "ws-back-end"

let webSocketBackEndChecks: [Check] =
    webSocketChecks
    + concurrentServerChecks(patient, prefix: "ws", exchange: oneMessage, clients: 50, suspects: suspects)
    + streamServerChecks(patient, prefix: "ws", exchange: oneMessage, suspects: suspects)

/// The same with a timeout of a minute: no ping comes between a question and its answer.
private let patient = "ws-back-end-60s"

private let suspects: [Cause] = [.signalNotCaught]

private let webSocketChecks: [Check] = [
    Check("ws-echo", suspects: suspects) { trial in
        let server = try trial.serve(entry)
        let hasty = WebSocketPeer(try server.connect(), trial)
        // In one segment with the request: the stream goes on behind the empty line.
        try hasty.shakeHands(behind: hasty.frame(textOpcode, Array("at once".utf8)))
        do { try hasty.expectPastPings(textOpcode, Array("at once".utf8)) } catch var failure as Failure {
            failure.cause = failure.cause ?? "first-frames-lost"
            throw failure
        }
        let client = try server.webSocket(trial)
        for text in ["Hello", "", "世界 🌍"] {
            try client.send(text)
            try client.expectPastPings(textOpcode, Array(text.utf8))
        }
        // Two in one segment: nothing will say that the second is there.
        let both = ["one", "two"].map { Array($0.utf8) }
        try client.stream.send(both.flatMap { client.frame(textOpcode, $0) })
        for text in both {
            do { try client.expectPastPings(textOpcode, text) } catch var failure as Failure {
                if failure.cause == nil { failure.cause = "one-recv-one-frame" }
                throw failure
            }
        }
        let bytes = trial.random.bytes(70_000)
        try client.send(binaryOpcode, bytes)
        try client.expectPastPings(binaryOpcode, bytes)
        try client.send(pingOpcode, [1, 2, 3])
        try client.expectPastPings(pongOpcode, [1, 2, 3])
        // A code of its own (4001): not the one that everybody sends.
        try client.send(closeOpcode, [0x0F, 0xA1])
        do { try client.expectPastPings(closeOpcode, [0x0F, 0xA1]) } catch var failure as Failure {
            if failure.cause == nil { failure.cause = "close-not-returned" }
            throw failure
        }
        try client.expectEnd()
    },
    Check("ws-pings", suspects: suspects + [.textForPing]) { trial in
        // A client that has nothing to say is spoken to.
        let server = try trial.serve(entry)
        let began = now()
        let client = try server.webSocket(trial)
        var times: [UInt64] = []
        for _ in 0..<3 {
            try client.send(pongOpcode, try client.expectPing())
            times.append(now())
        }
        // A machine that stands still makes one of the pauses longer, and the next one shorter.
        let shortest = Int(zip(times, times.dropFirst()).map { $1 - $0 }.min()! / 1_000_000)
        guard shortest < Lesson16.proxyTimeout - 100 else {
            throw Failure(
                expected: say(
                    "a ping before the proxy has waited for \(Lesson16.proxyTimeout) ms",
                    "代理等满 \(Lesson16.proxyTimeout) ms 之前就有 ping"),
                got: say("one every \(shortest) ms", "每 \(shortest) ms 一个"), cause: "ping-too-late")
        }
        // Ten in a timeout are the most. From before the first could be sent: a slow machine makes it longer, not shorter.
        let took = Int((now() - began) / 1_000_000)
        guard took >= Lesson16.proxyTimeout / 10 * 2 * 9 / 10 else {
            throw Failure(
                expected: say(
                    "at most ten pings in \(Lesson16.proxyTimeout) ms", "\(Lesson16.proxyTimeout) ms 里最多十个 ping"),
                got: say("the third came after \(took) ms", "第三个在 \(took) ms 后就来了"), cause: "pings-too-often")
        }
        try client.send("still here")
        try client.expectPastPings(textOpcode, Array("still here".utf8))
        // What comes from a client does not count for the proxy: a pong that nobody asked for (RFC 6455 section 5.5.3).
        let deadline = Deadline()
        var isPinged = false
        while !isPinged {
            switch try client.next(say("a ping frame", "ping 帧"), until: Deadline(in: 0.1)) {
            case .frame(let frame): isPinged = frame.opcode == pingOpcode
            case .late where !deadline.hasPassed: try client.send(pongOpcode, [])
            default:
                throw Failure(
                    expected: say("a ping, though the client sends pongs unasked", "客户端自己不断发 pong，也收到 ping"),
                    got: deadline.hasPassed ? say("nothing", "什么也没有") : say("the end", "连接结束"),
                    cause: deadline.hasPassed ? "ping-put-off" : "unasked-pong-refused")
            }
        }
    },
    Check("ws-through-nginx", suspects: suspects + [.textForPing]) { trial in
        let server = try trial.serve(entry)
        let proxy = try trial.soundProxy(webSocketBackEnds: [server.address.port], subject: server.subject)
        try trial.explaining(by: proxy.nginx) {
            try trial.outliveTimeout { try proxy.webSocket() }
        }
    },
    Check("ws-through-tls", suspects: suspects + [.textForPing]) { trial in
        let server = try trial.serve(entry)
        let proxy = try trial.soundProxy(webSocketBackEnds: [server.address.port], subject: server.subject)
        try trial.explaining(by: proxy.nginx) {
            let client = try proxy.webSocket(secure: true)
            let text = trial.random.letters(70_000)
            try client.send(textOpcode, text)
            try client.expectPastPings(textOpcode, text)
            _ = try client.expectPing()
        }
    },
    stopCheck("ws-stop-goes-away", suspects: suspects, returned: "left-open-at-the-end") { trial, stop in
        let server = try trial.serve(entry)
        let clients = try (0..<5).map { _ in try server.webSocket(trial) }
        for client in clients {
            try client.send("hello")
            try client.expectPastPings(textOpcode, Array("hello".utf8))
        }
        // One has connected, and not asked for anything yet.
        let early = try server.connect()
        stop(server)
        try trial.expectListenerClosed(server)
        for client in clients {
            let code = try client.expectCloseFrame()
            guard code == 1001 else {
                throw Failure(
                    expected: say(
                        "a close frame with 1001 on \(client.stream.name)", "\(client.stream.name)收到代码 1001 的关闭帧"),
                    got: code.map { "\($0)" } ?? say("one without a code", "没有代码的关闭帧"), cause: "wrong-close-code")
            }
        }
        // Each of them answers, and what the program says next is the end. The first takes its time, not half of what the
        // program has for it: no ping comes behind the goodbye.
        for client in clients.reversed() {
            do {
                if client === clients[0] {
                    let silence = say(
                        "nothing behind the close frame on \(client.stream.name)", "\(client.stream.name)的关闭帧之后没有别的")
                    let pause = Deadline(at: now() + UInt64(Lesson16.stopPatience) * 450_000)
                    if case .frame(let frame) = try client.next(silence, until: pause) {
                        throw Failure(expected: silence, got: frame.words)
                    }
                }
                try client.send(closeOpcode, [0x03, 0xE9])
                try client.expectEnd()
            } catch var failure as Failure {
                if failure.cause == nil { failure.cause = "speaks-after-goodbye" }
                throw failure
            }
        }
        try trial.expectReturn(server, cause: "waits-for-who-is-gone")
        early.close()
    },
    Check("ws-stop-deadline", suspects: suspects) { trial in
        let server = try trial.serve(entry)
        let mute = try server.webSocket(trial)
        let half = try server.connect()
        try half.send("GET /ws HTTP/1.1\r\n")
        let deaf = WebSocketPeer(try server.connect(smallBuffers: true), trial)
        try deaf.shakeHands()
        let message = deaf.frame(binaryOpcode, trial.random.bytes(60_000))
        _ = try deaf.stream.sendUntilStuck(repeatElement(message, count: 20).flatMap { $0 })
        server.subject.signal(SIGTERM)
        try trial.expectReturn(server, within: 3 * Deadline.patience, cause: "held-up-by-a-client")
        for stream in [mute.stream, half, deaf.stream] { stream.close() }
    },
    stopCheck("ws-stop-talker", suspects: suspects, returned: "left-open-at-the-end") { trial, stop in
        // Somebody who never stops talking: the stop is seen all the same. The program takes a few bytes at a time, so that
        // there is always something to read, and little enough that it is through with it in its patience.
        let server = try trial.serve(entry, plan: .most(16, each: .receive))
        let client = try server.webSocket(trial)
        try client.send("first")
        try client.expectPastPings(textOpcode, Array("first".utf8))
        var room: Int32 = 16 << 10
        setsockopt(client.stream.descriptor, SOL_SOCKET, SO_SNDBUF, &room, socklen_t(MemoryLayout<Int32>.size))
        let talk = client.frame(textOpcode, trial.random.letters(900))
        var rest = talk[...]
        var code: UInt16?
        var isStopped = false
        let deadline = Deadline()
        while !deadline.hasPassed {
            // Once the program has gone nobody takes it: what it said before that is read all the same.
            while let count = try? client.stream.sendWhatFits(Array(rest)), count > 0 {
                rest = rest.count == count ? talk[...] : rest.dropFirst(count)
            }
            // Nothing more fits in: it has much to read.
            if !isStopped { stop(server) }
            isStopped = true
            guard case .frame(let frame) = try client.next(say("an echo, or a close frame", "回显或关闭帧")) else { break }
            if frame.opcode == closeOpcode {
                code = frame.payload.count >= 2 ? UInt16(frame.payload[0]) << 8 | UInt16(frame.payload[1]) : 0
                break
            }
        }
        guard code == 1001 else {
            throw Failure(
                expected: say("a close frame with 1001, in the middle of talk", "说话途中收到代码 1001 的关闭帧"),
                got: code.map { "\($0)" } ?? say("none", "没有"),
                cause: code == nil ? "stop-behind-a-talker" : "wrong-close-code")
        }
        // It ends its frame, as anybody does, and then answers. A slow machine may have kept the program reading until its
        // patience was over: then nobody takes that any more.
        do {
            if rest.count < talk.count { try client.stream.send(Array(rest)) }
            try client.send(closeOpcode, [0x03, 0xE9])
        } catch is Failure {}
        try trial.expectReturn(server, cause: "waits-for-who-is-gone")
    },
]

extension Trial {
    /// A client that only answers pings lives longer than the proxy waits for silence: twice its timeout. Where the machine
    /// held up the program's pings, that is no proof of anything: then it is tried again.
    fileprivate func outliveTimeout(_ join: () throws -> WebSocketPeer) throws {
        let timeout = UInt64(Lesson16.proxyTimeout) * 1_000_000
        for attempt in 1...3 {
            let client = try join()
            let began = now()
            do {
                while now() < began + 2 * timeout + timeout / 2 {
                    try client.send(pongOpcode, try client.expectPing())
                }
                try client.send("alive")
                return try client.expectPastPings(textOpcode, Array("alive".utf8))
            } catch var failure as Failure {
                failure.cause = failure.cause ?? "cut-by-the-proxy"
                guard attempt < 3, failure.cause == "cut-by-the-proxy" else { throw failure }
                note(say("cut by nginx: once more", "被 nginx 切断：再试一次"))
            }
        }
    }
}

extension WebSocketPeer {
    /// The next frame is a ping; its payload.
    fileprivate func expectPing() throws -> [UInt8] {
        let sentence = say("a ping frame on \(stream.name)", "\(stream.name)收到 ping 帧")
        switch try next(sentence) {
        case .frame(let frame):
            guard frame == .whole(pingOpcode, frame.payload), frame.payload.count <= 125 else {
                let cause = [pongOpcode: "pong-for-ping", textOpcode: "text-for-ping", binaryOpcode: "text-for-ping"]
                throw Failure(expected: sentence, got: frame.words, cause: cause[frame.opcode])
            }
            return frame.payload
        case .end:
            throw Failure(expected: sentence, got: say("the connection was closed", "连接被关闭"), cause: "cut-by-the-proxy")
        case .broken(let code):
            throw Failure(
                expected: sentence, got: say("the connection was broken: ", "连接断开：") + errorText(code),
                cause: "cut-by-the-proxy")
        case .late: throw Failure(expected: sentence, got: say("nothing", "什么也没有"), cause: "no-pings")
        }
    }

    /// The next frame that is no ping.
    fileprivate func expectPastPings(_ opcode: UInt8, _ payload: [UInt8]) throws {
        let wanted = ReceivedFrame.whole(opcode, payload)
        let sentence = say("\(wanted.words) on \(stream.name)", "\(stream.name)收到 \(wanted.words)")
        let frame = try nextPastPings(sentence)
        guard frame != wanted else { return }
        throw Failure(
            expected: sentence, got: frame.words,
            cause: mistakenOpcode(frame.opcode, frame.payload, insteadOf: opcode, payload))
    }

    /// - Returns: its code; nil if it has none.
    fileprivate func expectCloseFrame() throws -> UInt16? {
        let sentence = say("a close frame on \(stream.name)", "\(stream.name)收到关闭帧")
        let frame: ReceivedFrame
        do { frame = try nextPastPings(sentence) } catch var failure as Failure {
            failure.cause = "no-goodbye"
            throw failure
        }
        guard frame == .whole(closeOpcode, frame.payload), frame.payload.count != 1 else {
            throw Failure(expected: sentence, got: frame.words, cause: "no-goodbye")
        }
        return frame.payload.count >= 2 ? UInt16(frame.payload[0]) << 8 | UInt16(frame.payload[1]) : nil
    }

    private func nextPastPings(_ sentence: String) throws -> ReceivedFrame {
        let deadline = Deadline()
        while true {
            switch try next(sentence, until: deadline) {
            case .frame(let frame) where frame.opcode == pingOpcode: try send(pongOpcode, frame.payload)
            case .frame(let frame): return frame
            case .end: throw Failure(expected: sentence, got: say("the connection was closed", "连接被关闭"))
            case .broken(let code):
                throw Failure(expected: sentence, got: say("the connection was broken: ", "连接断开：") + errorText(code))
            case .late: throw Failure(expected: sentence, got: say("nothing", "什么也没有"))
            }
        }
    }
}
