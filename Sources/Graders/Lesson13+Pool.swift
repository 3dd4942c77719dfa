// Checks of exercise 13 connection-pool. The grader plays the server: it sees how many connections there are, what comes on
// which, and which of them end.
import Course
import GraderKit
import Sockets
import Wire

/// Why no job uses the connection that is there while another one is in connect.
///
/// - Parameter jobs: that have not ended, of three: each has a thread until then.
private func heldUpBy(_ call: PendingCall, _ listener: StreamListener, jobs: Int) throws -> String? {
    let connects = call.subject.timeline.count("connect")
    if connects > 2 { return "pool-unbounded" }
    guard connects == 2 else { return nil }
    // Not even the one that was answered can give its connection back; or the two others were sent away.
    if jobs != 2 { return jobs == 3 ? "connects-under-lock" : jobs == 1 ? "did-not-wait" : nil }
    // One connects, and one waits: for the lock, or to be told. Connected, the first gives up the lock: both send then.
    let sent = call.subject.timeline.sends.count
    let deadline = Deadline()
    while !deadline.hasPassed {
        listener.makeRoom()
        let goesOn = try call.subject.waitForTimeline(until: Deadline(in: 0.1)) {
            $0.sends.count >= sent + 2 ? true : nil
        }
        if goesOn == true { return "connects-under-lock" }
    }
    return "free-and-not-lent"
}

