// Checks of exercise 13 connection-pool. The grader plays the server: it sees how many connections there are, what comes on
// which, and which of them end.
import Course
import GraderKit
import Sockets
import Wire

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
    Check("pool-bounded", suspects: [.poolOneAtATime]) { trial in
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
            let outcomes = try pool.outcomes(of: call)
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
            let outcomes = try pool.outcomes(of: pool.begin(requests.map { .ask($0, times: times) }))
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
    Check("pool-connecting", suspects: [.poolConnectsUnderLock]) { trial in
        let listener = try trial.listen(backlog: 0)
        let pool = try trial.makePool(to: listener.address, limit: 2)
        let peer = try pool.ask(trial.random.letters(8), listener)
        // From now on connect gets no answer. Of three jobs one has the connection that is there, one is in connect, and
        // the third waits for the first to be done.
        try trial.fillQueue(of: listener.address)
        let call = try pool.begin((0..<3).map { _ in .ask(trial.random.letters(8)) })
        for number in 1...2 {
            let sentence = say(
                "request \(number) of 3 comes on the connection that is there, while another one is being opened",
                "另一个连接正在建立时，3 个请求中的第 \(number) 个从已有的连接发来")
            var request: [UInt8] = []
            while request.count < ReversingServer.requestLength {
                switch try peer.receive(64, until: Deadline(), expected: sentence) {
                case .bytes(let bytes): request += bytes
                case .late: throw Failure(expected: sentence, got: say("it did not come", "没有来"))
                case .end, .broken:
                    throw Failure(expected: sentence, got: say("the connection was closed", "连接关闭了"))
                }
            }
            // Not before another one is in connect: else one job after another could use the first connection.
            let isOpening = try call.subject.waitForTimeline { $0.count("connect") >= 2 ? true : nil }
            guard isOpening == true else {
                throw Failure(
                    expected: say(
                        "another connection is being opened while the first is lent", "第一个连接借出时，正在建立另一个"),
                    got: say("none is", "没有"), cause: "one-at-a-time")
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
        let next = try pool.begin([.ask(request)])
        do { try peer.expect(request) } catch var failure as Failure {
            if failure.difference.isEmpty { failure.cause = "place-lost" }
            throw failure
        }
        try peer.send(request)
        try pool.expect(try pool.outcomes(of: next)[0].answer, toBe: request)
    },
    Check("pool-dead", suspects: [.poolHandedOutDead]) { trial in
        for resets in [false, true] {
            let listener = try trial.listen()
            let pool = try trial.makePool(to: listener.address, limit: 1)
            let first = try pool.ask(trial.random.letters(8), listener)
            try first.halfCloseAndWait()
            if resets { first.reset() }
            try pool.expectAnotherConnection(
                listener, say("the server has closed the idle one", "服务器关闭了空闲的那个"), else: "handed-out-dead")
            if !resets { try first.expectClosed() }
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
    Check("pool-refused") { trial in
        let nobody = try trial.boundStream()
        let pool = try trial.makePool(to: nobody.address, limit: 2)
        for attempt in 1...3 {
            let outcome = try pool.outcomes(of: pool.begin([.touch(timeout: 500)]))[0]
            if outcome.answer.thrownCode == ECONNREFUSED { continue }
            throw Failure(
                expected: say(
                    "attempt \(attempt) of 3 throws SocketError ECONNREFUSED",
                    "3 次尝试中的第 \(attempt) 次抛出 SocketError ECONNREFUSED"),
                got: outcome.answer.outcomeText, cause: outcome.answer.thrown?.name == "timedOut" ? "place-lost" : nil)
        }
        try pool.expectNoSocketsLeft(say("after three refused connections", "三次连接被拒绝之后"))
    },
    Check("pool-idle") { trial in
        try trial.withReversingServer { server in
            let pool = try trial.makePool(to: server.address, limit: 2, idleLimit: 200)
            let requests = (0..<2).map { _ in trial.random.letters(8) }
            try pool.expectAnswer(requests[0].reversed(), of: .ask(requests[0]))
            // Time that passes is what this is about.
            _ = server.wait(until: Deadline(at: now() + 400_000_000), or: pool.process) { _ in false }
            try pool.expectAnswer(requests[1].reversed(), of: .ask(requests[1]))
            try trial.expect(
                server.counts.accepted, equals: 2,
                say("connections, if the first was idle for twice its limit", "第一个连接空闲时间是上限的两倍，连接数"),
                cause: "idle-for-ever")
            guard server.wait(or: pool.process, { $0.ended >= 1 }) else {
                throw Failure(
                    expected: say("the old connection is closed", "旧连接已关闭"), got: say("it is still open", "它仍然开着"),
                    cause: "never-closed")
            }
        }
        try trial.expectIdleFromReturn(limit: 1000, lentFor: 1300)
    },
    Check("pool-close") { trial in
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
                    got: say("\(server.counts.ended) are", "只关闭了 \(server.counts.ended) 个"), cause: "never-closed")
            }
            let after = try pool.outcomes(of: pool.begin([.touch(timeout: 500)]))[0].answer
            try pool.expect(
                after, throws: "PoolError", "closed", say("a job after closeAll", "closeAll 之后的任务"),
                else: after.thrown == nil ? "lent-after-close" : nil)
            try pool.expectNoSocketsLeft(say("after closeAll", "closeAll 之后"))
        }
    },
    Check("pool-close-lent", suspects: [.poolWaiterForgotten]) { trial in
        let listener = try trial.listen()
        let pool = try trial.makePool(to: listener.address, limit: 1)
        let waiting = 8
        let call = try pool.begin(
            [.hold] + Array(repeating: .touch(timeout: 60_000), count: waiting) + [.close])
        let peer = try listener.accept(from: call)
        let outcomes = try pool.outcomes(of: call)
        for outcome in outcomes[1...waiting] {
            try pool.expect(
                outcome.answer, throws: "PoolError", "closed",
                say("who waits for a connection while the pool is closed", "等待连接时连接池被关闭的任务"),
                else: outcome.answer.thrown == nil ? "lent-after-close" : nil)
        }
        // It was lent when the pool was closed, and has come back.
        try peer.expectClosed(else: "never-closed")
    },
]

// MARK: The one that is tried

private enum Job {
    case ask([UInt8], times: Int = 1)
    case fail([UInt8])
    /// Uses a connection for nothing.
    case touch(timeout: Int)
    case hold
    case close

    var value: Value {
        func list(_ kind: String, _ timeout: Int = 60_000, _ request: [UInt8] = [], _ times: Int = 1) -> Value {
            .list([.string(kind), .int(timeout), .bytes(request), .int(request.count), .int(times)])
        }
        switch self {
        case .ask(let request, let times): return list("ask", 60_000, request, times)
        case .fail(let request): return list("fail", 60_000, request)
        case .touch(let timeout): return list("ask", timeout)
        case .hold: return list("hold")
        case .close: return list("close")
        }
    }
}

private struct TriedPool {
    let trial: Trial
    let process: Subject
    let number: Int

    struct Outcome {
        var answer: Value
        var milliseconds: Int
    }

    func begin(_ jobs: [Job]) throws -> PendingCall {
        try trial.begin("pool-do", [.int(number), .list(jobs.map(\.value))], in: process)
    }

    func outcomes(of call: PendingCall) throws -> [Outcome] {
        guard case .list(let values) = try call.value(expecting: say("all jobs come to an end", "所有任务都结束")) else {
            throw LabError("pool-do answers with a list")
        }
        return try values.map {
            guard case .list(let pair) = $0, pair.count == 2, case .int(let took) = pair[1] else {
                throw LabError("pool-do answers with pairs")
            }
            return Outcome(answer: pair[0], milliseconds: took)
        }
    }

    func close() throws {
        _ = try trial.begin("pool-close", [.int(number)], in: process).value()
    }

    func expect(_ answer: Value, toBe expected: [UInt8]) throws {
        guard answer != .bytes(expected) else { return }
        var difference: [String] = []
        if case .bytes(let got) = answer { difference = byteDifference(expected: expected, got: got) }
        throw Failure(
            expected: say("the answer \(quoted(expected))", "回答 \(quoted(expected))"), got: answer.outcomeText,
            difference: difference, cause: answer.thrown?.name == "timedOut" ? "did-not-wait" : nil)
    }

    func expectAnswer(_ expected: [UInt8], of job: Job) throws {
        try expect(try outcomes(of: begin([job]))[0].answer, toBe: expected)
    }

    /// - Parameter what: who throws, or that it throws.
    func expect(
        _ answer: Value, throws type: String, _ name: String, _ what: String, else cause: String? = nil
    ) throws {
        guard answer.thrown?.type != type || answer.thrown?.name != name else { return }
        throw Failure(
            expected: say("\(what): \(type).\(name)", "\(what)：\(type).\(name)"),
            got: answer == .bytes([])
                ? say("it got a connection", "得到了一个连接") : answer.outcomeText, cause: cause)
    }

    /// A request that is answered over a new connection.
    func ask(_ request: [UInt8], _ listener: StreamListener) throws -> StreamPeer {
        let call = try begin([.ask(request)])
        let peer = try listener.accept(from: call)
        try peer.expect(request)
        try peer.send(request)
        try expect(try outcomes(of: call)[0].answer, toBe: request)
        return peer
    }

    /// The next request comes on a new connection.
    func expectAnotherConnection(_ listener: StreamListener, _ why: String, else cause: String) throws {
        let request = trial.random.letters(8)
        let call = try begin([.ask(request)])
        var peer: StreamPeer?
        do { peer = try listener.accept(orReturnOf: call) } catch var failure as Failure {
            failure.cause = cause
            throw failure
        }
        guard let peer else {
            let answer = try outcomes(of: call)[0].answer
            if answer.thrown?.type == "PoolError" {
                throw Failure(
                    expected: say("a new connection: \(why)", "建立新连接：\(why)"), got: answer.outcomeText,
                    cause: answer.thrown?.name == "timedOut" ? "place-lost" : "dead-is-failure")
            }
            throw Failure(
                expected: say("a new connection: \(why)", "建立新连接：\(why)"),
                got: say("the job used the old one: ", "任务用了旧的那个：") + answer.outcomeText, cause: cause)
        }
        try peer.expect(request)
        try peer.send(request)
        try expect(try outcomes(of: call)[0].answer, toBe: request)
    }

    func expectAtMost(_ limit: Int, _ counts: ReversingServer.Counts) throws {
        guard counts.accepted > limit else { return }
        throw Failure(
            expected: say("at most \(limit) connections in all", "总共最多 \(limit) 个连接"),
            got: say("\(counts.accepted)", "建立了 \(counts.accepted) 个"),
            cause: counts.mostOpen > limit ? "pool-unbounded" : "connects-each-time")
    }

    /// As many successful closes as there were sockets.
    func expectNoSocketsLeft(_ when: String) throws {
        process.catchUp()
        let timeline = process.timeline
        let opened = timeline.calls("socket").filter { $0.result >= 0 }
        let numbers = Set(opened.map { Int32($0.result) })
        let closes = timeline.calls("close").filter { numbers.contains($0.descriptor) }
        let closed = closes.filter { $0.result == 0 }.count
        let twice = closes.contains { $0.error == EBADF }
        guard closed < opened.count || twice else { return }
        throw Failure(
            expected: say("every socket is closed once, \(when)", "\(when)，每个套接字都关闭一次"),
            got: say(
                "\(opened.count) were made, close was called \(closes.count) times",
                "创建了 \(opened.count) 个，close 调用了 \(closes.count) 次"),
            cause: twice ? "closed-twice" : "never-closed")
    }
}

extension Trial {
    /// What was lent for longer than the idle limit, and came back just now, has not been idle.
    fileprivate func expectIdleFromReturn(limit: Int, lentFor: Int) throws {
        for _ in 1...3 {
            var isJudged = false
            try withReversingServer(holds: true) { server in
                let pool = try makePool(to: server.address, limit: 2, idleLimit: limit)
                let requests = (0..<2).map { _ in random.letters(8) }
                let call = try pool.begin([.ask(requests[0])])
                _ = server.wait(or: pool.process) { $0.requests >= 1 }
                _ = server.wait(until: Deadline(at: now() + UInt64(lentFor) * 1_000_000), or: pool.process) { _ in false
                }
                let released = now()
                server.release()
                try pool.expect(try pool.outcomes(of: call)[0].answer, toBe: requests[0].reversed())
                try pool.expectAnswer(requests[1].reversed(), of: .ask(requests[1]))
                // A machine so busy that it was idle for that long after all: again.
                isJudged = server.counts.accepted == 1 || now() - released < UInt64(limit) * 1_000_000
                guard isJudged else { return }
                try expect(
                    server.counts.accepted, equals: 1,
                    say(
                        "connections, if one was lent for \(lentFor) ms, came back, and was asked for at once",
                        "一个连接借出 \(lentFor) 毫秒，刚还回来就又要用，连接数"),
                    cause: "idle-while-lent")
            }
            if isJudged { return }
        }
        throw Unavailable(
            say("this machine is too busy to tell how long a connection was idle", "这台机器太忙，分不清连接空闲了多久"))
    }

    /// The server stays until the report is written: a program that waits for an answer must be seen waiting, and not what
    /// it does when the server is gone.
    fileprivate func withReversingServer(holds: Bool = false, _ body: (ReversingServer) throws -> Void) throws {
        let server = try ReversingServer(holds: holds)
        atTheEnd { server.stop() }
        try body(server)
    }

    /// The kernel drops further SYNs, as a network would that swallows packets.
    fileprivate func fillQueue(of address: SocketAddress) throws {
        // Linux takes one more than the backlog of 0; the ones after that are begun and get no answer.
        for _ in 0..<8 {
            let client = try closeOnExecSocket(AF_INET, SOCK_STREAM)
            closeAtTheEnd(client)
            _ = fcntl(client, F_SETFL, O_NONBLOCK)
            _ = address.withSockaddr { connect(client, $0, $1) }
            // One after another: the first that gets no answer shows that the queue is full.
            var interest = pollfd(fd: client, events: Int16(POLLOUT), revents: 0)
            if poll(&interest, 1, 200) == 0 { return }
        }
        throw Unavailable(say("this kernel's queues never fill up", "这个内核的等待队列填不满"))
    }

    fileprivate func makePool(to address: SocketAddress, limit: Int, idleLimit: Int = 60_000) throws -> TriedPool {
        let process = try launch()
        let call = try begin(
            "pool-make", [.string(address.host), .int(Int(address.port)), .int(limit), .int(idleLimit)], in: process)
        guard case .int(let number) = try call.value() else { throw LabError("pool-make answers with a number") }
        return TriedPool(trial: self, process: process, number: number)
    }
}

// MARK: Mistakes

extension Cause {
    /// A job read the end of the stream, or a reset, where its answer should have come.
    fileprivate static let poolHandedOutDead = Cause("handed-out-dead") { evidence in
        evidence.timeline.calls.last {
            ($0.isReceive && $0.returned != nil && $0.result == 0 && $0.length > 0) || $0.error == ECONNRESET
                || $0.error == EPIPE
        }.map { $0.text(now: evidence.now) }
    }

    fileprivate static let poolServerLeft = Cause("connects-each-time") { evidence in
        let count = evidence.timeline.count("connect")
        return count > 1 ? say("\(count) connects", "connect 了 \(count) 次") : nil
    }

    /// Threads wait for the lock that one of them holds while it waits for the server.
    fileprivate static let poolOneAtATime = Cause("one-at-a-time") { evidence in
        let blocked = evidence.timeline.blocked.filter(\.isReceive)
        return blocked.count == 1 ? blocked[0].callText : nil
    }

    /// One thread waits for a new connection, and all others for the lock that it holds meanwhile.
    fileprivate static let poolConnectsUnderLock = Cause("connects-under-lock") { evidence in
        evidence.timeline.blocked.last { $0.name == "connect" || $0.isWait }?.callText
    }

    /// Two threads read from one connection.
    fileprivate static let poolLentTwice = Cause("lent-twice") { evidence in
        var inside: [Int32: Call] = [:]
        for call in evidence.timeline.calls where call.isReceive {
            if let other = inside[call.descriptor], other.thread != call.thread,
                other.returned.map({ $0 > call.entered }) ?? true
            {
                return say(
                    "two threads are in recv on descriptor \(call.descriptor)",
                    "有两个线程在对描述符 \(call.descriptor) 调用 recv")
            }
            inside[call.descriptor] = call
        }
        return nil
    }

    fileprivate static let poolWaitsWithoutDeadline = Cause("waits-without-deadline") {
        $0.failure.got.contains(stillRunning)
    }

    fileprivate static let poolWaiterForgotten = Cause("waiter-not-woken") { $0.failure.got.contains(stillRunning) }

    fileprivate static let poolAnswersMixed = Cause("stale-answer") { evidence in
        evidence.timeline.calls.last { $0.isReceive && $0.data.starts(with: Array("late".utf8)) }
            .map { $0.text(now: evidence.now) }
    }

    /// What was used when the body threw is still open.
    fileprivate static let poolKeptAfterError = Cause("kept-after-error") { evidence in
        evidence.timeline.count("close") == 0 ? "" : nil
    }

    private static var stillRunning: String { say("still running", "仍在运行") }
}
