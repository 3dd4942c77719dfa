// Lesson 04: the checks of the client. The grader is its server.
import Course
import GraderKit
import Sockets
import Wire

let uppercaseClientChecks: [Check] = [
    Check("client-asks") { trial in
        for message in [Array("hello".utf8), [], trial.random.bytes(1000)] {
            let listener = try trial.listen()
            let call = try trial.beginClient(message, to: listener.address)
            let server = try acceptAtTheRightPort(listener, from: call)
            try server.expect(message)
            try server.send(uppercased(message))
            server.close()
            try trial.expect(try call.bytes(), equals: uppercased(message), say("the server's answer", "服务器的回答"))
        }
    },
    Check("client-half-close", suspects: [.neverHalfClosed]) { trial in
        // Who has nothing to say ends, too.
        for message in [trial.random.letters(50), []] {
            let listener = try trial.listen()
            let call = try trial.beginClient(message, to: listener.address)
            let server = try acceptAtTheRightPort(listener, from: call)
            try server.expect(message)
            try server.expectEnd()
            let answer = Array("\(message.count): ".utf8) + message.reversed()
            try server.send(answer)
            server.close()
            try trial.expect(try call.bytes(), equals: answer, say("the server's answer", "服务器的回答"))
        }
    },
    Check("client-collects", suspects: [.silenceTakenForEnd, .hangUpTakenForEnd, .oneReceiveIsOneMessage]) { trial in
        let listener = try trial.listen()
        let answer = trial.random.letters(5000)
        let call = try trial.beginClient(Array("collect".utf8), to: listener.address)
        let server = try acceptAtTheRightPort(listener, from: call)
        try server.expect("collect")
        for start in stride(from: 0, to: answer.count, by: 1000) {
            try server.send(Array(answer[start..<start + 1000]))
            _ = try call.subject.waitForTimeline(until: Deadline(in: 2)) { timeline in
                timeline.receivedCount >= start + 1000 ? true : nil
            }
            // A slow server: that nothing comes for a second is no end.
            if start == 1000 { poll(nil, 0, 1000) }
        }
        server.close()
        try trial.expect(try call.bytes(), equals: answer, say("the server's answer", "服务器的回答"))
    },
    Check("client-large", suspects: [.oneReceiveIsOneMessage, .bothSend, .neverHalfClosed]) { trial in
        let listener = try trial.listen(smallBuffers: true)
        let message = trial.random.letters(512 << 10)
        let call = try trial.beginClient(message, to: listener.address)
        let server = try acceptAtTheRightPort(listener, from: call)
        try answerInUpperCase(server, call)
        try trial.expect(try call.bytes(), equals: uppercased(message), say("the server's answer", "服务器的回答"))
    },
    Check("client-ipv6") { trial in
        try trial.needsLoopback("::1")
        let listener = try trial.listen(host: "::1")
        let call = try trial.beginClient(Array("six".utf8), to: listener.address)
        let server = try acceptAtTheRightPort(listener, from: call)
        try server.expect("six")
        try server.send("SIX")
        server.close()
        try trial.expect(try call.bytes(), equals: Array("SIX".utf8), say("the server's answer", "服务器的回答"))
    },
    Check("client-refused", suspects: [.breakUnnoticed]) { trial in
        try withPortWhereNobodyListens { address in
            // The second time connect is interrupted: what became of it only the socket knows.
            for plan in [nil, FaultPlan.fail(.connect, with: EINTR)] {
                let call = try trial.beginClient(Array("hello".utf8), to: address, plan: plan)
                try expectSocketError(
                    [ECONNREFUSED], from: call,
                    mistakes: plan == nil ? [:] : [EINTR: "errno-of-before", ENOTCONN: "so-error-not-asked"])
            }
            let call = try trial.beginClient(
                Array("hello".utf8), to: address, plan: .fail(.socket, every: 1, with: EMFILE))
            try expectSocketError([EMFILE, EBADF], from: call)
        }
    },
    Check("client-cut-off", suspects: [.breakUnnoticed, .oneReceiveIsOneMessage]) { trial in
        let listener = try trial.listen()
        let call = try trial.beginClient(Array("hello".utf8), to: listener.address)
        try cutOff(try acceptAtTheRightPort(listener, from: call), call)
        try expectSocketError([ECONNRESET], from: call)
    },
    Check("client-closes") { trial in
        let whole = try trial.listen()
        let call = try trial.beginClient(Array("hello".utf8), to: whole.address)
        let server = try acceptAtTheRightPort(whole, from: call)
        try server.expect("hello")
        server.close()
        _ = try call.outcome()
        try expectAllClosed(call, say("after the answer", "在收到回答之后"))

        try withPortWhereNobodyListens { address in
            let call = try trial.beginClient(Array("hello".utf8), to: address)
            _ = try call.outcome()
            try expectAllClosed(call, say("after a refused connection", "在连接被拒绝之后"))
        }

        let broken = try trial.listen()
        let last = try trial.beginClient(Array("hello".utf8), to: broken.address)
        try cutOff(try acceptAtTheRightPort(broken, from: last), last)
        _ = try last.outcome()
        try expectAllClosed(last, say("after a reset", "在连接被重置之后"))
        try expectClosedAfterSending(trial)
    },
    Check("client-eintr", suspects: [.interruptedCall, .neverHalfClosed]) { trial in
        let listener = try trial.listen()
        let plan =
            FaultPlan.fail(.connect, with: EINTR) + .fail(.send, 1, through: 3, with: EINTR)
            + .fail(.receive, 1, through: 3, with: EINTR) + .fail(.waitReady, 1, through: 3, with: EINTR)
        let call = try trial.beginClient(Array("hello".utf8), to: listener.address, plan: plan)
        let server = try acceptAtTheRightPort(listener, from: call)
        try answerInUpperCase(server, call)
        try trial.expect(try call.bytes(), equals: Array("HELLO".utf8), say("the server's answer", "服务器的回答"))
    },
    Check(
        "client-short",
        suspects: [.sentAgainFromTheStart, .hangUpTakenForEnd, .oneReceiveIsOneMessage, .neverHalfClosed]
    ) { trial in
        let listener = try trial.listen()
        let message = trial.random.letters(300)
        let plan = FaultPlan.most(1, each: .send) + .most(1, each: .receive)
        let call = try trial.beginClient(message, to: listener.address, plan: plan)
        let server = try acceptAtTheRightPort(listener, from: call)
        // All of it, then a part of the answer; then the rest with its end: both sides have ended when that is read.
        try server.expect(message)
        try server.expectEnd()
        try server.send(Array(uppercased(message).prefix(100)))
        _ = try call.subject.waitForTimeline(until: Deadline(in: 2)) { $0.receivedCount >= 50 ? true : nil }
        // Who has left by then has returned too early, and what it returned says so.
        do { try server.sendAndEnd(Array(uppercased(message).dropFirst(100))) } catch is Failure {}
        try trial.expect(try call.bytes(), equals: uppercased(message), say("the server's answer", "服务器的回答"))
    },
]

