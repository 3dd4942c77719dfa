// Checks of exercise 11 connect-with-retry. lesson.json describes each under the same id.
import Course
import GraderKit
import Sockets
import Wire

let lesson11Connect = (connecting + tryingAgain + givingUp).map { $0.explained(first: [.datagramSocket]) }

// MARK: - Giving up

private let givingUp: [Check] = [
    Check(
        "connect-black-hole",
        suspects: [.sameSocketAgain, .blockingConnect, .begunTakenForFailed, .attemptWithoutLimit]
    ) { trial in
        let full = try trial.fullListener()
        let policy = RetryPolicy(attempts: 3, firstWait: 4, longestWait: 8, connectTimeout: 200, timeout: 60_000)
        let call = try trial.beginRetry(full.address, policy)
        try trial.expect(call, throws: ETIMEDOUT)
        let count = call.subject.timeline.count("connect")
        try trial.expect(count, equals: 3, say("how often it connects", "connect 的次数"), cause: miscounted(count))
        // Two addresses of one name are silent, and each of them has the time to itself.
        let other = try FullListener(host: "127.0.0.9", port: full.address.port)
        let once = RetryPolicy(attempts: 1, firstWait: 4, longestWait: 8, connectTimeout: 300, timeout: 60_000)
        let both = try trial.beginRetry(
            host: "localhost", port: full.address.port, once, plan: .resolves(also: other.address.host))
        // A third address may refuse: ::1, where the machine has it.
        try trial.expect(both, throwsOneOf: [ETIMEDOUT, ECONNREFUSED])
        let ended = now()
        let tried = Set(both.subject.timeline.calls("connect").compactMap(\.given))
        try both.expectNotEarly(
            2 * once.connectTimeout, ended,
            cause: tried.count > 1 ? "connect-timeout-shared" : "first-address-only")
    },
    Check("connect-deadline", suspects: [.blockingConnect, .begunTakenForFailed, .waitsWithoutDeadline]) { trial in
        let full = try trial.fullListener()
        let policy = RetryPolicy(
            attempts: 1000, firstWait: 4, longestWait: 8, connectTimeout: 60_000, timeout: 400)
        try trial.expect(trial.beginRetry(full.address, policy), throws: ETIMEDOUT)
    },
    Check("connect-wait-deadline", suspects: [.failureReturned, .sleepsPastTheDeadline, .begunTakenForFailed]) {
        trial in
        let nobody = try trial.boundStream()
        let policy = RetryPolicy(
            attempts: 5, firstWait: 120_000, longestWait: 120_000, connectTimeout: 5000, timeout: 1500)
        let call = try trial.beginRetry(nobody.address, policy)
        // A wait that is cut short leaves no time for the attempt after it.
        try trial.expect(call, throwsOneOf: [ECONNREFUSED, ETIMEDOUT])
        let longest = call.subject.timeline.sleeps.compactMap(\.sleepMilliseconds).max() ?? 0
        guard longest <= policy.timeout else {
            throw Failure(
                expected: say("no wait goes past the deadline", "没有一次等待越过截止时刻"),
                got: say(
                    "it slept for \(longest) ms of \(policy.timeout)", "总共 \(policy.timeout) ms，却睡了 \(longest) ms"),
                cause: "sleeps-past-the-deadline")
        }
    },
    Check("connect-fresh-socket") { trial in
        let nobody = try trial.boundStream()
        let call = try trial.beginRetry(nobody.address, .quick(attempts: 4))
        let outcome = try call.outcome()
        if let again = call.subject.timeline.connectedAgain {
            throw Failure(
                expected: say("a socket of its own for each attempt", "每次尝试都用新的套接字"),
                got: say("connect on descriptor \(again.descriptor) again", "对描述符 \(again.descriptor) 再次 connect"),
                cause: "same-socket-again")
        }
        let count = call.subject.timeline.count("connect")
        guard case .threw("SocketError", _, ECONNREFUSED, _) = outcome, count == 4 else {
            let end = outcome.isReturn ? returnedUnconnected : say("it \(outcome.text)", outcome.text)
            let cause: String? =
                switch outcome {
                case .returned: "so-error-not-asked"
                case .threw("SocketError", _, EINPROGRESS, _): "begun-taken-for-failed"
                default: count == 4 ? nil : miscounted(count)
                }
            throw Failure(
                expected: say("four attempts, and SocketError ECONNREFUSED", "四次尝试，然后 SocketError ECONNREFUSED"),
                got: say("\(count == 1 ? "one attempt" : "\(count) attempts"); \(end)", "\(count) 次尝试；\(end)"),
                cause: cause)
        }
        try trial.expectListsFreed(call.subject)
    },
    Check(
        "connect-leaves-nothing",
        suspects: [
            .failureReturned, .connectionLeak, .descriptorsLeft, .begunTakenForFailed, .blockingConnect,
            .attemptWithoutLimit,
        ]
    ) { trial in
        let nobody = try trial.boundStream()
        let process = try trial.launch(descriptorLimit: 32)
        for _ in 0..<20 {
            try trial.expect(
                trial.beginRetry(nobody.address, .quick(attempts: 3), in: process), throws: ECONNREFUSED)
        }
        let full = try trial.fullListener()
        let brief = RetryPolicy(attempts: 2, firstWait: 1, longestWait: 1, connectTimeout: 1, timeout: 60_000)
        for _ in 0..<20 {
            try trial.expect(trial.beginRetry(full.address, brief, in: process), throws: ETIMEDOUT)
        }
    },
]

