// Grader of lesson 07: epoll. lesson.json describes each check under the same id.
import Course
import GraderKit
import Sockets
import Wire

let lesson07 = LessonGrader(
    slug: Lesson07.slug,
    checks: levelTriggeredChecks + edgeTriggeredChecks + idleTimeoutChecks + stoppableChecks)

/// Mistakes that any check of a server over epoll may run into.
private let levelSuspects: [Cause] = [
    .stateOfTheOneBefore, .restForgotten, .goodbyeNotReadOut, .numbersOfSelect, .alwaysAsksToWrite, .hangUpIgnored,
    .acceptBlocks, .oneshotNotRenewed, .takenOffNotClosed,
]
private let edgeSuspects: [Cause] = [
    .stateOfTheOneBefore, .restForgotten, .goodbyeNotReadOut, .numbersOfSelect, .readOnce, .acceptedOnce,
    .listenerForgotten, .acceptBlocks, .oneshotNotRenewed, .takenOffNotClosed, .shortReadIsEmpty,
]

private let levelTriggeredChecks: [Check] =
    [
        Check("epoll-used") { trial in
            let server = try trial.serve("epoll-server")
            try uppercaseExchange.runOnce(server)
            try trial.expectEpoll(server, edges: false)
        },
        Check("epoll-write-interest", suspects: levelSuspects + [.pollsInsteadOfWaiting]) { trial in
            let server = try trial.serve("epoll-server")
            let clients = try (0..<10).map { _ in try server.connect() }
            for client in clients { try uppercaseExchange.run(client) }
            try trial.expectQuiet(server)
            for client in clients { try uppercaseExchange.run(client) }
        },
    ] + eventServerChecks("epoll-server", prefix: "epoll", crowd: 5000, suspects: levelSuspects)
    + streamServerChecks(
        "epoll-server", prefix: "epoll", exchange: uppercaseExchange,
        suspects: levelSuspects + [.pendingDroppedAtEnd])

private let edgeTriggeredChecks: [Check] =
    [
        Check("edge-used") { trial in
            let server = try trial.serve("edge-triggered-server")
            try uppercaseExchange.runOnce(server)
            try trial.expectEpoll(server, edges: true)
        },
        Check("edge-drains", suspects: [.goodbyeNotReadOut, .readOnce, .leavesBeforeEmpty]) { trial in
            // In small pieces, too: who is fair, and turns to others after some, has to come back without an edge.
            for plan in [.none, FaultPlan.most(100, each: .receive)] {
                let server = try trial.serve("edge-triggered-server", plan: plan)
                let client = try server.connect()
                try uppercaseExchange.run(client)
                // While the server is stopped all of it arrives, and so does the end: one edge stands for everything.
                try server.subject.pause()
                let message = trial.random.letters(60_000)
                try client.send(message)
                client.halfClose()
                server.subject.resume()
                try client.expect(uppercased(message))
                try client.expectEnd()
            }
        },
        Check("edge-accepts-all", suspects: [.acceptedOnce]) { trial in
            let server = try trial.serve("edge-triggered-server")
            try server.subject.pause()
            let clients = try (0..<50).map { _ in try server.beginConnect() }
            for client in clients { try client.expectConnected() }
            server.subject.resume()
            for client in clients.reversed() { try uppercaseExchange.run(client) }
        },
        Check(
            "edge-reads-on",
            suspects: [.restForgotten, .cutsWhoIsSlow, .readOnce, .pendingDroppedAtEnd, .doesNotReadOn]
        ) { trial in
            // Reading stops for lack of room, and has to go on once there is some, though no edge says so.
            let server = try trial.serve("edge-triggered-server")
            let deaf = try server.connect(smallBuffers: true)
            let message = trial.random.letters(1 << 20)
            let sent = try deaf.sendUntilStuck(message)
            deaf.halfClose()
            try deaf.expect(Array(uppercased(message).prefix(sent)))
            try deaf.expectEnd()
        },
    ]
    + eventServerChecks(
        "edge-triggered-server", prefix: "edge", crowd: 5000, isReminded: false, suspects: edgeSuspects)
    + streamServerChecks(
        "edge-triggered-server", prefix: "edge", exchange: uppercaseExchange,
        suspects: edgeSuspects + [.keepsNoRest, .pendingDroppedAtEnd, .readOnceBeforeTheEnd])

