// reset-close, and the two servers of lesson 10. What every TCP server must stand is in StreamServerChecks.swift; here is what
// only these do.
import Course
import GraderKit
import Sockets
import Wire

// MARK: reset-close

let resetCloseChecks: [Check] = [
    Check("reset-seen", suspects: [.wrongValueType, .closedWithFin]) { trial in
        let listener = try trial.listen()
        let call = try trial.begin("reset-close", [listener.socketArgument], plan: FaultPlan.none)
        let peer = try listener.accept(from: call)
        let expected = say("the peer's recv fails with ECONNRESET", "对端的 recv 以 ECONNRESET 失败")
        switch try peer.receive(64, until: Deadline(), expected: expected) {
        case .broken(ECONNRESET): trial.note(say("\(peer.name): ECONNRESET", "\(peer.name)：ECONNRESET"))
        case .broken(let code): throw Failure(expected: expected, got: errorText(code))
        case .end: throw Failure(expected: expected, got: say("a clean end: recv returns 0", "正常结束：recv 返回 0"))
        case .late: throw Failure(expected: expected, got: say("the connection stays open", "连接一直开着"))
        case .bytes(let bytes): throw Failure(expected: expected, got: quoted(bytes))
        }
        _ = try call.value()
    },
    Check("reset-once", suspects: [.wrongValueType]) { trial in
        let listener = try trial.listen()
        let call = try trial.begin("reset-close", [listener.socketArgument], plan: FaultPlan.none)
        _ = try listener.accept(from: call)
        _ = try call.value()
        try expectClosedOnce(call)
    },
    Check("reset-error") { trial in
        let pair = try Pipe()
        let call = try trial.begin("reset-close", [.passed(pair.reader)], plan: FaultPlan.none)
        let expected = say(
            "reset-close of a pipe throws SocketError ENOTSOCK", "对管道，reset-close 抛出 SocketError ENOTSOCK")
        let outcome = try call.outcome(expecting: expected)
        guard case .threw("SocketError", _, ENOTSOCK, _) = outcome else {
            throw Failure(expected: expected, got: outcome.text, cause: call.ignoredRefusal(outcome))
        }
        try expectClosedOnce(call)
    },
]

private func expectClosedOnce(_ call: PendingCall) throws {
    call.subject.catchUp()
    let closes = call.subject.timeline.calls("close").map { $0.text(now: 0) }
    guard closes.count != 1 else { return }
    throw Failure(
        expected: say("close is called once", "close 恰好调用一次"),
        got: closes.isEmpty ? say("it was not called", "没有调用") : closes.joined(separator: ", "),
        cause: closes.isEmpty ? "not-closed-after-an-error" : "closed-more-than-once")
}

private final class Pipe {
    let reader: Int32
    private let writer: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        try check("pipe", pipe(&ends))
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        (reader, writer) = (ends[0], ends[1])
    }

    deinit {
        close(reader)
        close(writer)
    }
}

// MARK: Lines and their lengths

private let lineExchange = Exchange("Hello, 10\n", answer: "9\nHELLO, 10")

/// What both servers answer.
private func lineChecks(_ entry: String, _ prefix: String) -> [Check] {
    [
        Check("\(prefix)-answers", suspects: [.readsPastTheEnd, .leftOpen] + Cause.streamServer) { trial in
            let server = try trial.serve(entry)
            let client = try server.connect()
            for length in [1, 20, 0, 300, Lesson10.longestLine] {
                let line = trial.random.letters(length)
                try client.send(line + [UInt8(ascii: "\n")])
                do { try client.expect(Array("\(length)\n".utf8) + uppercased(line)) } catch var failure as Failure {
                    let nothing = failure.difference.isEmpty && length == Lesson10.longestLine
                    if nothing { failure.cause = "limit-off-by-one" }
                    throw failure
                }
            }
            // Bytes, not text: not UTF-8, a letter outside ASCII, and a CR, which belongs to the line.
            for line in [[0xFF, 0xFE, 0x80], Array("stra\u{DF}e \u{FC}\r".utf8), [0x0D]] as [[UInt8]] {
                try client.send(line + [UInt8(ascii: "\n")])
                do { try client.expect(Array("\(line.count)\n".utf8) + uppercased(line)) } catch var failure as Failure
                {
                    failure.cause = "decoded-as-text"
                    throw failure
                }
            }
            client.halfClose()
            try client.expectEnd()
        }
    ]
}

