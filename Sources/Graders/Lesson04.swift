// Grader of lesson 04: TCP. Each check reads as the sentence that it checks; lesson.json describes it under the same id.
import Course
import GraderKit
import Sockets
import Wire

let lesson04 = LessonGrader(
    slug: Lesson04.slug,
    checks: sendAllChecks + receiveExactlyChecks + closeGracefullyChecks + uppercaseClientChecks + lesson04ServerChecks)

// MARK: send-all

private let sendAllChecks: [Check] = [
    Check("send-whole") { trial in
        let listener = try trial.listen(smallBuffers: true)
        let message = trial.random.letters(512 << 10)
        let call = try trial.begin("send-all", [listener.socketArgument, .bytes(message)])
        let peer = try listener.accept(from: call)
        try peer.expect(message)
        _ = try call.value()
        try expectNothingMore(peer, after: call)
    },
    Check("send-short", suspects: [.sentAgainFromTheStart]) { trial in
        let listener = try trial.listen()
        let message = trial.random.letters(1000)
        let call = try trial.begin("send-all", [listener.socketArgument, .bytes(message)], plan: .most(3, each: .send))
        let peer = try listener.accept(from: call)
        try peer.expect(message)
        _ = try call.value()
        try expectNothingMore(peer, after: call)
    },
    Check("send-eintr", suspects: [.sentAgainFromTheStart]) { trial in
        // At first, and in the middle: what has gone is not sent again.
        for plan in [
            FaultPlan.fail(.send, 1, through: 3, with: EINTR),
            .fail(.send, 3, through: 4, with: EINTR) + .most(10, each: .send),
        ] {
            let listener = try trial.listen()
            let message = trial.random.bytes(100)
            let call = try trial.begin("send-all", [listener.socketArgument, .bytes(message)], plan: plan)
            let peer = try listener.accept(from: call)
            _ = try call.value()
            try peer.expect(message)
            try expectNothingMore(peer, after: call)
        }
    },
    Check("send-broken", suspects: [.breakUnnoticed]) { trial in
        let listener = try trial.listen(smallBuffers: true)
        let message = trial.random.letters(512 << 10)
        let call = try trial.begin("send-all", [listener.socketArgument, .bytes(message)])
        let peer = try listener.accept(from: call)
        // A reset behind the end of the stream: send fails with EPIPE, and not with ECONNRESET first.
        _ = try call.subject.waitForTimeline { $0.calls.first(where: \.isSend) }
        peer.halfClose()
        peer.reset()
        try expectSocketError([EPIPE, ECONNRESET], from: call)
    },
    Check("send-nothing") { trial in
        let listener = try trial.listen()
        let call = try trial.begin("send-all", [listener.socketArgument, .bytes([])])
        let peer = try listener.accept(from: call)
        _ = try call.value()
        try expectNothingMore(peer, after: call)
    },
]

/// The call has returned: whatever it sent is on its way, and the end of the process ends the stream behind it.
private func expectNothingMore(_ peer: StreamPeer, after call: PendingCall) throws {
    call.subject.catchUp()
    let timeline = call.subject.timeline
    // Where nothing was sent, nobody knows which one was lent: it may close what it has made for itself.
    let used = Set(timeline.calls.filter(\.isSend).map(\.descriptor))
    if let early = timeline.calls.first(where: { timeline.endsWhatWasLent($0) && used.contains($0.descriptor) }) {
        throw Failure(
            expected: say("the socket is still open", "套接字仍然开着"), got: early.callText, cause: "closed-what-was-lent")
    }
    call.subject.stop()
    try peer.expectEnd()
}

/// - Parameter mistakes: the cause of another error that it throws.
func expectSocketError(_ codes: [Int32], from call: PendingCall, mistakes: [Int32: String] = [:]) throws {
    let names = codes.map(errorName).joined(separator: say(" or ", " 或 "))
    let expected = say("it throws SocketError \(names)", "抛出 SocketError \(names)")
    let outcome = try call.outcome()
    var cause: String?
    if case .threw("SocketError", _, let code, _) = outcome {
        if codes.contains(code) { return }
        cause = mistakes[code]
    }
    throw Failure(expected: expected, got: outcome.text, cause: cause)
}

// MARK: receive-exactly