private let idleTimeoutChecks: [Check] = [
    Check("idle-closes-silent", suspects: [.neverTimesOut]) { trial in
        let server = try trial.serve("idle-timeout-server")
        try server.expectClosesSilent()
        // One that talks and leaves: half of its time later its number is the next client's, its clock is not.
        let guest = try server.connect()
        try uppercaseExchange.run(guest)
        let other = try server.connect()
        try uppercaseExchange.run(other)
        guest.close()
        _ = server.wait { server.openSockets.count == 1 }
        try other.expectNotClosedForHalfTheTime()
        try server.expectClosesSilent()
        try uppercaseExchange.runOnce(server)
    }.whereSilenceEnds(after: Double(Lesson07.idleTimeout) / 1000),
    Check("idle-closes-who-fell-silent", suspects: [.neverTimesOut]) { trial in
        let server = try trial.serve("idle-timeout-server")
        let client = try server.connect()
        try uppercaseExchange.run(client)
        try client.expectEnd()
    }.whereSilenceEnds(after: Double(Lesson07.idleTimeout) / 1000),
    Check("idle-keeps-who-talks", suspects: [.countsFromAccept, .neverTimesOut, .oneClockForAll]) { trial in
        let server = try trial.serve("idle-timeout-server")
        let talker = try server.connect()
        try uppercaseExchange.run(talker)
        // A client that came at the same time and says nothing measures the time: when it is closed, the talker, who
        // spoke in the middle, must still be there.
        let silent = try server.connect()
        try silent.expectNotClosedForHalfTheTime()
        try uppercaseExchange.run(talker)
        try silent.expectEnd()
        // Had the machine slept until now, the talker would be due as well: then it begins again.
        try uppercaseExchange.run(talker)
        // Who talked late is not forgotten: its turn comes once more.
        try talker.expectEnd()
    }.whereSilenceEnds(after: Double(Lesson07.idleTimeout) / 1000),
    Check("idle-by-timer", suspects: [.alwaysAsksToWrite, .neverTimesOut, .pollsInsteadOfWaiting]) { trial in
        let server = try trial.serve("idle-timeout-server")
        let clients = try (0..<20).map { _ in try server.connect() }
        for client in clients { try uppercaseExchange.run(client) }
        let before = server.subject.timeline.waits
        for client in clients { try client.expectEnd() }
        let waits = server.subject.timeline.waits - before
        guard waits <= 60 else {
            throw Failure(
                expected: say(
                    "at most 60 waits until 20 silent clients are closed", "关闭 20 个不说话的客户端，等待调用不超过 60 次"),
                got: say("\(waits) waits", "\(waits) 次"))
        }
    }.whereSilenceEnds(after: Double(Lesson07.idleTimeout) / 1000),
    Check("idle-many", suspects: [.neverTimesOut]) { trial in
        let server = try trial.serve("idle-timeout-server", descriptorLimit: 1024)
        // Numbers, and whatever it keeps for each, come back.
        for _ in 0..<2 {
            let crowd = try (0..<600).map { _ in try server.connect() }
            for client in crowd { try client.expectEnd() }
            for client in crowd { client.close() }
        }
        try server.connect().expectEnd()
        try uppercaseExchange.runOnce(server)
    },
]

/// Mistakes of who was asked to stop, and has not.
private let stopSuspects: [Cause] = [.waitsForTheirEnd, .stopNotSeen]