// MARK: - Getting there

private let connecting: [Check] = [
    Check("connect-connects", suspects: [.begunTakenForFailed]) { trial in
        let listener = try trial.listen()
        let call = try trial.beginRetry(listener.address, .quick(attempts: 3))
        _ = try listener.accept(from: call)
        try trial.expectConnected(call, to: listener.address)
        let timeline = call.subject.timeline
        guard timeline.count("connect") == 1, timeline.sleeps.isEmpty else {
            throw Failure(
                expected: say("one connect, and no wait", "一次 connect，没有等待"),
                got: say(
                    "\(timeline.count("connect")) connects, \(timeline.sleeps.count) waits",
                    "connect \(timeline.count("connect")) 次，等待 \(timeline.sleeps.count) 次"),
                cause: timeline.sleeps.isEmpty ? "needless-connect" : "waits-before-the-first")
        }
        guard (try? trial.needsLoopback("::1")) != nil else { return }
        let other = try trial.listen(host: "::1")
        let second = try trial.beginRetry(other.address, .quick(attempts: 3))
        let outcome = try second.outcome()
        switch outcome {
        case .threw("ResolveError", _, _, let description), .threw("SocketError", _, EAFNOSUPPORT, let description):
            throw Failure(
                expected: say("it connects to \(other.address)", "连上 \(other.address)"),
                got: say("threw \(description)", "抛出 \(description)"), cause: "one-family-only")
        default: try trial.expectConnected(outcome, to: other.address)
        }
    },
    Check("connect-blocking-again", suspects: [.begunTakenForFailed]) { trial in
        let listener = try trial.listen()
        let call = try trial.beginRetry(listener.address, .quick(attempts: 3))
        _ = try listener.accept(from: call)
        guard case .list(let facts) = try call.value() else { throw LabError("a list was expected") }
        guard facts[0] == .bool(true) else {
            throw Failure(
                expected: say("a descriptor that blocks", "返回的描述符是阻塞的"),
                got: say("O_NONBLOCK is still set", "O_NONBLOCK 仍然设置着"), cause: "left-non-blocking")
        }
    },
    Check("connect-comes-late", suspects: [.sameSocketAgain, .begunTakenForFailed, .gaveUpAtOnce]) { trial in
        let late = try LateListener()
        let policy = RetryPolicy(attempts: 500, firstWait: 4, longestWait: 20, connectTimeout: 5000, timeout: 60_000)
        let call = try trial.beginRetry(late.address, policy)
        _ = try call.subject.waitForTimeline { $0.calls("connect").first { $0.returned != nil } }
        trial.note(say("now somebody listens on \(late.address)", "现在开始在 \(late.address) 监听"))
        try late.open()
        try trial.expectConnected(call, to: late.address)
    },
    Check(
        "connect-next-address",
        suspects: [.sameSocketAgain, .onlyTheFirstAddress, .neverResolved, .begunTakenForFailed]
    ) { trial in
        let listener = try trial.listen()
        // The first address of the name refuses; the listener is at a later one.
        let call = try trial.beginRetry(
            host: "localhost", port: listener.address.port, .quick(attempts: 3),
            plan: .resolves(also: "127.0.0.9"))
        try trial.expectConnected(call, to: listener.address)
        let waits = call.subject.timeline.sleeps.count
        try trial.expect(
            waits, equals: 0, say("how often it waits before it tries the next address", "尝试下一个地址之前等待的次数"),
            cause: "first-address-only")
    },
    Check("connect-eintr", suspects: [.connectedAgainAfterInterrupt, .begunTakenForFailed]) { trial in
        let listener = try trial.listen()
        let plan =
            FaultPlan.fail(.connect, 1, with: EINTR) + .fail(.waitReady, 1, through: 3, with: EINTR)
        let call = try trial.beginRetry(listener.address, .quick(attempts: 5), plan: plan)
        try trial.expectConnected(call, to: listener.address)
        let count = call.subject.timeline.count("connect")
        try trial.expect(
            count, equals: 1, say("how often it connects", "connect 的次数"), cause: "connected-again-after-eintr")
    },
]

