// The connection pool of lesson 13 that is tried: jobs for it, and what must come of them.
import Course
import GraderKit
import Sockets
import Wire

enum Job {
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

struct TriedPool {
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

    /// - Parameter cause: that some have not ended, and no thread is in any call that the tap sees, means this.
    func outcomes(of call: PendingCall, causeIfIdle cause: String? = nil) throws -> [Outcome] {
        let answer: Value
        do { answer = try call.value(expecting: say("all jobs come to an end", "所有任务都结束")) } catch var failure
            as Failure
        {
            if failure.cause == nil, call.subject.timeline.blocked.isEmpty { failure.cause = cause }
            throw failure
        }
        guard case .list(let values) = answer else { throw LabError("pool-do answers with a list") }
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
        let asked = now()
        let call = try begin([.ask(request)])
        var peer: StreamPeer?
        do { peer = try listener.accept(orReturnOf: call) } catch var failure as Failure {
            // The job has sent nothing: it was lent nothing, neither the old one nor a new one.
            let isLent = call.subject.timeline.calls.contains { $0.isSend && $0.entered > asked }
            failure.cause = isLent ? cause : "place-lost"
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

    /// One job was begun then, an idle connection was there for it, and the request did not come on that.
    func whyNotReused(since asked: UInt64) throws -> String? {
        // A connection that was closed is noticed before the next one is asked for.
        let call = try process.waitForTimeline(until: Deadline(in: 2)) { timeline in
            timeline.calls.first { $0.entered > asked && ($0.name == "connect" || $0.isSend) }
        }
        guard let call else { return process.hasAnswered ? nil : "place-lost" }
        return call.name == "connect" ? "connects-each-time" : nil
    }

    /// A job gets no connection, but this error.
    func expectError(_ code: Int32, _ expected: String) throws {
        let answer = try outcomes(of: begin([.touch(timeout: 500)]))[0].answer
        guard answer.thrownCode != code else { return }
        throw Failure(
            expected: expected,
            got: answer == .bytes([]) ? say("it got a connection", "得到了一个连接") : answer.outcomeText,
            cause: answer.thrown?.name == "timedOut" ? "place-lost" : nil)
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
        // A library's close leaves no record: the kernel knows.
        guard twice || closed < opened.count && !process.sockets(among: numbers).isEmpty else { return }
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
    func expectIdleFromReturn(limit: Int, lentFor: Int, else cause: String) throws {
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
                    cause: cause)
            }
            if isJudged { return }
        }
        throw Unavailable(
            say("this machine is too busy to tell how long a connection was idle", "这台机器太忙，分不清连接空闲了多久"))
    }

    /// The server stays until the report is written: a program that waits for an answer must be seen waiting, and not what
    /// it does when the server is gone.
    func withReversingServer(holds: Bool = false, _ body: (ReversingServer) throws -> Void) throws {
        let server = try ReversingServer(holds: holds)
        atTheEnd { server.stop() }
        try body(server)
    }

    /// The kernel drops further SYNs, as a network would that swallows packets.
    func fillQueue(of address: SocketAddress) throws {
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

    func makePool(
        to address: SocketAddress, limit: Int, idleLimit: Int = 60_000, plan: FaultPlan = .none
    ) throws -> TriedPool {
        let process = try launch(plan: plan)
        let call = try begin(
            "pool-make", [.string(address.host), .int(Int(address.port)), .int(limit), .int(idleLimit)], in: process)
        guard case .int(let number) = try call.value() else { throw LabError("pool-make answers with a number") }
        return TriedPool(trial: self, process: process, number: number)
    }
}
