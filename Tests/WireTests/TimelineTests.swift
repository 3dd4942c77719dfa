// What a timeline makes of a tap's records, told or lost.
import Course
import Sockets
import SyntheticTap
import Wire
import XCTest

final class TimelineTests: XCTestCase {
    private var tap = Recorder()

    override func setUp() { tap = Recorder() }

    private var names: [String] { tap.timeline.calls.map(\.name) }

    func testCallThatHasNotReturnedIsBlocked() {
        tap.call("listen", 3, result: 0)
        tap.enter("accept", 3)
        XCTAssertEqual(tap.timeline.blocked.map(\.name), ["accept"])
        XCTAssertEqual(tap.timeline.count("accept"), 1)
        XCTAssertEqual(tap.timeline.count("accept", "listen"), 2)
    }

    /// In the order in which they were entered, whichever returns first.
    func testThreadsInterleave() {
        let first = tap.enter("recv", 4, thread: 1)
        let second = tap.enter("recv", 5, thread: 2)
        tap.leave(second, 2, data: [1, 2])
        XCTAssertEqual(tap.timeline.blocked.map(\.descriptor), [4])
        tap.leave(first, 1, data: [9])
        XCTAssertEqual(tap.timeline.calls.map(\.descriptor), [4, 5])
        XCTAssertEqual(tap.timeline.calls.map(\.data), [[9], [1, 2]])
        XCTAssertTrue(tap.timeline.blocked.isEmpty)
        XCTAssertEqual(tap.timeline.calls.map { $0.returned ?? 0 }, [4_000_000, 3_000_000])
    }

    /// Records are a millisecond apart: 150 of them are a wait of 0.15 s.
    func testBeforeIsWhatWasThereThen() {
        let accept = tap.enter("accept", 3, thread: 1)
        for _ in 0..<74 { tap.call("send", 4, length: 1, result: 1) }
        let send = tap.enter("send", 4, length: 1)
        let then = tap.time
        tap.leave(send, 1)
        tap.leave(accept, 5)
        tap.call("recv", 5, length: 10, result: 0)
        let before = tap.timeline.before(then)
        XCTAssertEqual(before.calls.map(\.name), ["accept"] + [String](repeating: "send", count: 75))
        // The accept had not come back by then. The last send had begun just before, and is told with its result.
        XCTAssertEqual(before.blocked.map(\.name), ["accept"])
        XCTAssertEqual(before.calls[75].result, 1)
        XCTAssertEqual(tap.timeline.before(tap.time).blocked.count, 0)
    }

    func testWithoutRepeatsKeepsTheEndsOfWhatCameAgainAndAgain() {
        tap.call("accept", 3, result: 4)
        for _ in 0..<3000 { tap.call("recv", 4, length: 10, result: 0) }
        for _ in 0..<3000 { tap.call("send", 4, length: 1, result: 1) }
        for _ in 0..<1500 { tap.call("recv", 4, length: 10, result: -1, error: EAGAIN) }
        tap.enter("recv", 4)
        let short = tap.timeline.withoutRepeats
        XCTAssertEqual(short.calls("accept").count, 1)
        XCTAssertEqual(short.calls("recv").filter { $0.returned != nil && $0.result == 0 }.count, 2000)
        XCTAssertEqual(short.calls("send").count, 3000)
        XCTAssertEqual(short.calls("recv").filter(\.failed).count, 1500)
        XCTAssertEqual(short.blocked.count, 1)
        XCTAssertEqual(short.calls.map(\.entered), short.calls.map(\.entered).sorted())
        XCTAssertEqual(short.counts, tap.timeline.counts)
    }

    /// A child process numbers its calls from its parent's on, and has a thread of its own.
    func testProcessesAreToldApart() {
        tap.enter("accept", 3, process: 100)
        tap.call("recv", 4, result: 5, process: 101)
        XCTAssertEqual(tap.timeline.blocked.map(\.process), [100])
    }

