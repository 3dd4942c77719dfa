// What a fault plan makes of calls: which fail or come back short, by their number.
import Course
import Sockets
import Wire
import XCTest

@testable import GraderKit

final class FaultPlanTests: ProbeTestCase {
    /// What each of several calls returned: a count, or the negative of its errno. Those that move ten bytes must have been
    /// recorded as the lab's doing, and no others.
    private func results(
        _ call: String, _ count: Int = 4, on kind: String = "stream", plan: FaultPlan, file: StaticString = #filePath,
        line: UInt = #line
    ) throws -> [Int] {
        let (value, timeline) = try run("repeat", .string(call), .int(count), .string(kind), plan: plan)
        guard case .list(let values) = value else { return [] }
        let results = values.map { if case .int(let number) = $0 { number } else { 0 } }
        let made = timeline.calls(call == "recv-dontwait" ? "recv" : call).suffix(count)
        if made.first?.length == 10 {
            XCTAssertEqual(made.map(\.perturbed), results.map { $0 < 10 }, call, file: file, line: line)
        }
        return results
    }

    func testShortReceives() throws {
        for call in ["recv", "recvfrom", "read"] {
            XCTAssertEqual(try results(call, plan: .most(3, each: .receive)), [3, 3, 3, 3], call)
        }
        // Ten bytes lie in two buffers of four and six.
        for call in ["readv", "recvmsg"] {
            XCTAssertEqual(try results(call, plan: .most(1, each: .receive)), [1, 1, 1, 1], call)
            XCTAssertEqual(try results(call, plan: .most(4, each: .receive)), [4, 4, 4, 4], call)
            XCTAssertEqual(try results(call, plan: .most(7, each: .receive)), [7, 7, 7, 7], call)
            XCTAssertEqual(try results(call, plan: .most(10, each: .receive)), [10, 10, 10, 10], call)
        }
    }

    func testShortSends() throws {
        for call in ["send", "sendto", "write"] {
            XCTAssertEqual(try results(call, plan: .most(3, each: .send)), [3, 3, 3, 3], call)
        }
        for call in ["writev", "sendmsg"] {
            XCTAssertEqual(try results(call, plan: .most(5, each: .send)), [5, 5, 5, 5], call)
        }
        XCTAssertEqual(try results("send", plan: .most(3, each: .receive)), [10, 10, 10, 10])
        XCTAssertEqual(try results("send", plan: .most(3, first: .send)), [3, 10, 10, 10])
    }

    /// What comes short by itself is not the lab's doing.
    func testAMaximumThatIsNotReachedChangesNothing() throws {
        let short = try run("failing-calls", plan: .most(5, each: .receive)).1.calls("read").last
        XCTAssertEqual(short?.result, 1)
        XCTAssertEqual(short?.perturbed, false)
    }

    /// What arrives is what was sent, in its order, however it is cut.
    func testShortTransfersLoseNothing() throws {
        try withTrial { trial in
            let plan = FaultPlan.most(1, each: .receive) + .most(2, each: .send)
            let server = try trial.serve("echo", plan: plan)
            let client = try server.connect()
            try client.send("hello, world")
            // The probe's server believes that one send is all: each byte is a receive of its own.
            try client.expect("hello, world")
        }
    }

    func testDatagramsAreNeverCut() throws {
        for call in ["recv", "recvfrom", "recvmsg", "read"] {
            XCTAssertEqual(try results(call, on: "datagram", plan: .most(1, each: .receive)), [10, 10, 10, 10], call)
        }
        XCTAssertEqual(try results("send", on: "datagram", plan: .most(1, each: .send)), [10, 10, 10, 10])
    }

    func testThreeInterruptionsInARow() throws {
        let interrupted = -Int(EINTR)
        for call in ["recv", "recvfrom", "recvmsg", "read", "readv"] {
            XCTAssertEqual(
                try results(call, plan: .fail(.receive, 1, through: 3, with: EINTR)),
                [interrupted, interrupted, interrupted, 10], call)
        }
        for call in ["send", "sendto", "sendmsg", "write", "writev"] {
            XCTAssertEqual(
                try results(call, plan: .fail(.send, 1, through: 3, with: EINTR)),
                [interrupted, interrupted, interrupted, 10], call)
        }
        for call in ["poll"] {
            XCTAssertEqual(
                try results(call, plan: .fail(.waitReady, 1, through: 3, with: EINTR)),
                [interrupted, interrupted, interrupted, 0], call)
        }
        // With a timeout of 0 it only looks: there is nothing to interrupt.
        XCTAssertEqual(try results("poll-now", plan: .fail(.waitReady, every: 1, with: EINTR)), [0, 0, 0, 0])
        XCTAssertEqual(
            try results("waitpid", plan: .fail(.waitChild, 1, through: 3, with: EINTR)),
            [interrupted, interrupted, interrupted, 1])
        let accepted = try results("accept", 4, plan: .fail(.accept, 2, through: 4, with: EINTR))
        XCTAssertEqual(Array(accepted.prefix(3)), [interrupted, interrupted, interrupted])
        XCTAssertGreaterThan(accepted[3], 0)
    }