private let receiveExactlyChecks: [Check] = [
    Check("receive-pieces", suspects: [.oneReceiveIsOneMessage]) { trial in
        let listener = try trial.listen()
        let message = trial.random.letters(10_000)
        let call = try trial.begin("receive-exactly", [listener.socketArgument, .int(message.count)])
        let peer = try listener.accept(from: call)
        for start in stride(from: 0, to: message.count, by: 2500) {
            try peer.send(Array(message[start..<start + 2500]))
            // The next piece only when this one has been taken, or when recv was told to wait for all of them.
            _ = try call.subject.waitForTimeline(until: Deadline(in: 2)) { timeline in
                timeline.receivedCount >= start + 2500
                    || timeline.calls.contains { $0.isReceive && $0.arguments.0 & Int64(MSG_WAITALL as Int32) != 0 }
                    ? true : nil
            }
        }
        try trial.expect(try call.bytes(), equals: message, say("the bytes that were sent", "发来的字节"))
    },
    Check("receive-short", suspects: [.oneReceiveIsOneMessage]) { trial in
        let listener = try trial.listen()
        let message = trial.random.letters(200)
        let call = try trial.begin(
            "receive-exactly", [listener.socketArgument, .int(message.count)], plan: .most(1, each: .receive))
        let peer = try listener.accept(from: call)
        try peer.send(message)
        try trial.expect(try call.bytes(), equals: message, say("the bytes that were sent", "发来的字节"))
    },
    Check("receive-no-more") { trial in
        let listener = try trial.listen()
        let message = trial.random.letters(150)
        let call = try trial.begin("receive-exactly", [listener.socketArgument, .int(100)], plan: FaultPlan.none)
        let peer = try listener.accept(from: call)
        try peer.send(message)
        try trial.expect(
            try call.bytes(), equals: Array(message.prefix(100)), say("the first 100 bytes", "前 100 个字节"))
        call.subject.catchUp()
        let count = call.subject.timeline.receivedCount
        // What a library receives is not recorded.
        guard count <= 100 else {
            throw Failure(
                expected: say("100 bytes are taken from the socket", "从套接字取走 100 字节"),
                got: say("\(count) were taken", "取走了 \(count) 字节"), cause: "took-too-much")
        }
    },
    Check("receive-end", suspects: [.readsPastTheEnd, .endUnnoticed, .oneReceiveIsOneMessage]) { trial in
        for count in [0, 7] {
            let listener = try trial.listen()
            let call = try trial.begin("receive-exactly", [listener.socketArgument, .int(10)])
            let peer = try listener.accept(from: call)
            try peer.send(trial.random.letters(count))
            peer.close()
            try expectEnded(call, after: count)
        }
    },
    Check("receive-reset", suspects: [.breakUnnoticed, .oneReceiveIsOneMessage]) { trial in
        let listener = try trial.listen()
        let call = try trial.begin("receive-exactly", [listener.socketArgument, .int(10)])
        let peer = try listener.accept(from: call)
        try peer.send(trial.random.letters(3))
        peer.reset()
        try expectSocketError([ECONNRESET], from: call)
    },
    Check("receive-eintr", suspects: [.begunAnew, .readsPastTheEnd, .endUnnoticed, .oneReceiveIsOneMessage]) { trial in
        for plan in [
            FaultPlan.fail(.receive, 1, through: 3, with: EINTR),
            .fail(.receive, 3, through: 4, with: EINTR) + .most(10, each: .receive),
        ] {
            let listener = try trial.listen()
            let message = trial.random.letters(100)
            let call = try trial.begin("receive-exactly", [listener.socketArgument, .int(message.count)], plan: plan)
            let peer = try listener.accept(from: call)
            try peer.send(message)
            try trial.expect(try call.bytes(), equals: message, say("the bytes that were sent", "发来的字节"))
        }
        // At the end of the stream errno is still the EINTR of before, which says nothing any more.
        let listener = try trial.listen()
        let call = try trial.begin(
            "receive-exactly", [listener.socketArgument, .int(10)], plan: .fail(.receive, 1, through: 3, with: EINTR))
        let peer = try listener.accept(from: call)
        try peer.send(trial.random.letters(7))
        peer.close()
        try expectEnded(call, after: 7)
    },
    Check("receive-nothing", suspects: [.receivesWithoutRoom]) { trial in
        let listener = try trial.listen()
        let call = try trial.begin("receive-exactly", [listener.socketArgument, .int(0)])
        let peer = try listener.accept(from: call)
        try trial.expect(try call.bytes(), equals: [], say("what it returns for a count of 0", "数目为 0 时的返回值"))
        peer.close()
    },
]

private func expectEnded(_ call: PendingCall, after count: Int) throws {
    let error = "ended(received: \(count))"
    switch try call.outcome() {
    case .threw("StreamError", _, _, error): return
    case let outcome:
        let isEnd = if case .threw("StreamError", _, _, _) = outcome { true } else { false }
        throw Failure(
            expected: say("it throws StreamError.\(error)", "抛出 StreamError.\(error)"), got: outcome.text,
            cause: isEnd && count > 0 && call.subject.timeline.receivedCount == count ? "counts-one-receive" : nil)
    }
}

/// Whether a broken connection is worth an error is up to the student; that it is closed is not.
private func expectClosedOnce(_ call: PendingCall, _ when: String) throws {
    _ = try call.outcome()
    call.subject.catchUp()
    let calls = call.subject.timeline.calls
    // A timer or a list of its own is closed, too: what counts is the socket, which was shut down, or received from.
    let sockets = Set(calls.filter { $0.name == "shutdown" || $0.isReceive || $0.isSend }.map(\.descriptor))
    let closes = calls.filter { $0.name == "close" && (sockets.isEmpty || sockets.contains($0.descriptor)) }
        .map { $0.text(now: 0) }
    guard closes.count != 1 else { return }
    throw Failure(
        expected: say("close is called once, \(when)", "\(when)，close 恰好调用一次"),
        got: closes.isEmpty ? say("it was not called", "没有调用") : closes.joined(separator: ", "),
        cause: closes.isEmpty ? "never-closed" : "closed-twice")
}