    /// What a signal handler calls lies within the call that it interrupted.
    func testCallsOfASignalHandler() {
        let outer = tap.enter("recv", 4)
        tap.call("write", 5, length: 1, result: 1)
        XCTAssertEqual(tap.timeline.blocked.map(\.name), ["recv"])
        tap.leave(outer, -1, error: EINTR)
        XCTAssertTrue(tap.timeline.blocked.isEmpty)
        XCTAssertEqual(tap.timeline.calls[0].error, EINTR)
    }

    // MARK: Lost records

    func testLostReturnIsNotABlockedCall() {
        let lost = tap.enter("recv", 4)
        tap.leave(lost, 7, told: false)
        XCTAssertEqual(tap.timeline.blocked.count, 1, "nothing has told otherwise")
        tap.enter("accept", 3)
        XCTAssertEqual(tap.timeline.blocked.map(\.name), ["accept"])
        XCTAssertTrue(tap.timeline.calls[0].returnIsLost)
        XCTAssertFalse(tap.timeline.calls[0].failed)
        XCTAssertEqual(tap.timeline.dropped, 1)
    }

    /// Another thread's loss says nothing of this one's call.
    func testOtherThreadsCallsStayBlocked() {
        tap.enter("accept", 3, thread: 1)
        let lost = tap.enter("recv", 4, thread: 2)
        tap.leave(lost, 7, told: false)
        tap.enter("recv", 4, thread: 2)
        XCTAssertEqual(tap.timeline.blocked.map(\.thread), [1, 2])
    }

    func testReturnOfACallThatWasLost() {
        let lost = tap.enter("recv", 4, told: false)
        tap.leave(lost, 7)
        XCTAssertEqual(names, [])
        XCTAssertEqual(tap.timeline.dropped, 1)
    }

    func testDroppedNeverGoesBack() {
        tap.dropped = 5
        tap.call("close", 3, result: 0)
        tap.dropped = 3
        tap.call("close", 4, result: 0)
        XCTAssertEqual(tap.timeline.dropped, 5)
        tap.timeline.noteDropped(9)
        XCTAssertEqual(tap.timeline.dropped, 9)
    }

    // MARK: Very many calls

    /// The first show how it began, the last how it ended, those between are counted; what is blocked stays.
    func testThin() {
        tap.call("listen", 3, result: 0)
        let early = tap.enter("accept", 3, thread: 7)
        for _ in 0..<16_000 { tap.call("recv", 5, result: -1, error: EAGAIN) }
        let late = tap.enter("recv", 6, thread: 8)
        for _ in 0..<24_000 { tap.call("recv", 5, result: -1, error: EAGAIN) }
        tap.call("close", 5, result: 0)
        let timeline = tap.timeline
        XCTAssertLessThanOrEqual(timeline.calls.count, 30_000)
        XCTAssertEqual(timeline.calls.count + timeline.omitted, 40_004)
        XCTAssertEqual(timeline.count("recv"), 40_001)
        XCTAssertEqual(timeline.calls[0].name, "listen")
        XCTAssertEqual(timeline.calls.last?.name, "close")
        XCTAssertEqual(timeline.blocked.map(\.thread), [7, 8])
        XCTAssertEqual(timeline.calls.map(\.entered), timeline.calls.map(\.entered).sorted())
        // They are still found when they return.
        tap.leave(early, 9)
        tap.leave(late, 4, data: [1, 2, 3, 4])
        XCTAssertTrue(tap.timeline.blocked.isEmpty)
        XCTAssertEqual(tap.timeline.calls("accept").map(\.result), [9])
        XCTAssertEqual(tap.timeline.calls.first { $0.thread == 8 }?.data, [1, 2, 3, 4])
    }

    /// Returns that were lost do not stand in the way of thinning.
    func testThinWithLostReturns() {
        for _ in 0..<40_000 {
            let call = tap.enter("recv", 5)
            tap.leave(call, -1, error: EAGAIN, told: false)
        }
        XCTAssertLessThanOrEqual(tap.timeline.calls.count, 30_000)
        XCTAssertEqual(tap.timeline.blocked.count, 1)
    }

    // MARK: Calls that came back with nothing

