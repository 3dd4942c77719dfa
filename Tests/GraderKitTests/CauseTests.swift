// Every built-in rule that names a mistake: what it recognises, and what it must not take for it.
import Course
import Foundation
import Sockets
import SyntheticTap
import Wire
import XCTest

@testable import GraderKit

final class CauseTests: XCTestCase {
    private var tap = Recorder()
    private var failure = Failure(expected: "", got: "")
    private var asked: (entry: String, host: String, port: UInt16)? = ("server", "127.0.0.1", 8000)
    private var ending: Subject.Ending?
    private var returned: PendingCall.Outcome?
    private var output = ""
    private var connections = 1
    private var load = 0.0
    private var loadNow = 0.0
    private let stream = Int64(SOCK_STREAM as Int32)
    private let datagram = Int64(SOCK_DGRAM as Int32)

    override class func setUp() { Language.current = .english }

    override func setUp() {
        tap = Recorder()
        failure = Failure(expected: "", got: "")
        asked = ("server", "127.0.0.1", 8000)
        (ending, returned, output, connections, load, loadNow) = (nil, nil, "", 1, 0, 0)
    }

    private var evidence: Evidence {
        var printed = Subject.Output()
        printed.add(Array(output.utf8)[...])
        return Evidence(
            failure: failure, timeline: tap.timeline, asked: asked, ending: ending, returned: returned, load: load,
            loadNow: loadNow, output: printed, connections: connections, now: tap.time + 1_000_000_000)
    }

    /// The mistake that a report would name, and its detail.
    private var found: String? {
        for cause in Cause.crashes + Cause.general {
            if let detail = cause.find(evidence) { return detail.isEmpty ? cause.id : "\(cause.id): \(detail)" }
        }
        return nil
    }

    /// A server that is bound, listens, and waits for clients.
    private func serve(_ port: UInt16 = 8000) {
        tap.call("socket", with: [Int64(AF_INET), stream], result: 3)
        tap.call("bind", 3, with: [stream], to: .local(port), result: 0, found: .local(port))
        tap.call("listen", 3, with: [5, stream], result: 0, found: .local(port))
    }

    private func accept(_ connection: Int64) {
        tap.call("accept", 3, result: connection, found: .local(UInt16(40_000 + connection)))
    }

    func testNothingToBlame() {
        serve()
        tap.enter("accept", 3)
        XCTAssertNil(found)
    }

    // MARK: How it ended

    func testEndings() {
        func ended(_ ending: Subject.Ending, _ output: String = "") -> String? {
            self.ending = ending
            self.output = output
            return found
        }
        serve()
        XCTAssertEqual(ended(.init(signal: SIGPIPE)), "sigpipe")
        XCTAssertEqual(ended(.init(signal: SIGKILL, limit: .memory)), "out-of-memory")
        XCTAssertEqual(ended(.init(signal: SIGKILL, limit: .threads)), "too-many-threads")
        XCTAssertEqual(ended(.init(signal: SIGXFSZ)), "file-too-large")
        XCTAssertEqual(ended(.init(signal: SIGXCPU)), "spinning")
        XCTAssertEqual(ended(.init(signal: SIGKILL)), "killed: signal 9")
        XCTAssertEqual(ended(.init(code: 0)), "exited: exit code 0")
        XCTAssertEqual(
            ended(.init(signal: SIGKILL), String(repeating: "x", count: 17 << 20)),
            "output-flood: it printed more than 17 MB")
    }

    func testCrashes() {
        serve()
        ending = .init(signal: SIGILL)
        func crashed(_ output: String) -> String? {
            self.output = output
            return found
        }
        XCTAssertEqual(crashed("a.swift:3: Fatal error: Index out of range\n"), "index-out-of-range")
        XCTAssertEqual(crashed("Fatal error: Unexpectedly found nil"), "crash: Unexpectedly found nil")
        XCTAssertEqual(crashed("Fatal error: load from misaligned raw pointer"), "misaligned-load")
        XCTAssertEqual(
            crashed("0 [inlined] Swift runtime failure: arithmetic overflow in Lesson01 at /x"), "arithmetic-overflow")
        XCTAssertEqual(crashed("Fatal error: Not enough bits to represent the passed value"), "arithmetic-overflow")
        XCTAssertEqual(crashed(""), "crash")
        // Words that a program prints while it lives say nothing.
        ending = nil
        XCTAssertNil(crashed("Fatal error: Index out of range"))
    }

    func testServerThatCameBack() {
        serve()
        returned = .returned(.none)
        XCTAssertEqual(found, "server-returned")
        returned = .threw(type: "SocketError", name: "accept", code: EBADF, description: "accept: bad")
        XCTAssertEqual(found, "server-threw: accept: bad")
    }

