// Where a server can be reached is what its calls say, in whatever way it was written.
import Course
import Sockets
import Wire
import XCTest

@testable import GraderKit

final class ServedTests: ProbeTestCase {
    private func assertAnswers(
        _ entry: String, host: String = "127.0.0.1", file: StaticString = #filePath, line: UInt = #line
    ) {
        let verdict = judge { trial in
            let client = try trial.serve(entry, host: host).connect()
            try client.expect("here")
            try client.expectEnd()
        }
        XCTAssertEqual(verdict.status, .passed, "\(entry): \(verdict)", file: file, line: line)
    }

    func testNonblockingType() { assertAnswers("nonblocking-type") }
    func testListenInAnotherThread() { assertAnswers("listen-in-a-thread") }
    func testListenWithoutBind() { assertAnswers("listen-unbound") }
    func testSocketThatALibraryMade() { assertAnswers("made-by-a-library") }
    func testSecondBindAfterOneThatFailed() { assertAnswers("second-bind") }
    func testHelperSocketBoundFirst() { assertAnswers("helper-first") }
    func testEveryAddress() { assertAnswers("nonblocking-type", host: "0.0.0.0") }

    func testIPv6() throws {
        try withTrial { try $0.needsLoopback("::1") }
        assertAnswers("nonblocking-type", host: "::1")
        assertAnswers("nonblocking-type", host: "::")
    }

    func testDatagrams() {
        let verdict = judge { trial in
            let client = try trial.serve("datagram-echo").datagramClient()
            try client.send("echo")
            try client.expect("echo")
        }
        XCTAssertEqual(verdict.status, .passed, "\(verdict)")
    }

    /// The whole path, not its first bytes.
    func testUnixPath() throws {
        try withTrial { trial in
            let server = try trial.serve("unix-path")
            XCTAssertEqual(server.address.host, "a-path-that-is-longer-than-any-internet-address-can-be")
        }
    }

    /// A UDP socket that was never bound waits for datagrams that nobody can send.
    func testNeverBound() {
        let verdict = judge { trial in
            let subject = try trial.launch()
            try subject.serve("never-binds", host: "127.0.0.1", port: 0)
            guard try subject.waitForTimeline({ $0.calls("recvfrom").first }) != nil else { return }
            XCTAssertNil(subject.timeline.served)
            throw Failure(expected: "a server", got: "none")
        }
        XCTAssertEqual(verdict.report?.cause, "never-bound")
    }
}