private let stoppableChecks: [Check] = [
    Check("stop-serves") { trial in
        let server = try trial.serve("stoppable-server")
        let clients = try (0..<5).map { _ in try server.connect() }
        for client in clients.reversed() { try uppercaseExchange.run(client) }
        // Much of an answer is pending, by the lab's doing, when the next bytes come.
        let slow = try trial.serve("stoppable-server", plan: .most(100, each: .send) + .most(1000, each: .receive))
        let client = try slow.connect()
        let message = trial.random.letters(20_000)
        try client.send(message)
        do { try client.expect(uppercased(message)) } catch var failure as Failure {
            // All of it goes out, in another order.
            let allSent = try slow.subject.waitForTimeline(until: Deadline(in: 2)) {
                $0.calls.sentBytes >= message.count ? true : nil
            }
            if !failure.difference.isEmpty, allSent == true { failure.cause = "overtakes-what-is-pending" }
            throw failure
        }
    },
    Check("stop-returns", suspects: stopSuspects + [.mainThreadBlocked]) { trial in
        let server = try trial.serve("stoppable-server")
        let client = try server.connect()
        try uppercaseExchange.run(client)
        server.subject.signal(SIGTERM)
        try server.expectReturn()
    },
    Check("stop-closes", suspects: stopSuspects + [.mainThreadBlocked]) { trial in
        let server = try trial.serve("stoppable-server")
        let client = try server.connect()
        try uppercaseExchange.run(client)
        let before = server.subject.descriptorCount
        server.subject.signal(SIGTERM)
        try server.expectReturn()
        try client.expectEnd()
        try server.expectAllClosed(before)
    },
    Check(
        "stop-finishes-answers", suspects: [.restForgotten, .stoppedTooEarly, .alwaysAsksToWrite] + stopSuspects
    ) { trial in
        // The server has patience for a second, and a busy machine may keep us from reading for as long.
        for isLast in [false, false, true] {
            // A little at a time, so that there are rounds to go when it has seen the stop. And what it keeps then must wait
            // for room: a socket that is full may still take the few bytes that are left.
            let server = try trial.serve("stoppable-server", plan: .most(100, each: .send) + .noSendWithoutRoom)
            let (client, message) = try trial.halfAnswered(by: server)
            let began = now()
            server.subject.signal(SIGTERM)
            // It may have come back by then, too soon: what the client finds says that better.
            _ = try? server.subject.waitForTimeline(until: Deadline(at: began + 200_000_000)) {
                $0.hasClosedListener ? true : nil
            }
            do {
                try client.expect(uppercased(message))
                try client.expectEnd()
                try server.expectReturn()
                break
            } catch { if isLast || now() - began < 900_000_000 { throw error } }
        }
        // What comes after the stop is not answered any more.
        let other = try trial.serve("stoppable-server")
        let silent = try (0..<5).map { _ in try other.connect() }
        let (late, question) = try trial.halfAnswered(by: other)
        other.subject.signal(SIGTERM)
        // Closed first by most, by some when they return: the stop has been seen by then in any case.
        _ = try other.subject.waitForTimeline { $0.hasClosedListener ? true : nil }
        for client in silent + [late] { client.askInVain(Array("too late".utf8)) }
        let expected = say("nothing that came after the stop is answered", "停止之后到来的不再回答")
        var count = 0
        receiving: while count <= question.count {
            switch try late.receive(1 << 16, until: Deadline(), expected: expected) {
            case .bytes(let bytes): count += bytes.count
            case .end, .broken, .late: break receiving
            }
        }
        var isAnswered = count > question.count
        for client in silent {
            if case .bytes = try client.receive(1, until: Deadline(), expected: expected) { isAnswered = true }
        }
        guard !isAnswered else {
            throw Failure(
                expected: expected, got: say("it was answered", "得到了回答"), cause: "reads-on-after-stop")
        }
        try other.expectReturn()
    },
    Check("stop-waits-quietly", suspects: [.alwaysAsksToWrite, .pollsInsteadOfWaiting] + stopSuspects) { trial in
        let server = try trial.serve("stoppable-server")
        let client = try server.connect()
        try uppercaseExchange.run(client)
        try trial.expectQuiet(server)
        server.subject.signal(SIGTERM)
        try server.expectReturn()
    },
    Check("stop-not-held-up", suspects: [.cutsWhoIsSlow, .blockedInSend, .stopHeldUp] + stopSuspects) { trial in
        // A client that never takes its answer cannot keep the server from stopping.
        let server = try trial.serve("stoppable-server")
        let deaf = try server.connect(smallBuffers: true)
        // More than the kernel's buffers hold, all of which may lie there yet: until the server waits with a rest.
        let sent = try deaf.sendUntilStuck(trial.random.letters(8 << 20))
        _ = try server.subject.waitForTimeline {
            $0.kept > 0 && ($0.received >= sent || $0.calls.contains(where: \.isBlocked)) ? true : nil
        }
        let before = (descriptors: server.subject.descriptorCount, calls: server.subject.timeline.callCount)
        server.subject.signal(SIGTERM)
        try server.expectReturn()
        try server.expectAllClosed(before.descriptors)
        let calls = server.subject.timeline.callCount - before.calls
        guard calls <= 1000 else {
            throw Failure(
                expected: say("at most 1,000 calls from the stop to the return", "从停止到返回，调用不超过 1,000 次"),
                got: say("\(calls) calls", "\(calls) 次"), cause: "polls-instead-of-waiting")
        }
        try trial.expectOneSecondForAll()
    },
]