extension Trial {
    fileprivate func beginClient(_ message: [UInt8], to address: SocketAddress, plan: FaultPlan? = nil) throws
        -> PendingCall
    {
        try begin("client", [.bytes(message), .string(address.host), .int(Int(address.port))], plan: plan)
    }
}

/// Says so if the client went to the port with its bytes the wrong way round.
private func acceptAtTheRightPort(_ listener: StreamListener, from call: PendingCall) throws -> StreamPeer {
    do { return try listener.accept(from: call) } catch var failure as Failure {
        call.subject.catchUp()
        let port = listener.address.port
        if call.subject.timeline.calls("connect").contains(where: { $0.given?.port == port.byteSwapped }) {
            failure.cause = Cause.portInHostOrder.id
            failure.detail = say(
                "asked for port \(port), it used \(port.byteSwapped)", "要求端口 \(port)，实际用了 \(port.byteSwapped)")
        }
        throw failure
    }
}

/// The server's part: answers what it reads while it reads it, as the servers of this lesson do, and closes after the
/// client's end.
///
/// A server's send waits when nobody takes its answers, and then it does not read either. How late that is depends on the
/// kernel's buffers, which grow to megabytes while bytes flow; so this server stops by itself, and early, when the client
/// has not received 8 KiB of the answer.
private func answerInUpperCase(_ server: StreamPeer, _ call: PendingCall) throws {
    let expected = say("the client sends its message and ends its side", "客户端发完消息并结束自己一侧")
    let most = 8 << 10
    var sent = 0
    while true {
        let taken = try call.subject.waitForTimeline { sent - $0.receivedCount < most ? true : nil }
        if taken == nil {
            throw Failure(
                expected: say("the client reads answers while it is still sending", "客户端一边发送一边读取回答"),
                got: say("\(most) bytes of the answer lie unread", "有 \(most) 字节的回答没有人读"))
        }
        switch try server.receive(1024, until: Deadline(), expected: expected) {
        case .bytes(let bytes):
            try server.send(uppercased(bytes))
            sent += bytes.count
        case .end:
            server.close()
            return
        case .late: throw Failure(expected: expected, got: say("the connection is still open", "连接仍然开着"))
        case .broken(let code): throw Failure(expected: expected, got: errorText(code))
        }
    }
}