    #if os(Linux)
    /// Where a descriptor is ready, a signal ends no wait; three are ended all the same, since the next one finds it.
    func testWhereEveryWaitIsInterrupted() throws {
        let interrupted = -Int(EINTR)
        for call in ["poll", "ppoll", "select", "pselect", "epoll_wait", "epoll_pwait"] {
            for (wait, found) in [("writable", 1), ("silent", interrupted)] {
                XCTAssertEqual(
                    try results(wait, on: call, plan: .fail(.waitReady, every: 1, with: EINTR)),
                    [found, found, found, found], "\(call), \(wait)")
            }
            XCTAssertEqual(
                try results("writable", on: call, plan: .fail(.waitReady, 1, through: 3, with: EINTR)),
                [interrupted, interrupted, interrupted, 1], call)
        }
    }

    /// A socket that is nearly full takes ten bytes more, though poll says that it has no room.
    func testNothingIsSentWithoutRoom() throws {
        let again = -Int(EAGAIN)
        for call in ["send", "sendto", "sendmsg", "write", "writev"] {
            XCTAssertEqual(try results(call, on: "nearly-full", plan: .none), [10, 10, 10, 10], call)
            XCTAssertEqual(
                try results(call, on: "nearly-full", plan: .noSendWithoutRoom), [again, again, again, again], call)
            XCTAssertEqual(try results(call, on: "nonblocking", plan: .noSendWithoutRoom), [10, 10, 10, 10], call)
            XCTAssertEqual(try results(call, plan: .noSendWithoutRoom), [10, 10, 10, 10], call)
        }
    }

    /// A socketpair that the program made itself is no network.
    func testTheProgramsOwnPairIsLeftAlone() throws {
        for call in ["send", "sendmsg", "write"] {
            let plan = FaultPlan.most(1, each: .send) + .fail(.send, every: 2, with: EINTR)
            XCTAssertEqual(try results(call, on: "own", plan: plan), [10, 10, 10, 10], call)
        }
        for call in ["recv", "recvmsg", "read"] {
            let plan = FaultPlan.most(1, each: .receive) + .fail(.receive, every: 2, with: EINTR)
            XCTAssertEqual(try results(call, on: "own", plan: plan), [10, 10, 10, 10], call)
        }
    }

    /// select(2) writes what is left of its time, also when a signal ends it: here a millisecond later.
    func testAnInterruptedSelectShortensItsTime() throws {
        XCTAssertEqual(
            try results("select-left", plan: .fail(.waitReady, every: 1, with: EINTR)),
            [999_500, 999_500, 999_500, 999_500])
    }
    #endif

    /// Further addresses stand before the name's own, in the order of their rules.
    func testFurtherAddresses() throws {
        func names(_ plan: FaultPlan) throws -> Value {
            try run("repeat", .string("getaddrinfo-names"), .int(1), .string("stream"), plan: plan).0
        }
        XCTAssertEqual(try names(.none), .list([.string("192.0.2.7")]))
        XCTAssertEqual(try names(.resolves(also: "192.0.2.8")), .list([.string("192.0.2.8 192.0.2.7")]))
        XCTAssertEqual(
            try names(.resolves(also: "192.0.2.7") + .resolves(also: "192.0.2.8")),
            .list([.string("192.0.2.7 192.0.2.8 192.0.2.7")]))
    }

    /// `fail` by number.
    func testByNumber() throws {
        let reset = -Int(ECONNRESET)
        XCTAssertEqual(
            try results("send", plan: .fail(.send, 2, through: 3, with: ECONNRESET)), [10, reset, reset, 10])
        XCTAssertEqual(try results("send", plan: .fail(.send, 4, with: ECONNRESET)), [10, 10, 10, reset])
        XCTAssertEqual(
            try results("recv", 6, plan: .fail(.receive, every: 3, with: ECONNRESET)), [10, 10, reset, 10, 10, reset])
        XCTAssertEqual(try results("recv", plan: FaultPlan(["receive:errno=104"])), [reset, reset, reset, reset])
    }