// MARK: - Again, or not

private let tryingAgain: [Check] = [
    Check(
        "connect-attempts",
        suspects: [
            .failureReturned, .sameSocketAgain, .sleepsLonger(than: 4), .gaveUpAtOnce, .begunTakenForFailed,
        ]
    ) { trial in
        let nobody = try trial.boundStream()
        // So many that doubling alone would pass the largest Int.
        let policy = RetryPolicy(attempts: 70, firstWait: 2, longestWait: 4, connectTimeout: 5000, timeout: 60_000)
        let call = try trial.beginRetry(nobody.address, policy)
        try trial.expect(call, throws: ECONNREFUSED)
        let timeline = call.subject.timeline
        let count = timeline.count("connect")
        try trial.expect(count, equals: 70, say("how often it connects", "connect 的次数"), cause: miscounted(count))
        let waits = timeline.givenSleeps.count
        try trial.expect(
            waits, equals: 69, say("how often it waits", "等待的次数"),
            cause: waits < 69 ? "no-wait-between" : "waits-after-the-last")
    },
    Check(
        "connect-back-off",
        suspects: [
            .failureReturned, .sameSocketAgain, .sleepsLonger(than: 300), .gaveUpAtOnce, .begunTakenForFailed,
        ]
    ) { trial in
        // From so little that it doubles seven times before the cap.
        let policy = RetryPolicy(attempts: 11, firstWait: 2, longestWait: 300, connectTimeout: 5000, timeout: 60_000)
        let waits = try trial.waitsWhenRefused(policy)
        let longest = (0..<10).map { min(policy.firstWait << $0, policy.longestWait) }
        let expected = say(
            "waits of \(longest.map { "\($0 / 2)–\($0)" }.joined(separator: ", ")) ms",
            "依次等待 \(longest.map { "\($0 / 2)–\($0)" }.joined(separator: "、")) ms")
        func fail(_ cause: String) -> Failure {
            Failure(
                expected: expected,
                got: waits.isEmpty ? say("no wait", "没有等待") : waits.map(String.init).joined(separator: ", ") + " ms",
                cause: cause)
        }
        guard waits.count >= longest.count else { throw fail("no-wait-between") }
        let limited = Array(zip(waits, longest))
        for (index, (wait, longest)) in limited.enumerated() where !(longest / 2...longest).contains(wait) {
            if wait > policy.longestWait { throw fail("wait-over-the-cap") }
            if wait > longest { throw fail("wait-too-long") }
            if waits.max()! <= policy.firstWait { throw fail("wait-does-not-grow") }
            let stopped = index > 2 && limited[index...].allSatisfy { wait, longest in wait < longest / 2 }
            throw fail(stopped ? "stops-growing" : "wait-too-short")
        }
        guard waits.count == longest.count else { throw fail("waits-after-the-last") }
    },
    Check("connect-jitter", suspects: [.failureReturned, .sameSocketAgain, .gaveUpAtOnce, .begunTakenForFailed]) {
        trial in
        let policy = RetryPolicy(attempts: 8, firstWait: 20, longestWait: 150, connectTimeout: 5000, timeout: 60_000)
        let first = try trial.waitsWhenRefused(policy)
        let second = try trial.waitsWhenRefused(policy)
        guard first == second else {
            // What is drawn from half to all of a doubled limit, and only then cut down to the cap, is the cap each time.
            let capped = Array(first.suffix(3) + second.suffix(3))
            guard capped.count == 6, Set(capped).count == 1 else { return }
            throw Failure(
                expected: say("different waits under the cap, too", "到了上限，等待时间也各不相同"),
                got: say("the last three of both runs: \(capped[0]) ms", "两次运行的最后三次都是 \(capped[0]) ms"),
                cause: "no-jitter-at-the-cap")
        }
        let text = first.map(String.init).joined(separator: ", ")
        throw Failure(
            expected: say("two runs that wait for different times", "两次运行的等待时间不同"),
            got: first.isEmpty ? say("no wait at all", "都没有等待") : say("both: \(text) ms", "两次都是：\(text) ms"),
            cause: first.isEmpty ? "no-wait-between" : "no-jitter")
    },
    Check("connect-worth-retrying", suspects: [.sameSocketAgain, .begunTakenForFailed, .gaveUpAtOnce]) { trial in
        let listener = try trial.listen()
        let codes = [ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ECONNRESET, ENETDOWN, ENOBUFS]
        let plan = codes.indices.reduce(FaultPlan.none) { $0 + .fail(.connect, $1 + 1, with: codes[$1]) }
        let call = try trial.beginRetry(listener.address, .quick(attempts: codes.count + 1), plan: plan)
        try trial.expectConnected(call, to: listener.address)
        // One of the addresses says "not now", another one "never": that is worth another attempt, in whatever order.
        for (first, others) in [(ECONNREFUSED, EADDRNOTAVAIL), (EADDRNOTAVAIL, ECONNREFUSED)] {
            let plan =
                FaultPlan.resolves(also: "127.0.0.9") + .fail(.connect, 1, with: first)
                + .fail(.connect, 2, through: 3, with: others)
            let call = try trial.beginRetry(
                host: "localhost", port: listener.address.port, .quick(attempts: 5), plan: plan)
            let outcome = try call.outcome()
            if case .threw("SocketError", _, EADDRNOTAVAIL, let description) = outcome {
                let tried = Set(call.subject.timeline.calls("connect").compactMap(\.given))
                throw Failure(
                    expected: say(
                        "another attempt after \(errorName(first)) of one address and \(errorName(others)) of the next",
                        "一个地址 \(errorName(first))，下一个 \(errorName(others))，之后再尝试"),
                    got: say("it threw \(description)", "抛出 \(description)"),
                    cause: tried.count > 1 ? "one-address-decides" : "first-address-only")
            }
            try trial.expectConnected(outcome, to: listener.address)
        }
    },
    Check("connect-no-descriptor", suspects: [.sameSocketAgain, .begunTakenForFailed, .gaveUpAtOnce]) { trial in
        let listener = try trial.listen()
        let plan = FaultPlan.fail(.socket, 1, with: EMFILE) + .fail(.socket, 2, with: ENFILE)
        let call = try trial.beginRetry(listener.address, .quick(attempts: 5), plan: plan)
        try trial.expectConnected(call, to: listener.address)
        let waits = call.subject.timeline.givenSleeps.count
        try trial.expect(waits, equals: 2, say("how often it waits", "等待的次数"), cause: "no-wait-between")
    },
    Check("connect-in-vain") { trial in
        let listener = try trial.listen()
        let codes = [EACCES, EPERM, EADDRNOTAVAIL, EAFNOSUPPORT, EINVAL, EPROTOTYPE]
        let plan = codes.indices.reduce(FaultPlan.none) { $0 + .fail(.connect, $1 + 1, with: codes[$1]) }
        let process = try trial.launch(plan: plan)
        for (index, code) in codes.enumerated() {
            let call = try trial.beginRetry(listener.address, .quick(attempts: 5), in: process)
            let outcome = try call.outcome()
            let timeline = process.timeline
            if timeline.count("connect") == index + 1, timeline.sleeps.isEmpty,
                case .threw("SocketError", _, code, _) = outcome
            {
                continue
            }
            let again = timeline.count("connect") > index + 1 || !timeline.sleeps.isEmpty
            throw Failure(
                expected: say(
                    "\(errorName(code)) is thrown at once, without another attempt", "\(errorName(code)) 立即抛出，不再尝试"),
                got: again ? say("it tried again", "又尝试了") : outcome.text, cause: again ? "retried-in-vain" : nil)
        }
    },
    Check("connect-unknown-name", suspects: [.neverResolved]) { trial in
        let plan = FaultPlan.fail(.resolve, 1, through: 100, with: EAI_NONAME)
        let call = try trial.beginRetry(host: "localhost", port: 9, .quick(attempts: 5), plan: plan)
        let outcome = try call.outcome()
        let timeline = call.subject.timeline
        let asked = timeline.count("getaddrinfo")
        if asked == 1, timeline.sleeps.isEmpty, case .threw("ResolveError", _, EAI_NONAME, _) = outcome { return }
        let again = asked > 1 || !timeline.sleeps.isEmpty
        throw Failure(
            expected: say(
                "ResolveError EAI_NONAME is thrown at once, and the name is looked up once",
                "立即抛出 ResolveError EAI_NONAME，名字只查一次"),
            got: again ? say("it asked \(asked) times", "查了 \(asked) 次") : outcome.text,
            cause: again ? "name-error-retried" : asked == 1 ? "name-error-lost" : nil)
    },
    Check("connect-name-later", suspects: [.neverResolved, .temporaryNameErrorFinal, .begunTakenForFailed]) { trial in
        let listener = try trial.listen()
        let plan = FaultPlan.fail(.resolve, 1, through: 2, with: EAI_AGAIN)
        let call = try trial.beginRetry(
            host: "localhost", port: listener.address.port, .quick(attempts: 5), plan: plan)
        try trial.expectConnected(call, to: listener.address)
        let timeline = call.subject.timeline
        let wasAsked = timeline.count("getaddrinfo") > 0
        guard timeline.givenSleeps.count >= 2 else {
            throw Failure(
                expected: say("it waits before it asks again", "再问之前先等待"),
                got: say("\(timeline.givenSleeps.count) waits", "等待 \(timeline.givenSleeps.count) 次"),
                cause: wasAsked ? "no-wait-between" : "never-resolved")
        }
    },
]