let requestServerChecks: [Check] =
    lineChecks("request-server", "request") + [
        Check("request-at-once", suspects: [.heldBack] + Cause.streamServer) { trial in
            let server = try trial.serve("request-server")
            let client = try server.connect()
            var asked: [UInt64] = []
            for number in 1...20 {
                asked.append(now())
                try client.send("request \(number)\n")
                let line = "REQUEST \(number)"
                try client.expect("\(line.utf8.count)\n\(line)")
            }
            server.subject.catchUp()
            if let cork = server.subject.timeline.corkLeftIn {
                throw Failure(
                    expected: say("TCP_CORK is taken out after each answer", "每个回答之后都取下 TCP_CORK"),
                    got: say("it stays in: \(cork.callText)", "一直没有取下：\(cork.callText)"), cause: "cork-left-in")
            }
            if let held = server.subject.timeline.heldBack(asked: asked) {
                throw Failure(
                    expected: say("no part of an answer waits for an acknowledgement", "回答的任何部分都不等待确认"),
                    got: say("the second part of an answer waits: \(held.callText)", "回答的第二部分在等待：\(held.callText)"),
                    cause: server.subject.timeline.wrongLevel == nil ? "held-back-by-nagle" : "wrong-level",
                    detail: server.subject.timeline.wrongLevel)
            }
        },
        Check("request-pieces", suspects: [.answersHalfALine, .oneLineAChunk] + Cause.streamServer) { trial in
            let server = try trial.serve("request-server")
            let client = try server.connect()
            try client.send("he")
            _ = try server.subject.waitForTimeline { $0.receivedCount >= 2 ? true : nil }
            try client.send("llo\nwor")
            try client.expect("5\nHELLO")
            try client.send("ld\n\ntwo\nthree\n")
            try client.expect("5\nWORLD0\n3\nTWO5\nTHREE")
            // What is behind the last newline is no line.
            try client.send("unfinished")
            client.halfClose()
            try client.expectEnd()
        },
        Check("request-long-line", suspects: [.leftOpen] + Cause.streamServer) { trial in
            let server = try trial.serve("request-server")
            // One that is still going on, and one that is there with its newline.
            for line in [
                [UInt8](repeating: UInt8(ascii: "x"), count: Lesson10.longestLine + 1),
                [UInt8](repeating: UInt8(ascii: "x"), count: 3000) + [UInt8(ascii: "\n")],
            ] {
                let client = try server.connect()
                try client.send(line)
                let expected = say(
                    "a line of more than \(Lesson10.longestLine) bytes ends the connection",
                    "超过 \(Lesson10.longestLine) 字节的行，连接被关闭")
                switch try client.receive(64, until: Deadline(), expected: expected) {
                case .end, .broken: break
                case .bytes(let bytes):
                    throw Failure(expected: expected, got: quoted(bytes), cause: "limit-without-newline-only")
                case .late:
                    throw Failure(
                        expected: expected, got: say("it waits for more of it", "它还在等后面的字节"),
                        cause: "line-without-limit")
                }
            }
            try lineExchange.runOnce(server)
        },
        Check("request-full", suspects: [.acceptErrorEndedServer] + Cause.streamServer) { trial in
            let server = try trial.serve("request-server", plan: .fail(.accept, 1, through: 3, with: EMFILE))
            try lineExchange.visit(server)
            try lineExchange.visit(server)
        },
    ] + streamServerChecks("request-server", prefix: "request", exchange: lineExchange, suspects: Cause.servingLines)

let sharedServerChecks: [Check] =
    lineChecks("shared-server", "shared") + [
        Check("shared-two", suspects: Cause.sharing) { trial in
            let first = try trial.serve("shared-server")
            _ = try trial.serveBeside(first)
            try lineExchange.runOnce(first)
        },
        Check("shared-spread", suspects: Cause.sharing) { trial in
            let first = try trial.serve("shared-server")
            let second = try trial.serveBeside(first)
            // Each client has a port of its own, by which the kernel chooses: that all choices are the same does not happen.
            for _ in 0..<64 { try lineExchange.runOnce(first) }
            let served = [first, second].map { server in
                server.subject.catchUp()
                return server.subject.timeline.calls.filter { $0.isAccept && $0.result >= 0 }.count
            }
            guard served.allSatisfy({ $0 > 0 }) else {
                throw Failure(
                    expected: say("of 64 clients each of the two servers gets some", "64 个客户端，两个服务器都分到一些"),
                    got: say("\(served[0]) and \(served[1])", "\(served[0]) 个和 \(served[1]) 个"))
            }
        },
        Check("shared-survivor", suspects: Cause.sharing) { trial in
            let first = try trial.serve("shared-server")
            let second = try trial.serveBeside(first)
            try lineExchange.runOnce(first)
            first.kill()
            for _ in 0..<20 { try lineExchange.runOnce(second) }
            // And one that comes back gets its share again.
            let third = try trial.serveBeside(second)
            second.kill()
            for _ in 0..<20 { try lineExchange.runOnce(third) }
        },
        Check("shared-taken", suspects: [.listenedElsewhere] + Cause.sharing) { trial in
            let stranger = try trial.listen()
            let expected = say(
                "it throws SocketError EADDRINUSE: somebody listens on port \(stranger.address.port) who does not share",
                "抛出 SocketError EADDRINUSE：端口 \(stranger.address.port) 上有人在监听，而且不共享")
            switch try trial.serveInVain("shared-server", port: stranger.address.port) {
            case .threw("SocketError", _, EADDRINUSE, _)?: return
            case .returned?:
                throw Failure(
                    expected: expected, got: say("it returned as if all were well", "它像没事一样返回了"),
                    cause: "listen-error-kept")
            case let outcome?: throw Failure(expected: expected, got: outcome.text)
            case nil: throw Failure(expected: expected, got: say("it waits for clients", "它在等客户端"))
            }
        },
    ]
    + streamServerChecks(
        "shared-server", prefix: "shared", exchange: lineExchange, suspects: Cause.sharing + Cause.servingLines
    )
    // Two on one port is what this one is for.
    .filter { $0.id != "shared-taken" }