    /// Each rule counts the calls for itself; errors come before maxima.
    func testSeveralRules() throws {
        let plan =
            FaultPlan.most(2, each: .receive) + .most(4, each: .receive)
            + .fail(.receive, 2, with: ECONNRESET) + .fail(.receive, 3, with: ETIMEDOUT)
            + .fail(.receive, 3, with: ECONNRESET)
        XCTAssertEqual(try results("recv", plan: plan), [2, -Int(ECONNRESET), -Int(ETIMEDOUT), 2])
    }

    /// EAGAIN only where the descriptor would not have waited, EINTR only where it would.
    func testOnlyWhatCouldHappenHappens() throws {
        let again = -Int(EAGAIN)
        XCTAssertEqual(try results("recv", plan: .fail(.receive, every: 2, with: EAGAIN)), [10, 10, 10, 10])
        XCTAssertEqual(
            try results("recv", on: "nonblocking", plan: .fail(.receive, every: 2, with: EAGAIN)),
            [10, again, 10, again])
        XCTAssertEqual(
            try results("recv-dontwait", plan: .fail(.receive, every: 2, with: EAGAIN)), [10, again, 10, again])
        XCTAssertEqual(
            try results("send", on: "nonblocking", plan: .fail(.send, every: 3, with: EAGAIN)), [10, 10, again, 10])
        XCTAssertEqual(
            try results("recv", on: "nonblocking", plan: .fail(.receive, every: 2, with: EINTR)), [10, 10, 10, 10])
        XCTAssertEqual(try results("recv-dontwait", plan: .fail(.receive, every: 2, with: EINTR)), [10, 10, 10, 10])
    }

    func testOtherCallsFail() throws {
        let accepted = try results(
            "accept", 3, plan: .fail(.accept, 2, with: ECONNABORTED) + .fail(.accept, 3, with: EMFILE))
        XCTAssertEqual(Array(accepted.prefix(2)), [-Int(ECONNABORTED), -Int(EMFILE)])
        XCTAssertGreaterThan(accepted[2], 0)
        // Three sockets are made on the way to the first of these.
        XCTAssertEqual(try results("socket", 2, plan: .fail(.socket, 5, with: EMFILE)).last, -Int(EMFILE))
        // Two listens come before the first of these.
        XCTAssertEqual(try results("listen", 2, plan: .fail(.listen, 4, with: EADDRINUSE)), [0, -Int(EADDRINUSE)])
        XCTAssertEqual(try results("fork", 2, plan: .fail(.fork, 2, with: EAGAIN)), [1, -Int(EAGAIN)])
        XCTAssertEqual(try results("getaddrinfo", 2, plan: .fail(.resolve, 2, with: EAI_AGAIN)).last, Int(EAI_AGAIN))
    }

    /// As the kernel does it: the connection is made while the program believes itself interrupted.
    func testInterruptedConnectGoesOn() throws {
        // The first connect is the probe's own pair.
        let (value, timeline) = try run(
            "repeat", .string("connect"), .int(2), .string("stream"), plan: .fail(.connect, 2, with: EINTR))
        XCTAssertEqual(value, .list([.string("interrupted, then connected"), .int(0)]))
        let interrupted = timeline.calls("connect")[1]
        XCTAssertEqual(interrupted.error, EINTR)
        XCTAssertTrue(interrupted.perturbed)
        XCTAssertTrue(interrupted.text(now: 0).hasSuffix("[made by the lab]"), interrupted.text(now: 0))
    }

    /// A rule that would never apply is a mistake in a grader.
    func testBadPlansAreRefused() throws {
        let bad = [
            "nonsense", "recv:max=1", "receive", "receive:", "receive:max=0", "receive:max=", "receive:max=-1",
            "receive:max=1x", "receive:errno=0", "receive:errno=", "receive:errno=-4", "receive#0:errno=4",
            "receive#:errno=4", "receive#3-2:errno=4", "receive#1-:errno=4", "receive# 1:errno=4",
            "receive%0:errno=4", "receive%:errno=4", "accept:max=1", "receive:max=1:errno=4", ";", "receive:max=1;;",
            "receive:max=99999999999999999999", "receive:also=::1", "resolve:also=",
            String(repeating: "receive:max=1;", count: 17),
        ]
        for plan in bad {
            XCTAssertThrowsError(try run("pid", plan: FaultPlan([plan])), plan) { error in
                XCTAssertTrue("\(error)".contains("is not a fault plan"), "\(plan): \(error)")
            }
        }
        for good in [
            "receive:max=1;send#2-3:errno=4;accept%7:errno=103", "resolve:errno=-3",
            "resolve:also=::1;resolve:errno=-2", "",
        ] {
            XCTAssertNoThrow(try run("pid", plan: FaultPlan([good])), good)
        }
    }
}
