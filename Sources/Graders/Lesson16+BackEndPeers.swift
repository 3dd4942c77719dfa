// Lesson 16: what a back-end's clients expect while it stops.
import Course
import GraderKit
import Sockets
import Wire

extension Server {
    /// - Parameter time: on the monotonic clock, in nanoseconds.
    func closedItsListener(after time: UInt64) -> Bool {
        let calls = subject.timeline.calls
        guard let listener = calls.last(where: { $0.name == "listen" && $0.result == 0 }) else { return false }
        return calls.first { $0.closes(listener.descriptor) && $0.entered > listener.entered }.map { $0.entered > time }
            ?? false
    }

    /// A client that has sent a part of a request, and the program has received it.
    func begin(_ part: [UInt8]) throws -> StreamPeer {
        let client = try connect()
        let before = subject.timeline.receivedSoFar
        try client.send(part)
        // A library's receives are not seen, and one that waits for all of it has not come back.
        _ = try subject.waitForTimeline(until: Deadline(in: 2)) { $0.receivedSoFar >= before + part.count ? true : nil }
        // What it does with that part comes before what is done to it next: until it waits for more.
        _ = try subject.waitForTimeline(until: Deadline(in: 1)) { timeline in
            timeline.calls.last.map { ($0.isWait || $0.isReceive) && $0.returned == nil } == true ? true : nil
        }
        return client
    }
}

extension StreamPeer {
    /// Asked after a failure: the connection ended with a reset. Behind a mere end of stream the first send goes out.
    var wasReset: Bool {
        Sockets.send(descriptor, [0], 1, MSG_NOSIGNAL) == -1 && [EPIPE, ECONNRESET].contains(errno)
    }

    /// The answer to a request that was begun before the stop, and whose rest goes out now.
    func answer(to request: String, behind rest: String) throws -> HTTPAnswer {
        do {
            try send(rest)
            return try answer(to: request)
        } catch var failure as Failure {
            failure.cause = failure.cause ?? "begun-request-lost"
            throw failure
        }
    }

    /// - Parameter body: nil: any.
    /// - Parameter cause: that it has another body means this.
    func expectAnswer(to request: String, _ status: Int, _ body: String?, cause: String? = nil) throws {
        let answer = try answer(to: request)
        try answer.expect(status, request)
        if let body { try answer.expectText(body, request, cause: cause) }
    }
}

extension HTTPAnswer {
    /// - Parameter cause: that it has another body means this.
    func expectText(_ text: String, _ request: String, cause: String? = nil) throws {
        do { try expectBody(Array(text.utf8), request) } catch var failure as Failure {
            // `NAME ADDRESS SCHEME`: all is right but who answers.
            let behindName = Array(text.utf8.drop { $0 != UInt8(ascii: " ") })
            let isAnotherName = !behindName.isEmpty && body.drop { $0 != UInt8(ascii: " ") }.elementsEqual(behindName)
            failure.cause = failure.cause ?? (isAnotherName ? "another-name" : cause)
            throw failure
        }
    }
}

extension Trial {
    func expectReturn(_ server: Server, within seconds: Double = Deadline.patience, cause: String) throws {
        do { try server.expectReturn(within: seconds) } catch var failure as Failure {
            failure.cause = server.subject.timeline.isStillAccepting ? "stop-not-noticed" : cause
            throw failure
        }
    }

    /// The stop was noticed: the listening socket is closed, while what was begun goes on.
    func expectListenerClosed(_ server: Server) throws {
        let isClosed = server.wait {
            server.subject.catchUp()
            let calls = server.subject.timeline.calls
            guard let listener = calls.last(where: { $0.name == "listen" && $0.result == 0 }) else { return false }
            // Come back, not only begun: until then the kernel still takes connections. A child's copy is none of its own.
            let closed = calls.contains {
                ($0.closes(listener.descriptor) || $0.name == "shutdown" && $0.descriptor == listener.descriptor)
                    && $0.returned != nil && $0.result >= 0 && $0.entered > listener.entered
                    && $0.process == listener.process
            }
            // A library's close leaves no record.
            return closed || server.subject.sockets(among: [listener.descriptor]).isEmpty
        }
        guard isClosed else {
            throw Failure(
                expected: say("after SIGTERM it closes the listening socket", "收到 SIGTERM 后关闭监听套接字"),
                got: say("it is still open", "它仍然开着"), cause: "still-accepts")
        }
    }

    /// Nobody listens there any more.
    func expectRefused(_ server: Server) throws {
        let socket = try closeOnExecSocket(server.address.family, SOCK_STREAM)
        defer { close(socket) }
        note(say("connect to \(server.address)", "连接 \(server.address)"))
        let result = server.address.withSockaddr { connect(socket, $0, $1) }
        guard result == -1, errno == ECONNREFUSED else {
            throw Failure(
                expected: say("a new connection is refused after SIGTERM", "SIGTERM 之后新的连接被拒绝"),
                got: result == 0 ? say("it is connected", "连接成功") : errorText(errno), cause: "still-accepts")
        }
    }

    func expectCloses(_ answer: HTTPAnswer, _ request: String) throws {
        guard !answer.tokens("Connection").contains("close") else { return }
        throw Failure(
            expected: say("Connection: close in the answer to \(request)", "对 \(request) 的回答带有 Connection: close"),
            got: answer["Connection"].map { "Connection: \($0)" } ?? say("no such field", "没有这个字段"),
            cause: "close-not-announced")
    }
}

extension Timeline {
    /// The thread that accepts waits without an end, and the listener is open: as if nothing had been stopped.
    var isStillAccepting: Bool {
        guard let listener = calls.last(where: { $0.name == "listen" && $0.result == 0 }),
            close(of: listener.descriptor, after: listener.entered) == nil,
            let accepting = calls.last(where: \.isAccept)
        else { return false }
        return blocked.contains {
            $0.thread == accepting.thread && $0.process == accepting.process
                && ($0.isAccept || $0.isWait && $0.arguments.1 < 0)
        }
    }
}

extension Cause {
    /// Closed right behind a whole answer, before the client had ended its side.
    static let closedBehindAnAnswer = Cause("keep-alive-ignored-at-back-end") { evidence in
        let calls = evidence.timeline.calls
        for (index, close) in calls.enumerated()
        where ["close", "shutdown"].contains(close.name) && evidence.timeline.accepted(close.descriptor) {
            let before = calls[..<index].last { $0.descriptor == close.descriptor && $0.process == close.process }
            guard let send = before, send.isSend, send.result == send.length, let sent = send.returned,
                close.entered < sent + 100_000_000
            else { continue }
            return say("\(close.callText) behind \(send.callText)", "\(send.callText) 之后就 \(close.callText)")
        }
        return nil
    }
}