    func testFruitless() {
        tap.call("recv", 4, result: -1, error: EAGAIN)
        tap.call("recv", 4, result: 0)
        tap.call("recv", 4, result: 3)
        tap.call("send", 4, result: 3)
        tap.call("accept", 3, result: -1, error: EAGAIN)
        tap.call("poll", 4, result: 0)
        tap.call("close", 4, result: 0)
        XCTAssertEqual(tap.timeline.fruitless, ["recv": 2, "accept": 1, "poll": 1])
        // What the lab made fail is not the program's doing.
        tap.call("recv", 4, result: -1, error: EINTR, perturbed: true)
        XCTAssertEqual(tap.timeline.fruitless["recv"], 2)
    }

    /// Ready, and ready again, and nobody does anything about it.
    func testReadyAgainWithNothingDone() {
        tap.call("epoll_wait", 5, result: 1)
        tap.call("epoll_wait", 5, result: 1)
        tap.call("epoll_wait", 5, result: 1)
        XCTAssertEqual(tap.timeline.fruitless, ["epoll_wait": 2])
        tap.call("recv", 6, result: 10)
        tap.call("epoll_wait", 5, result: 1)
        // Each thread waits for its own.
        tap.call("epoll_wait", 7, result: 1, thread: 9)
        XCTAssertEqual(tap.timeline.fruitless, ["epoll_wait": 2])
    }

    func testLastEvent() {
        XCTAssertEqual(tap.timeline.lastEvent, 0)
        let call = tap.enter("recv", 4)
        XCTAssertEqual(tap.timeline.lastEvent, 1_000_000)
        tap.leave(call, 0)
        XCTAssertEqual(tap.timeline.lastEvent, 2_000_000)
    }

    // MARK: Where it can be reached

    private func bind(_ descriptor: Int32, _ type: Int32, _ port: UInt16, _ result: Int64 = 0, process: Int32 = 100) {
        tap.call(
            "bind", descriptor, with: [Int64(type)], to: .local(port), result: result,
            error: result == 0 ? 0 : EADDRINUSE, found: result == 0 ? .local(port) : nil, process: process)
    }

    private func listen(_ descriptor: Int32, _ port: UInt16, process: Int32 = 100) {
        tap.call(
            "listen", descriptor, with: [5, Int64(SOCK_STREAM as Int32)], result: 0, found: .local(port),
            process: process)
    }

    func testDatagramSocketServesOnceItIsBound() {
        bind(3, SOCK_DGRAM, 5000)
        XCTAssertEqual(tap.timeline.served, .local(5000))
    }

    func testStreamSocketServesOnceItListens() {
        bind(3, SOCK_STREAM, 5000)
        XCTAssertNil(tap.timeline.served)
        listen(3, 5000)
        XCTAssertEqual(tap.timeline.served, .local(5000))
    }

    func testListenOnAnUnboundSocket() {
        listen(3, 41_000)
        XCTAssertEqual(tap.timeline.served, .local(41_000))
    }

    func testBindThatFailedDoesNotServe() {
        bind(3, SOCK_DGRAM, 5000, -1)
        XCTAssertNil(tap.timeline.served)
        bind(3, SOCK_DGRAM, 5001)
        XCTAssertEqual(tap.timeline.served, .local(5001))
    }

    func testSocketsAreFoundByType() {
        bind(3, SOCK_DGRAM, 5000)
        XCTAssertNil(tap.timeline.served(SOCK_STREAM))
        bind(4, SOCK_STREAM, 8000)
        listen(4, 8000)
        XCTAssertEqual(tap.timeline.served, .local(5000))
        XCTAssertEqual(tap.timeline.served(SOCK_STREAM), .local(8000))
        XCTAssertEqual(tap.timeline.served(SOCK_DGRAM), .local(5000))
    }

    func testListenerGivenUpForAnother() {
        listen(3, 8000)
        tap.call("close", 3, result: 0)
        XCTAssertEqual(tap.timeline.served, .local(8000), "there is no better one")
        listen(3, 8001)
        XCTAssertEqual(tap.timeline.served, .local(8001))
    }

    /// A forked child closes its copy only.
    func testChildClosesItsCopy() {
        listen(3, 8000)
        tap.call("close", 3, result: 0, process: 101)
        listen(4, 8001)
        XCTAssertEqual(tap.timeline.served, .local(8000))
    }
}