/// The server's part: half an answer, and when that has been received, a reset.
private func cutOff(_ server: StreamPeer, _ call: PendingCall) throws {
    let before = call.subject.timeline.receivedCount
    try server.expect("hello")
    try server.send("HEL")
    _ = try call.subject.waitForTimeline { $0.receivedCount >= before + 3 ? true : nil }
    server.reset()
}

/// Bound, so that nobody else takes it, but not listening: the kernel refuses connections.
private func withPortWhereNobodyListens(_ body: (SocketAddress) throws -> Void) throws {
    let holder = try closeOnExecSocket(AF_INET, SOCK_STREAM)
    defer { close(holder) }
    let any = try SocketAddress(host: "127.0.0.1", port: 0)
    try check("bind", any.withSockaddr { bind(holder, $0, $1) })
    try body(try SocketAddress.local(of: holder))
}

/// The connection is reset in the middle of the message, or the server ends its side there. recv is the first to be told; a
/// thread that sends stays in its send, until the reset itself comes, or somebody reads again.
private func expectClosedAfterSending(_ trial: Trial) throws {
    for breaks in [true, false] {
        let listener = try trial.listen(smallBuffers: true)
        let call = try trial.beginClient(
            trial.random.letters(512 << 10), to: listener.address,
            plan: breaks ? .fail(.receive, 2, with: ECONNRESET) : FaultPlan.none)
        let server = try acceptAtTheRightPort(listener, from: call)
        func waitUntil(_ deadline: Deadline = Deadline(), _ isSo: (Timeline) -> Bool) throws {
            _ = try call.subject.waitForTimeline(until: deadline) { isSo($0) ? true : nil }
        }
        func isOver(_ timeline: Timeline) -> Bool {
            timeline.calls.contains { call in
                call.isReceive && (breaks ? call.error == ECONNRESET : call.returned != nil && call.result == 0)
            }
        }
        try waitUntil { $0.heldUpSend != nil || isOver($0) }
        try server.send("HEL")
        if !breaks { server.halfClose() }
        try waitUntil { isOver($0) }
        // Who waits for its sender, and has not woken it, waits for what comes now.
        try waitUntil(Deadline(in: 1)) { $0.count("close") > 0 }
        if breaks { server.reset() } else { server.readAll() }
        _ = try call.outcome()
        try expectAllClosed(call, say("after an end in the middle of the message", "消息发到一半就结束之后"))
        try expectNobodySending(call.subject.timeline)
    }
}

/// No send is under way when its descriptor is closed.
private func expectNobodySending(_ timeline: Timeline) throws {
    for close in timeline.calls("close") {
        let under = timeline.calls.first { send in
            send.isSend && send.descriptor == close.descriptor && send.entered < close.entered
                && (send.isBlocked || send.returned.map { $0 > close.entered } ?? false)
        }
        guard let under else { continue }
        throw Failure(
            expected: say("nobody uses the socket any more when it is closed", "关闭套接字时，已经没有人在用它"),
            got: say("\(close.callText) during \(under.callText)", "\(under.callText) 还没有返回，就 \(close.callText)"),
            cause: "closed-under-sender")
    }
}

extension StreamPeer {
    /// Whatever comes, until the end, however that looks.
    fileprivate func readAll() {
        let deadline = Deadline()
        while case .bytes? = try? receive(1 << 16, until: deadline, expected: "") {}
    }
}

/// As many successful closes of each descriptor as there were sockets of that number.
private func expectAllClosed(_ call: PendingCall, _ when: String) throws {
    call.subject.catchUp()
    let timeline = call.subject.timeline
    for opened in timeline.calls("socket") where opened.result >= 0 {
        let descriptor = Int32(opened.result)
        let sockets = timeline.calls("socket").filter { $0.result == opened.result }.count
        let closes = timeline.calls("close").filter { $0.descriptor == descriptor }
        // A library's close leaves no record: the kernel knows.
        if closes.count < sockets, call.subject.sockets(among: [descriptor]).contains(descriptor) {
            throw Failure(
                expected: say("the client's socket is closed, \(when)", "\(when)，客户端的套接字已关闭"),
                got: say("descriptor \(descriptor) is still open", "描述符 \(descriptor) 仍然开着"), cause: "never-closed")
        }
        if closes.count > sockets {
            throw Failure(
                expected: say("close is called once, \(when)", "\(when)，close 恰好调用一次"),
                got: closes.map { $0.text(now: 0) }.joined(separator: ", "), cause: "closed-twice")
        }
    }
}