    func testServerThatCouldNotStart() {
        tap.call("socket", with: [Int64(AF_INET), stream], result: -1, error: EMFILE)
        returned = .threw(type: "SocketError", name: "socket", code: EMFILE, description: "socket: too many")
        XCTAssertEqual(found, "could-not-start: socket: too many")
    }

    /// It threw because a call was interrupted: that comes first.
    func testInterruptionBeforeTheErrorThatItCaused() {
        serve()
        tap.call("accept", 3, result: -1, error: EINTR, perturbed: true)
        returned = .threw(type: "SocketError", name: "accept", code: EINTR, description: "accept: interrupted")
        XCTAssertEqual(found, "eintr-not-retried: accept(3)")
    }

    // MARK: Addresses

    func testPortInHostOrder() {
        asked = ("server", "127.0.0.1", 53)
        serve(13_568)
        XCTAssertEqual(found, "port-in-host-order: asked for port 53, it used 13568")
    }

    func testPortWhoseBytesAreEqual() {
        asked = ("server", "127.0.0.1", 0x1212)
        serve(0x1212)
        XCTAssertNil(found)
    }

    func testIgnoredPort() {
        serve(12_000)
        XCTAssertEqual(found, "ignored-port: asked for port 8000, it bound 12000")
        asked = ("server", "127.0.0.1", 0)
        XCTAssertEqual(found, "ignored-port: asked for port 0, it bound 12000")
    }

    /// A helper's socket may have any port, and so may a function's.
    func testOtherSocketsPorts() {
        serve()
        tap.call("bind", 4, with: [datagram], to: .local(0), result: 0, found: .local(41_000))
        XCTAssertNil(found)
        setUp()
        asked = ("function", "", 0)
        tap.call("bind", 4, with: [datagram], to: .local(9999), result: 0, found: .local(9999))
        XCTAssertNil(found)
    }

    func testIgnoredHost() throws {
        asked = ("server", "127.0.0.2", 8000)
        serve()
        XCTAssertEqual(found, "ignored-host: asked for 127.0.0.2, it bound 127.0.0.1")
    }

    func testAddressInUse() {
        tap.call("bind", 3, with: [stream], to: .local(8000), result: -1, error: EADDRINUSE)
        XCTAssertEqual(found, "address-in-use: bind(3, 127.0.0.1:8000)")
        // Another one was found.
        tap.call("bind", 3, with: [stream], to: .local(8000), result: 0, found: .local(8000))
        tap.call("listen", 3, with: [5, stream], result: 0, found: .local(8000))
        XCTAssertNil(found)
    }

    func testNeverBound() {
        tap.call("socket", with: [Int64(AF_INET), datagram], result: 3)
        XCTAssertEqual(found, "never-bound")
        asked = ("function", "", 0)
        XCTAssertNil(found)
    }

    func testNeverListened() {
        tap.call("bind", 3, with: [stream], to: .local(8000), result: 0, found: .local(8000))
        XCTAssertEqual(found, "never-listened")
        // A datagram socket has no need to.
        setUp()
        tap.call("bind", 3, with: [datagram], to: .local(8000), result: 0, found: .local(8000))
        XCTAssertNil(found)
        // Nor has one whose bind failed got so far.
        setUp()
        tap.call("bind", 3, with: [stream], to: .local(8000), result: -1, error: EACCES)
        XCTAssertNil(found)
    }

    // MARK: Interruptions

    func testInterruptedCallThatIsMadeAgain() {
        serve()
        accept(4)
        tap.call("recv", 4, result: -1, error: EINTR, perturbed: true)
        XCTAssertEqual(found, "eintr-not-retried: recv(4, …, 0)")
        tap.call("recv", 4, result: 5)
        XCTAssertNil(found)
    }

    /// The number of a closed descriptor is given to the next connection: that is another call.
    func testInterruptedCallAndANewConnection() {
        serve()
        accept(4)
        tap.call("recv", 4, result: -1, error: EINTR, perturbed: true)
        tap.call("close", 4, result: 0)
        accept(4)
        tap.call("recv", 4, result: 5)
        XCTAssertEqual(found, "eintr-not-retried: recv(4, …, 0)")
    }

    /// An interrupted connect is waited for.
    func testInterruptedConnect() {
        asked = ("function", "", 0)
        tap.call("connect", 3, to: .local(8000), result: -1, error: EINTR, perturbed: true)
        XCTAssertEqual(found, "eintr-not-retried: connect(3, 127.0.0.1:8000)")
        tap.call("poll", 3, with: [1, -1], result: 1)
        XCTAssertNil(found)
    }