extension PendingCall {
    /// What it returned, as bytes.
    func bytes() throws -> [UInt8] {
        guard case .bytes(let bytes) = try value() else { throw LabError("a function that returns bytes") }
        return bytes
    }
}

extension Timeline {
    /// How many bytes were taken from sockets: looking (MSG_PEEK) is not taking.
    var receivedCount: Int {
        calls.reduce(0) { sum, call in
            let peeks = call.name != "read" && call.name != "readv" && call.arguments.0 & Int64(MSG_PEEK as Int32) != 0
            return sum + (call.isReceive && call.result > 0 && !peeks ? Int(call.result) : 0)
        }
    }
}

// MARK: close-gracefully

private let closeGracefullyChecks: [Check] = [
    Check("close-half", suspects: [.neverHalfClosed]) { trial in
        let listener = try trial.listen()
        let call = try trial.begin("close-gracefully", [listener.socketArgument])
        let peer = try listener.accept(from: call)
        try peer.expectEnd()
        peer.halfClose()
        _ = try call.value()
    },
    Check("close-drains", suspects: [.neverHalfClosed, .waitsBehindTheEnd, .shutBothDirections, .closedBeforeTheEnd]) {
        trial in
        let listener = try trial.listen(smallBuffers: true)
        let call = try trial.begin("close-gracefully", [listener.socketArgument])
        let peer = try listener.accept(from: call)
        try peer.expectEnd()
        let rest = trial.random.letters(512 << 10)
        try peer.send(rest)
        peer.halfClose()
        _ = try call.value()
        call.subject.catchUp()
        let timeline = call.subject.timeline
        let receives = timeline.calls.filter { $0.isReceive && $0.returned != nil }
        // Who asks how much is there (FIONREAD) knows the end without a receive that returns 0.
        guard
            receives.isEmpty || receives.contains(where: { $0.result == 0 && $0.length > 0 })
                || timeline.count("ioctl") > 0 && timeline.receivedCount >= rest.count
        else {
            throw Failure(
                expected: say(
                    "it takes all \(rest.count) bytes that the peer sends, and closes at the end of the stream",
                    "取走对端发来的全部 \(rest.count) 字节，到流结束才关闭"),
                got: say(
                    "it closed after \(timeline.receivedCount) bytes", "取走 \(timeline.receivedCount) 字节就关闭了"))
        }
        try peer.expectNoReset()
    },
    Check("close-once", suspects: [.closedTwice]) { trial in
        for breaks in [false, true] {
            let listener = try trial.listen()
            let call = try trial.begin("close-gracefully", [listener.socketArgument], plan: FaultPlan.none)
            let peer = try listener.accept(from: call)
            if breaks { peer.reset() } else { peer.halfClose() }
            try expectClosedOnce(
                call, breaks ? say("after a reset by the peer", "在对端重置之后") : say("after the peer's end", "在对端结束之后"))
        }
        // Broken before it is called: shutdown fails, and the descriptor is closed all the same.
        let broken: OwnedSocket
        do {
            let pair = try ConnectedPair(SOCK_STREAM, host: "127.0.0.1")
            broken = pair.client
            var abort = linger(l_onoff: 1, l_linger: 0)
            let size = socklen_t(MemoryLayout<linger>.size)
            try check("setsockopt", setsockopt(pair.server.descriptor, SOL_SOCKET, SO_LINGER, &abort, size))
        }
        let call = try trial.begin("close-gracefully", [.passed(broken.descriptor)], plan: FaultPlan.none)
        try expectClosedOnce(call, say("when shutdown fails", "在 shutdown 失败时"))
    },
    Check("close-eintr", suspects: [.neverHalfClosed, .shutBothDirections, .interruptedCall, .closedBeforeTheEnd]) {
        trial in
        let listener = try trial.listen()
        let plan = FaultPlan.fail(.receive, 1, through: 3, with: EINTR)
        let call = try trial.begin("close-gracefully", [listener.socketArgument], plan: plan)
        let peer = try listener.accept(from: call)
        try peer.expectEnd()
        try peer.send(trial.random.letters(100))
        peer.halfClose()
        _ = try call.value()
        let timeline = call.subject.timeline
        // What a library receives is not recorded; that it was received is seen by the connection.
        if timeline.calls.contains(where: \.isReceive) {
            try trial.expect(
                timeline.receivedCount, equals: 100, say("how many bytes it read before it closed", "关闭之前读到的字节数"))
        }
        try peer.expectNoReset()
    },
]