/// What it means to connect so often.
private func miscounted(_ count: Int) -> String { count == 1 ? "gave-up-at-once" : "attempts-miscounted" }

extension RetryPolicy {
    /// Short waits, and time enough for everything.
    fileprivate static func quick(attempts: Int) -> RetryPolicy {
        RetryPolicy(attempts: attempts, firstWait: 4, longestWait: 16, connectTimeout: 5000, timeout: 60_000)
    }
}

extension Trial {
    fileprivate func beginRetry(
        _ address: SocketAddress, _ policy: RetryPolicy, plan: FaultPlan = FaultPlan(), in process: Subject? = nil
    ) throws -> PendingCall {
        try beginRetry(host: address.host, port: address.port, policy, plan: plan, in: process)
    }

    fileprivate func beginRetry(
        host: String, port: UInt16, _ policy: RetryPolicy, plan: FaultPlan = FaultPlan(), in process: Subject? = nil
    ) throws -> PendingCall {
        let numbers = [
            policy.attempts, policy.firstWait, policy.longestWait, policy.connectTimeout, policy.timeout,
        ]
        return try begin(
            "connect-with-retry", [.string(host), .int(Int(port))] + numbers.map { .int($0) }, plan: plan, in: process)
    }

    fileprivate func expectConnected(_ call: PendingCall, to address: SocketAddress) throws {
        try expectConnected(
            try call.outcome(expecting: say("it connects to \(address)", "连上 \(address)")), to: address)
    }