    // MARK: Sends

    private func send(_ text: String, took count: Int64) {
        tap.call("send", 4, length: text.utf8.count, data: Array(text.utf8), result: count)
    }

    func testShortSend() {
        serve()
        accept(4)
        send("HELLO", took: 2)
        XCTAssertEqual(found, "short-send-ignored: send took 2 of 5 bytes")
        send("LLO", took: 3)
        XCTAssertNil(found)
    }

    func testShortSendFollowedBySomethingElse() {
        serve()
        accept(4)
        send("HELLO", took: 2)
        send("WORLD", took: 5)
        XCTAssertEqual(found, "short-send-ignored: send took 2 of 5 bytes")
    }

    // MARK: Busy

    private func spin(_ count: Int, _ body: () -> Void) { for _ in 0..<count { body() } }

    func testSpinning() {
        serve()
        spin(5000) { tap.call("recv", 4, result: 0) }
        load = 0.9
        XCTAssertEqual(found, "spinning: recv came back 5000 times with nothing")
    }

    /// On a busy machine it gets little CPU, and makes thousands of calls a second all the same.
    func testSpinningOnABusyMachine() {
        load = 0.1
        tap.step = 50_000
        serve()
        spin(30_000) { tap.call("recv", 4, result: 0) }
        XCTAssertEqual(found, "spinning: recv came back 30000 times with nothing")
    }

    /// Asking every few milliseconds is another mistake.
    func testAskingNowAndThenIsNotSpinning() {
        load = 0.1
        serve()
        spin(5000) { tap.call("recv", 4, result: -1, error: EAGAIN) }
        XCTAssertNil(found)
    }

    func testReadyAllTheTime() {
        serve()
        spin(3000) { tap.call("epoll_wait", 7, with: [64, -1], result: 1) }
        load = 0.9
        XCTAssertEqual(found, "spinning: epoll_wait came back 2999 times with nothing")
    }

    /// Much work is no spinning: each EAGAIN ends a batch.
    func testHardWorkIsNotSpinning() {
        serve()
        spin(2000) {
            tap.call("epoll_wait", 7, with: [64, -1], result: 1)
            tap.call("recv", 4, length: 10, result: 10)
            tap.call("send", 4, length: 10, result: 10)
            tap.call("recv", 4, length: 10, result: -1, error: EAGAIN)
        }
        load = 1
        XCTAssertNil(found)
    }

    func testBusyWithoutCalls() {
        serve()
        loadNow = 0.9
        XCTAssertNil(found, "one second is not enough")
        tap.time += 500_000_000
        XCTAssertEqual(found, "busy: no call for 1.5 s, and the CPU was busy")
        loadNow = 0
        load = 0.9
        XCTAssertNil(found, "it was busy before, and waits now")
    }

    // MARK: Blocked

    func testBlockedInReceive() {
        serve()
        accept(4)
        tap.enter("recv", 4, length: 1024)
        XCTAssertNil(found, "there is only this client")
        connections = 2
        XCTAssertEqual(found, "blocked-in-recv: recv(4, …, 1024)")
        // Wrong bytes are not explained by what it waits for afterwards.
        failure = Failure(expected: "", got: "", difference: ["lines"])
        XCTAssertNil(found)
    }

    /// Each client has a thread, or the thread that accepts does nothing else.
    func testBlockedInReceiveOnAnotherThread() {
        serve()
        accept(4)
        connections = 2
        tap.enter("recv", 4, length: 1024, thread: 101)
        XCTAssertNil(found)
    }

    /// A socket that was not accepted: a client's own, or one of UDP.
    func testBlockedInAnotherReceive() {
        serve()
        connections = 2
        tap.enter("recv", 9, length: 10)
        XCTAssertNil(found)
    }

    func testOtherBlockedCalls() {
        serve()
        tap.enter("accept", 3, thread: 1)
        tap.enter("send", 4, length: 5, data: Array("HELLO".utf8), thread: 2)
        XCTAssertEqual(Cause.blockedInAccept.find(evidence), "accept(3)")
        XCTAssertEqual(Cause.blockedInSend.find(evidence), "send(4, \"HELLO\", 5)")
        setUp()
        XCTAssertNil(Cause.blockedInAccept.find(evidence))
        XCTAssertNil(Cause.blockedInSend.find(evidence))
    }

    // MARK: What fails at the start, and what is only looked at