extension Trial {
    /// A client that has read nothing of its answer, some of which the server still keeps.
    fileprivate func halfAnswered(by server: Server) throws -> (client: StreamPeer, message: [UInt8]) {
        let client = try server.connect(smallBuffers: true)
        // A little at a time, until it keeps some of the answer: then it has received everything, and sent what went in.
        var message: [UInt8] = []
        var keepsSome = false
        while !keepsSome && message.count < 4 << 20 {
            // In the end no more than a segment: who receives only when all is sent takes it whole, too.
            let part = random.letters(message.count < 65_536 ? 4096 : 500)
            try client.send(part)
            message += part
            let sentence = say(
                "it receives all \(message.count) bytes that were sent, and then waits",
                "收下发来的全部 \(message.count) 字节，然后等待")
            let kept = try server.subject.waitForTimeline { timeline -> Int? in
                timeline.received >= message.count && timeline.calls.last?.isWait == true ? timeline.kept : nil
            }
            guard let kept else {
                throw Failure(expected: sentence, got: say("it received less, or does not wait", "收到的不足，或者没有在等待"))
            }
            if kept > 0 {
                // The kernel's buffers grow: what is kept now may be gone in a moment. Nobody tells when they have stopped.
                poll(nil, 0, 50)
                server.subject.catchUp()
                keepsSome = server.subject.timeline.kept > 0
            }
        }
        return (client, message)
    }
}

extension Trial {
    /// The second after a stop is one for all: of five clients that read nothing, four go one after the other, and it does
    /// not begin anew whenever one has gone.
    fileprivate func expectOneSecondForAll() throws {
        let server = try serve("stoppable-server")
        let deaf = try (0..<5).map { _ in try server.connect(smallBuffers: true) }
        let message = random.letters(8 << 20)
        for client in deaf { _ = try client.sendUntilStuck(message) }
        server.subject.signal(SIGTERM)
        let nearlyASecond = 0.9 / Deadline.scale
        for client in deaf.dropLast() {
            if (try? server.expectReturn(within: nearlyASecond)) != nil { return }
            client.reset()
        }
        do { try server.expectReturn(within: nearlyASecond) } catch var failure as Failure {
            failure.expected = say(
                "it returns a second after the stop, though clients go in the meantime", "停止一秒后返回，期间有客户端离开也一样")
            failure.cause = failure.cause ?? "stop-second-anew"
            throw failure
        }
    }
}

extension Timeline {
    fileprivate var hasClosedListener: Bool {
        guard let listen = calls("listen").last(where: { $0.result == 0 }) else { return false }
        return calls("close").contains { $0.descriptor == listen.descriptor }
    }
}

extension StreamPeer {
    fileprivate func expectNotClosedForHalfTheTime() throws {
        let deadline = now() + UInt64(Lesson07.idleTimeout) * 500_000
        let sentence = say("the silent client is not closed yet", "不说话的客户端还没有被关闭")
        guard case .late = try receive(1, until: Deadline(at: deadline), expected: sentence) else {
            // Perhaps it was we who were late.
            endSilence()
            throw Failure(expected: sentence, got: say("it was closed before half of the time", "不到一半时间就被关闭了"))
        }
    }
}

extension Server {
    /// A client that never sends anything is closed after the time, and not before.
    fileprivate func expectClosesSilent() throws {
        let began = now()
        try connect().expectEnd()
        let took = Int(now() - began) / 1_000_000
        guard took >= Lesson07.idleTimeout - 50 else {
            let accepted = subject.timeline.calls.filter { $0.isAccept && $0.result >= 0 }.map(\.result)
            let isOldNumber = accepted.last.map { accepted.dropLast().contains($0) } == true
            throw Failure(
                expected: say(
                    "a silent client is closed after \(Lesson07.idleTimeout) ms",
                    "不说话的客户端在 \(Lesson07.idleTimeout) ms 后被关闭"),
                got: say("it was closed after \(took) ms", "\(took) ms 后就被关闭了"),
                cause: isOldNumber ? "clock-of-the-one-before" : "idle-cut-short")
        }
    }

    /// Gone at the least: listener, a client and epoll.
    ///
    /// - Parameter before: how many descriptors it had when it was stopped.
    fileprivate func expectAllClosed(_ before: Int) throws {
        let left = subject.descriptorCount
        let calls = subject.timeline.calls
        let closed = Set(calls.filter { $0.name == "close" }.map(\.descriptor))
        let opened = calls.filter {
            ($0.isAccept || ["socket", "epoll_create1", "epoll_create"].contains($0.name)) && $0.result >= 0
        }
        let open = opened.filter { !closed.contains(Int32($0.result)) }.map { "\($0.callText) = \($0.result)" }
        // A library may have made some for itself meanwhile, for a timer say.
        let isClean = open.isEmpty && !opened.isEmpty && subject.sockets(among: subject.timeline.openSockets).isEmpty
        guard left <= before - 3 || isClean else {
            throw Failure(
                expected: say("listener, clients and epoll are closed", "监听套接字、客户端和 epoll 都已关闭"),
                got: say("only \(before - left) of its descriptors were closed", "只关闭了 \(before - left) 个描述符"),
                cause: "left-open-at-stop",
                detail: open.isEmpty ? nil : say("not closed: ", "没有关闭：") + open.joined(separator: ", "))
        }
    }
}