let connectionPoolChecks: [Check] = [
    Check("pool-reuses", suspects: [.poolServerLeft]) { trial in
        try trial.withReversingServer { server in
            let pool = try trial.makePool(to: server.address, limit: 4)
            pool.process.catchUp()
            let early = pool.process.timeline.count("connect") > 0
            for _ in 0..<5 {
                let request = trial.random.letters(8)
                try pool.expectAnswer(request.reversed(), of: .ask(request))
            }
            try trial.expect(
                server.counts.accepted, equals: 1,
                say("connections for 5 requests, one after another", "5 个请求先后发出，连接数"),
                cause: early ? "opened-in-advance" : "connects-each-time")
        }
    },
    Check("pool-bounded", suspects: [.poolLentTwice]) { trial in
        try trial.withReversingServer(holds: true) { server in
            let pool = try trial.makePool(to: server.address, limit: 3)
            let requests = (0..<8).map { _ in trial.random.letters(8) }
            let call = try pool.begin(requests.map { .ask($0) })
            guard server.wait(or: pool.process, { $0.requests >= 3 }) else {
                throw Failure(
                    expected: say("3 of 8 requests are under way at the same time", "8 个请求中有 3 个同时进行"),
                    got: say("\(server.counts.requests)", "只有 \(server.counts.requests) 个"),
                    cause: server.counts.requests == 1 ? "one-at-a-time" : nil)
            }
            // A pool that has no limit has opened more by now, or does so in this moment.
            _ = server.wait(until: Deadline(in: 0.5), or: pool.process) { $0.accepted > 3 }
            server.release()
            let outcomes = try pool.outcomes(of: call, causeIfIdle: "free-and-not-lent")
            for (request, outcome) in zip(requests, outcomes) {
                try pool.expect(outcome.answer, toBe: request.reversed())
            }
            try pool.expectAtMost(3, server.counts)
        }
    },
    Check("pool-threads", suspects: [.poolLentTwice]) { trial in
        try trial.withReversingServer { server in
            let pool = try trial.makePool(to: server.address, limit: 4)
            let requests = (0..<16).map { _ in trial.random.letters(8) }
            let times = 25
            let outcomes = try pool.outcomes(
                of: pool.begin(requests.map { .ask($0, times: times) }), causeIfIdle: "free-and-not-lent")
            let counts = server.counts
            guard counts.overlaps == 0 else {
                throw Failure(
                    expected: say("one thread at a time uses a connection", "一个连接同一时刻只有一个线程在用"),
                    got: say("two did, \(counts.overlaps) times", "有 \(counts.overlaps) 次两个线程同时在用"), cause: "lent-twice"
                )
            }
            for (request, outcome) in zip(requests, outcomes) {
                let expected = repeatElement(Array(request.reversed()), count: times).flatMap { $0 }
                try pool.expect(outcome.answer, toBe: expected)
            }
            try pool.expectAtMost(4, counts)
        }
    },
    Check("pool-connecting", suspects: [.poolOpenedInAdvance, .poolLentTwice]) { trial in
        let listener = try trial.listen(backlog: 0)
        let pool = try trial.makePool(to: listener.address, limit: 2)
        let before = pool.process.threadCount
        let peer = try pool.ask(trial.random.letters(8), listener)
        // Its thread is about to end; a thread that the pool has started for itself stays.
        let settled = Deadline(in: 1)
        while pool.process.threadCount > before, !settled.hasPassed { sched_yield() }
        // From now on connect gets no answer. Of three jobs one has the connection that is there, one is in connect, and
        // the third waits for the first to be done.
        try trial.fillQueue(of: listener.address)
        let threads = pool.process.threadCount
        let call = try pool.begin((0..<3).map { _ in .ask(trial.random.letters(8)) })
        for number in 1...2 {
            let sentence = say(
                "request \(number) of 3 comes on the connection that is there, while another one is being opened",
                "另一个连接正在建立时，3 个请求中的第 \(number) 个从已有的连接发来")
            var request: [UInt8] = []
            while request.count < ReversingServer.requestLength {
                switch try peer.receive(64, until: Deadline(), expected: sentence) {
                case .bytes(let bytes): request += bytes
                case .late:
                    throw Failure(
                        expected: sentence, got: say("it did not come", "没有来"),
                        cause: try heldUpBy(call, listener, jobs: call.subject.threadCount - threads))
                case .end, .broken:
                    throw Failure(
                        expected: sentence, got: say("the connection was closed", "连接关闭了"),
                        cause: "connects-each-time")
                }
            }
            // Not before another one is in connect: else one job after another could use the first connection.
            let isOpening = try call.subject.waitForTimeline { $0.count("connect") >= 2 ? true : nil }
            guard isOpening == true else {
                throw Failure(
                    expected: say(
                        "another connection is being opened while the first is lent", "第一个连接借出时，正在建立另一个"),
                    got: say("none is", "没有"),
                    cause: call.subject.timeline.isOneAtATime ? "one-at-a-time" : nil)
            }
            try peer.send(request)
        }
    },
    Check("pool-timeout", suspects: [.poolWaitsWithoutDeadline]) { trial in
        let listener = try trial.listen()
        let pool = try trial.makePool(to: listener.address, limit: 1)
        let timeout = 300
        let call = try pool.begin([.hold, .touch(timeout: timeout)])
        let peer = try listener.accept(from: call)
        let late = try pool.outcomes(of: call)[1]
        try pool.expect(
            late.answer, throws: "PoolError", "timedOut",
            say("the second job, while the only connection is lent", "唯一的连接借出时，第二个任务"),
            else: late.answer.thrown == nil ? "pool-unbounded" : nil)
        // A little less than it was told, for a clock of another kind.
        guard late.milliseconds >= timeout * 8 / 10 else {
            throw Failure(
                expected: say("it waits \(timeout) ms before it gives up", "等 \(timeout) 毫秒才放弃"),
                got: say("it gave up after \(late.milliseconds) ms", "\(late.milliseconds) 毫秒就放弃了"),
                cause: "did-not-wait")
        }
        // Whoever gave up has left no trace: the connection is free again.
        let request = trial.random.letters(8)
        let asked = now()
        let next = try pool.begin([.ask(request)])
        do { try peer.expect(request) } catch var failure as Failure {
            failure.cause = try pool.whyNotReused(since: asked)
            throw failure
        }
        try peer.send(request)
        try pool.expect(try pool.outcomes(of: next)[0].answer, toBe: request)
    },
    Check("pool-dead", suspects: [.poolHandedOutDead, .poolLentTwice]) { trial in
        for (ends, resets) in [(true, false), (true, true), (false, true)] {
            let listener = try trial.listen()
            let pool = try trial.makePool(to: listener.address, limit: 1)
            let first = try pool.ask(trial.random.letters(8), listener)
            if ends { try first.halfCloseAndWait() }
            if resets { try first.resetAndWait() }
            try pool.expectAnotherConnection(
                listener, say("the server has closed the idle one", "服务器关闭了空闲的那个"), else: "handed-out-dead")
            if !resets { try first.expectClosed() }
        }
        // Whichever it looks at first: behind two dead ones it finds one that lives.
        for alive in [0, 2] {
            let listener = try trial.listen()
            let pool = try trial.makePool(to: listener.address, limit: 3)
            let request = trial.random.letters(ReversingServer.requestLength)
            let call = try pool.begin(Array(repeating: .ask(request), count: 3))
            let peers: [StreamPeer]
            do { peers = try (0..<3).map { _ in try listener.accept(from: call) } } catch var failure as Failure {
                if call.subject.timeline.isOneAtATime { failure.cause = "one-at-a-time" }
                throw failure
            }
            for peer in peers { try peer.expect(request) }
            for (index, peer) in peers.enumerated() {
                try peer.send(request)
                // One after another, so that they come back in this order.
                _ = try call.subject.waitForTimeline { $0.receivedCount > index * request.count ? true : nil }
            }
            for outcome in try pool.outcomes(of: call) { try pool.expect(outcome.answer, toBe: request) }
            for index in 0..<3 where index != alive { try peers[index].halfCloseAndWait() }
            let asked = now()
            let next = try pool.begin([.ask(request)])
            do { try peers[alive].expect(request) } catch var failure as Failure {
                failure.cause = try pool.whyNotReused(since: asked)
                throw failure
            }
            try peers[alive].send(request)
            try pool.expect(try pool.outcomes(of: next)[0].answer, toBe: request)
        }
    },
    Check("pool-leftover", suspects: [.poolAnswersMixed]) { trial in
        let listener = try trial.listen()
        let pool = try trial.makePool(to: listener.address, limit: 1)
        let first = try pool.ask(trial.random.letters(8), listener)
        try first.send("late....")
        try first.waitUntilDelivered()
        try pool.expectAnotherConnection(
            listener, say("the idle one has bytes that nobody asked for", "空闲的那个上有没人要的字节"), else: "stale-answer")
        try first.expectClosed()
    },
    Check("pool-error", suspects: [.poolKeptAfterError]) { trial in
        let listener = try trial.listen()
        let pool = try trial.makePool(to: listener.address, limit: 1)
        let request = trial.random.letters(8)
        let call = try pool.begin([.fail(request)])
        let first = try listener.accept(from: call)
        try first.expect(request)
        try first.send(request)
        try pool.expect(
            try pool.outcomes(of: call)[0].answer, throws: "JobError", "failed",
            say("what the body threw is thrown on", "body 抛出的错误原样抛出"))
        try first.expectClosed()
        try pool.expectAnotherConnection(
            listener, say("the body of the one before threw", "上一个任务的 body 抛出了错误"), else: "place-lost")
    },
    Check("pool-refused", suspects: [.poolOpenedInAdvance]) { trial in
        let nobody = try trial.boundStream()
        for (plan, code) in [(FaultPlan.none, ECONNREFUSED), (.fail(.socket, every: 1, with: EMFILE), EMFILE)] {
            let pool = try trial.makePool(to: nobody.address, limit: 2, plan: plan)
            for attempt in 1...3 {
                try pool.expectError(
                    code,
                    say(
                        "attempt \(attempt) of 3 throws SocketError \(errorName(code))",
                        "3 次尝试中的第 \(attempt) 次抛出 SocketError \(errorName(code))"))
            }
            try pool.expectNoSocketsLeft(say("after three refused connections", "三次连接被拒绝之后"))
        }
    },
    Check("pool-idle", suspects: [.poolOpenedInAdvance]) { trial in
        var isKept = true
        try trial.withReversingServer { server in
            let pool = try trial.makePool(to: server.address, limit: 2, idleLimit: 200)
            let requests = (0..<2).map { _ in trial.random.letters(8) }
            try pool.expectAnswer(requests[0].reversed(), of: .ask(requests[0]))
            let timeline = pool.process.timeline
            let used = timeline.calls.first(where: \.isSend)?.descriptor
            isKept = !timeline.calls("close").contains { $0.descriptor == used }
            // Time that passes is what this is about.
            _ = server.wait(until: Deadline(at: now() + 400_000_000), or: pool.process) { _ in false }
            let second = try pool.outcomes(of: pool.begin([.ask(requests[1])]))[0].answer
            // Not timedOut: it did not wait for anybody.
            if second.thrown?.type == "PoolError", second.thrown?.name == "closed" {
                throw Failure(
                    expected: say("a new connection: the idle one is too old", "建立新连接：空闲的那个太旧"),
                    got: second.outcomeText, cause: "dead-is-failure")
            }
            try pool.expect(second, toBe: requests[1].reversed())
            let accepted = server.counts.accepted
            try trial.expect(
                accepted, equals: 2,
                say("connections, if the first was idle for twice its limit", "第一个连接空闲时间是上限的两倍，连接数"),
                cause: accepted < 2 ? "idle-for-ever" : nil)
            guard server.wait(or: pool.process, { $0.ended >= 1 }) else {
                throw Failure(
                    expected: say("the old connection is closed", "旧连接已关闭"), got: say("it is still open", "它仍然开着"),
                    cause: "never-closed")
            }
        }
        try trial.expectIdleFromReturn(
            limit: 1000, lentFor: 1300, else: isKept ? "idle-while-lent" : "connects-each-time")
    },
    Check("pool-close", suspects: [.poolLentTwice]) { trial in
        try trial.withReversingServer(holds: true) { server in
            let pool = try trial.makePool(to: server.address, limit: 3)
            let requests = (0..<3).map { _ in trial.random.letters(8) }
            let call = try pool.begin(requests.map { .ask($0) })
            _ = server.wait(or: pool.process) { $0.requests >= 3 }
            server.release()
            for (request, outcome) in zip(requests, try pool.outcomes(of: call)) {
                try pool.expect(outcome.answer, toBe: request.reversed())
            }
            try pool.close()
            let made = server.counts.accepted
            guard server.wait(or: pool.process, { $0.ended >= made }) else {
                throw Failure(
                    expected: say("all \(made) idle connections are closed", "\(made) 个空闲连接全部关闭"),
                    got: say("only \(server.counts.ended)", "只关闭了 \(server.counts.ended) 个"), cause: "never-closed")
            }
            let after = try pool.outcomes(of: pool.begin([.touch(timeout: 500)]))[0].answer
            try pool.expect(
                after, throws: "PoolError", "closed", say("a job after closeAll", "closeAll 之后的任务"),
                else: after.thrown == nil ? "lent-after-close" : nil)
            try pool.expectNoSocketsLeft(say("after closeAll", "closeAll 之后"))
        }
    },
    Check("pool-close-lent", suspects: [.poolLentTwice]) { trial in
        let listener = try trial.listen()
        let pool = try trial.makePool(to: listener.address, limit: 1)
        let waiting = 8
        let threads = pool.process.threadCount
        let call = try pool.begin(
            [.hold] + Array(repeating: .touch(timeout: 60_000), count: waiting) + [.close])
        let peer = try listener.accept(from: call)
        let outcomes: [TriedPool.Outcome]
        do { outcomes = try pool.outcomes(of: call) } catch var failure as Failure {
            // Each job has a thread, until it ends. Where all are there, closeAll itself has not come back.
            if call.subject.threadCount - threads < waiting + 2 { failure.cause = "waiter-not-woken" }
            throw failure
        }
        let connects = call.subject.timeline.count("connect")
        for outcome in outcomes[1...waiting] {
            let hasGivenUp = outcome.answer.thrown?.name == "timedOut" && outcome.milliseconds < 40_000
            try pool.expect(
                outcome.answer, throws: "PoolError", "closed",
                say("who waits for a connection while the pool is closed", "等待连接时连接池被关闭的任务"),
                else: hasGivenUp
                    ? "did-not-wait"
                    : outcome.answer.thrown != nil ? nil : connects > 1 ? "pool-unbounded" : "lent-after-close")
        }
        // It was lent when the pool was closed, and has come back.
        try peer.expectClosed(else: "never-closed")
    },
]