    func testStartRetried() {
        func fail() { tap.call("socket", with: [Int64(AF_INET), stream], result: -1, error: EMFILE) }
        for _ in 0..<2 { fail() }
        XCTAssertNotEqual(found, "start-retried: socket failed 2 times with EMFILE")
        fail()
        XCTAssertEqual(found, "start-retried: socket failed 3 times with EMFILE")
        // A function that was called three times may say so each time.
        asked = ("client", "", 0)
        XCTAssertNotEqual(found, "start-retried: socket failed 3 times with EMFILE")
        // It came through in the end.
        asked = ("server", "127.0.0.1", 8000)
        serve()
        XCTAssertNil(found)
    }

    /// A connect that has only begun goes on by itself; one that failed does not, whatever is sent behind it.
    func testConnectNotChecked() {
        asked = ("client", "", 0)
        for (error, isFailure) in [(EINPROGRESS, false), (ENETUNREACH, true)] {
            tap = Recorder()
            tap.call("socket", with: [Int64(AF_INET), stream], result: 3)
            tap.call("connect", 3, to: .local(8000), result: -1, error: error)
            XCTAssertNil(found)
            tap.call("send", 3, length: 5, result: -1, error: ENOTCONN)
            XCTAssertEqual(found?.hasPrefix("connect-not-checked: connect(3"), isFailure ? true : nil, found ?? "")
        }
    }

    func testPeekedOnly() {
        serve()
        accept(4)
        func receive(_ flags: Int32, _ count: Int) {
            tap.call(
                "recv", 4, with: [Int64(flags)], length: 100, result: Int64(count),
                got: [UInt8](repeating: 97, count: count))
        }
        for _ in 0..<3 { receive(Int32(MSG_PEEK), 7) }
        XCTAssertEqual(found?.hasPrefix("peeked-not-taken: recv(4"), true, found ?? "")
        receive(0, 7)
        XCTAssertNil(found)
    }

    /// A buffer without room: recv says 0, as at the end.
    func testReceiveOfNothing() {
        serve()
        accept(4)
        tap.call("recv", 4, length: 5, result: 5, got: [1, 2, 3, 4, 5])
        XCTAssertNil(found)
        tap.call("recv", 4, length: 0, result: 0)
        XCTAssertEqual(found, "asked-for-nothing: recv(4, …, 0)")
        tap.call("recv", 4, length: 5, result: 0)
        XCTAssertNil(found)
    }

    func testWaitAllThatCameBackShort() {
        serve()
        accept(4)
        func receive(_ count: Int64) {
            tap.call(
                "recv", 4, with: [Int64(MSG_WAITALL)], length: 8, result: count,
                got: [UInt8](repeating: 97, count: Int(count)))
        }
        receive(8)
        XCTAssertNil(found)
        receive(3)
        XCTAssertEqual(found?.hasPrefix("waitall-trusted: recv(4"), true, found ?? "")
        // It goes on, and gets the rest.
        receive(8)
        XCTAssertNil(found)
    }

    func testErrorOfTheSameName() {
        serve()
        failure = Failure(
            expected: "decodeHeader throws HeaderError.truncated(count: 3)",
            got: "threw Lesson01.HeaderError.truncated(count: 3)")
        XCTAssertEqual(found, "own-error-type: Lesson01.HeaderError is not Course.HeaderError")
        failure = Failure(expected: "a header", got: "threw Lesson01.HeaderError.truncated(count: 3)")
        XCTAssertNil(found)
    }

    // MARK: Of a check's own

    func testCrashThatACheckExplains() {
        ending = .init(signal: SIGILL)
        output = "Fatal error: Index out of range"
        let cause = Cause.crash(meaning: "reads-past-the-header", when: Cause.isOutOfRange)
        XCTAssertTrue(cause.explainsCrash)
        XCTAssertEqual(cause.find(evidence), "Index out of range")
        output = "Fatal error: something else"
        XCTAssertNil(cause.find(evidence))
    }

    /// Each has its explanation in the catalogue, in both languages.
    func testEveryCauseIsExplained() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..")
        let data = try Data(contentsOf: root.appendingPathComponent("Lessons/causes.json"))
        let causes = try XCTUnwrap(JSONSerialization.jsonObject(with: data) as? [String: [String: Any]])
        let own = [Cause.blockedInReceive, .blockedInAccept, .blockedInSend]
        for cause in Cause.crashes + Cause.general + own {
            let explained = try XCTUnwrap(causes[cause.id], cause.id)
            for part in ["title", "why"] {
                let texts = explained[part] as? [String: String]
                XCTAssertFalse(texts?["en"]?.isEmpty ?? true, cause.id)
                XCTAssertFalse(texts?["zh-Hans"]?.isEmpty ?? true, cause.id)
            }
        }
    }
}
