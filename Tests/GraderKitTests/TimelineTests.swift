// What is read from a timeline of calls: who goes on to serve, and what moves bytes.
import Sockets
import SyntheticTap
import Wire
import XCTest

@testable import GraderKit

final class TimelineTests: XCTestCase {
    private var tap = Recorder()

    override func setUp() { tap = Recorder() }

    private func serve() {
        tap.call("socket", with: [Int64(AF_INET), Int64(SOCK_STREAM as Int32)], result: 3)
        tap.call("bind", 3, to: .local(8000), result: 0, found: .local(8000))
        tap.call("listen", 3, with: [5], result: 0, found: .local(8000))
    }

    /// A thread that reads from a pipe is not the one that should have thrown.
    func testGoesOnToServe() {
        serve()
        tap.enter("read", 7, length: 1, thread: 101)
        XCTAssertFalse(tap.timeline.goesOnToServe)
        tap.call("poll", with: [0, 100], result: 0)
        XCTAssertFalse(tap.timeline.goesOnToServe)
        tap.enter("poll", with: [1, -1])
        XCTAssertTrue(tap.timeline.goesOnToServe)
    }

    /// To ask whether somebody is there is not to serve; to accept is, whoever does it.
    func testAsksWhoIsThere() {
        tap.call("socket", with: [Int64(AF_INET), Int64(SOCK_STREAM as Int32)], result: 3)
        tap.call("connect", 3, to: .local(8000), result: -1, error: EINPROGRESS)
        tap.enter("poll")
        XCTAssertFalse(tap.timeline.goesOnToServe)
        tap.enter("accept", 5, thread: 101)
        XCTAssertTrue(tap.timeline.goesOnToServe)
    }

    /// Who copies a descriptor closes the copy, and may not shut the socket down by it; flags are no descriptor.
    func testEndsWhatWasLent() {
        tap.call("fcntl", 4, with: [Int64(F_DUPFD_CLOEXEC), 0], result: 7)
        tap.call("fcntl", 4, with: [Int64(F_GETFL), 0], result: 4)
        tap.call("close", 7, result: 0)
        tap.call("shutdown", 7, with: [2], result: 0)
        tap.call("close", 4, result: 0)
        let ends = tap.timeline.calls.filter(tap.timeline.endsWhatWasLent)
        XCTAssertEqual(ends.map(\.name), ["shutdown", "close"])
        XCTAssertEqual(ends.map(\.descriptor), [7, 4])
    }

    /// What wakes a program moves nothing of a client's.
    func testMovesBytes() throws {
        serve()
        tap.call("accept", 3, result: 4, found: .local(40_004))
        for (descriptor, moves) in [(4, true), (9, false)] as [(Int32, Bool)] {
            tap.call("read", descriptor, length: 10, result: 1)
            let call = try XCTUnwrap(tap.timeline.calls.last)
            XCTAssertEqual(tap.timeline.movesBytes(call), moves, "\(descriptor)")
        }
    }

    /// Where it has made no connection, all that it has may have been lent to it.
    func testMovesBytesOfWhatWasLent() throws {
        tap.call("recv", 3, length: 10, result: 5)
        XCTAssertTrue(tap.timeline.movesBytes(try XCTUnwrap(tap.timeline.calls.last)))
    }
}