extension Cause {
    /// It waits for more, and what came last had several lines in it.
    fileprivate static let oneLineAChunk = Cause("one-message-a-chunk") { evidence in
        let timeline = evidence.timeline
        guard timeline.blocked.contains(where: \.isReceive),
            let last = timeline.calls.last(where: { $0.isReceive && $0.result > 0 }),
            last.data.filter({ $0 == UInt8(ascii: "\n") }).count > 1
        else { return nil }
        return last.text(now: evidence.now)
    }

    fileprivate static let sharing: [Cause] = [.wrongLevel, .noReusePort]
    fileprivate static let servingLines: [Cause] = [.answersHalfALine, .restOfAnother, .corkLeftIn]

    static let corkLeftIn = Cause("cork-left-in") { $0.timeline.corkLeftIn?.callText }

    /// An answer longer than what this client has sent: it begins with bytes of one that has left.
    fileprivate static let restOfAnother = Cause("rest-of-another-client") { evidence in
        var received: [Int32: Int64] = [:]
        // Who answers before a line has ended makes another mistake.
        var hasLine: Set<Int32> = []
        for call in evidence.timeline.calls where call.returned != nil {
            if call.isAccept, call.result >= 0 {
                received[Int32(call.result)] = 0
                hasLine.remove(Int32(call.result))
            }
            if call.isReceive, call.result > 0 {
                received[call.descriptor]? += call.result
                if call.data.contains(UInt8(ascii: "\n")) { hasLine.insert(call.descriptor) }
            }
            guard call.isSend, hasLine.contains(call.descriptor), let count = received[call.descriptor],
                let length = call.answeredLength, length >= count
            else { continue }
            return call.callText
        }
        return nil
    }

    static let heldBack = Cause("held-back-by-nagle") { $0.timeline.heldBack(asked: [])?.callText }
}

extension Trial {
    /// Another process of the same server, on the same port.
    fileprivate func serveBeside(_ first: Server) throws -> Server {
        do { return try serve("shared-server", port: first.address.port) } catch {
            // What the first one did too late, the second never came to.
            guard let late = first.subject.timeline.sharedTooLate else { throw error }
            throw Failure(
                expected: say("a second server on port \(first.address.port)", "端口 \(first.address.port) 上的第二个服务器"),
                got: say("bind fails with EADDRINUSE", "bind 以 EADDRINUSE 失败"), cause: "reuse-port-after-bind",
                detail: say("the first server: ", "第一个服务器：") + late.callText)
        }
    }
}

extension Timeline {
    /// The last TCP_CORK, if none was ever taken out.
    fileprivate var corkLeftIn: Call? {
        let corks = calls("setsockopt").filter { $0.optionName == "TCP_CORK" }
        return corks.allSatisfy { $0.data.contains { $0 != 0 } } ? corks.last : nil
    }

    /// The first send that the kernel holds back until the one before it has been acknowledged: a second one between two
    /// receives, on a connection with Nagle's algorithm (tcp(7), TCP_NODELAY, TCP_CORK; send(2), MSG_MORE).
    ///
    /// - Parameter asked: when a client asked that had all answers before. What it acknowledges holds nothing back, whoever
    ///   received it: a copy of the descriptor, a library, another thread.
    fileprivate func heldBack(asked: [UInt64]) -> Call? {
        var connections: [Int32: NagleState] = [:]
        var asked = asked[...]
        for call in calls where call.returned != nil {
            while let time = asked.first, time < call.entered {
                asked.removeFirst()
                for descriptor in connections.keys { connections[descriptor]?.hasSent = false }
            }
            if call.isAccept, call.result >= 0 {
                // On Linux a connection has its listener's options.
                connections[Int32(call.result)] = NagleState(isOff: connections[call.descriptor]?.isOff ?? false)
            } else if call.name == "setsockopt", call.result == 0 {
                connections[call.descriptor, default: NagleState()].note(call)
            } else if call.isReceive, call.result > 0 {
                connections[call.descriptor]?.hasSent = false
            } else if call.isSend, call.result > 0, let state = connections[call.descriptor] {
                if state.hasSent && !state.isOff && !state.isCorked { return call }
                connections[call.descriptor]?.hasSent = !call.saysMore
            }
        }
        return nil
    }
}

private struct NagleState {
    /// TCP_NODELAY
    var isOff = false
    /// TCP_CORK: the program itself says when to send.
    var isCorked = false
    /// Since it last received.
    var hasSent = false

    mutating func note(_ call: Call) {
        let isOn = call.data.contains { $0 != 0 }
        switch call.optionName {
        case "TCP_NODELAY": isOff = isOn
        case "TCP_CORK":
            isCorked = isOn
            // Pulled: what has gathered leaves.
            if !isOn { hasSent = false }
        default: break
        }
    }
}