    fileprivate func expectConnected(_ outcome: PendingCall.Outcome, to address: SocketAddress) throws {
        guard case .returned(let value) = outcome else {
            throw Failure(expected: say("it connects to \(address)", "连上 \(address)"), got: outcome.text)
        }
        guard case .list(let facts) = value, facts.count == 2 else { throw LabError("unexpected \(value)") }
        guard case .string(let peer) = facts[1] else {
            throw Failure(
                expected: say("it connects to \(address)", "连上 \(address)"), got: returnedUnconnected,
                cause: "so-error-not-asked")
        }
        try expect(peer, equals: address.description, say("the peer of the descriptor", "描述符的对端"))
    }

    fileprivate func expect(_ call: PendingCall, throwsOneOf codes: [Int32]) throws {
        let outcome = try call.outcome()
        if case .threw("SocketError", _, let code, _) = outcome, codes.contains(code) { return }
        let names = codes.map(errorName).joined(separator: say(" or ", " 或 "))
        throw Failure(
            expected: say("it throws SocketError \(names)", "抛出 SocketError \(names)"),
            got: outcome.isReturn ? returnedUnconnected : outcome.text)
    }

    /// How long it waits between attempts that are all refused, in ms.
    fileprivate func waitsWhenRefused(_ policy: RetryPolicy) throws -> [Int] {
        let nobody = try boundStream()
        let call = try beginRetry(nobody.address, policy)
        try expect(call, throws: ECONNREFUSED)
        guard call.subject.timeline.count("connect") > 1 else {
            throw Failure(
                expected: say("\(policy.attempts) attempts", "\(policy.attempts) 次尝试"), got: say("one", "一次"),
                cause: "gave-up-at-once")
        }
        return call.subject.timeline.givenSleeps.compactMap(\.sleepMilliseconds)
    }
}

/// Bound from the beginning, so that the port is ours; it listens later.
private final class LateListener {
    let address: SocketAddress
    private let descriptor: Int32

    init() throws {
        let descriptor = try closeOnExecSocket(AF_INET, SOCK_STREAM)
        self.descriptor = descriptor
        let any = try SocketAddress(host: "127.0.0.1", port: 0)
        try check("bind", any.withSockaddr { bind(descriptor, $0, $1) })
        address = try SocketAddress.local(of: descriptor)
    }

    func open() throws { try check("listen", listen(descriptor, 128)) }

    deinit { close(descriptor) }
}
