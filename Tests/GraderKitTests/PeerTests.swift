// What the grader's ends of connections say when something else comes than was expected.
import Course
import Foundation
import Sockets
import Wire
import XCTest

@testable import GraderKit

final class PeerTests: XCTestCase {
    override func tearDown() { Language.current = .english }

    private let probe = Program(executable: Program.products.appendingPathComponent("TapProbe").path, arguments: [])

    private func withTrial<Result>(_ body: (Trial) throws -> Result) throws -> Result {
        let trial = try Trial(program: probe, seed: 1)
        defer { trial.removeFolder() }
        defer { trial.stopPrograms() }
        return try body(trial)
    }

    /// The text as it is where `LAB_TIME_SCALE` is not set.
    private func unscaled(_ text: String) -> String {
        [0.1, 10].reduce(text) { $0.replacing(Deadline.text($1), with: Deadline.text($1, scale: 1)) }
    }

    /// A connection over loopback: the grader's end, and the bare other one.
    private func withPeer(_ trial: Trial, _ body: (_ peer: StreamPeer, _ other: Int32) throws -> Void) throws {
        let subject = try trial.launch()
        let listener = try closeOnExecSocket(AF_INET, SOCK_STREAM)
        defer { close(listener) }
        let any = try SocketAddress(host: "127.0.0.1", port: 0)
        try check("bind", any.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, 1))
        let peer = try StreamPeer.connect(
            to: try SocketAddress.local(of: listener), smallBuffers: true, name: trial.nextConnectionName(),
            trial: trial, subject: subject)
        let other = try check("accept", accept(listener, nil, nil))
        defer { close(other) }
        try body(peer, other)
    }

    private func reset(_ other: Int32) {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(other, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        // The descriptor stays: whoever closes it later closes nothing of others.
        dup2(open("/dev/null", O_RDONLY), other)
    }

    private func say(_ text: String, _ other: Int32) { send(other, text, text.utf8.count, MSG_NOSIGNAL) }

    /// Each of them fails: what the failure says.
    private func streamFailures(_ trial: Trial) throws -> [String] {
        var lines: [String] = []
        func fails(_ name: String, _ body: (_ peer: StreamPeer, _ other: Int32) throws -> Void) throws {
            try withPeer(trial) { peer, other in
                do {
                    try body(peer, other)
                    lines.append("\(name): did not fail")
                } catch let failure as Failure {
                    lines.append("\(name): \(failure.expected) | \(failure.got) | \(failure.difference.count)")
                }
            }
        }
        try fails("silence") { peer, _ in try peer.expect(Array("HELLO".utf8), within: 0.1) }
        try fails("a part") { peer, other in
            say("HEL", other)
            try peer.expect(Array("HELLO".utf8), within: 0.1)
        }
        try fails("other bytes") { peer, other in
            say("HELlo", other)
            try peer.expect("HELLO")
        }
        try fails("end") { peer, other in
            shutdown(other, SHUT_WR)
            try peer.expect("HELLO")
        }
        try fails("end after a part") { peer, other in
            say("HE", other)
            shutdown(other, SHUT_WR)
            try peer.expect("HELLO")
        }
        try fails("reset") { peer, other in
            reset(other)
            try peer.expect("HELLO")
        }
        try fails("no end") { peer, _ in try peer.expectEnd(within: 0.1) }
        try fails("more") { peer, other in
            say("more", other)
            try peer.expectEnd()
        }
        try fails("reset for end") { peer, other in
            reset(other)
            try peer.expectEnd()
        }
        try fails("to the end") { peer, other in
            say("abc", other)
            _ = try peer.receiveToEnd(within: 0.1)
        }
        try fails("to the reset") { peer, other in
            reset(other)
            _ = try peer.receiveToEnd()
        }
        try fails("too much") { peer, other in
            say("abcdef", other)
            _ = try peer.receiveToEnd(most: 4)
        }
        try fails("send to a reset") { peer, other in
            reset(other)
            var event = pollfd(fd: peer.descriptor, events: 0, revents: 0)
            poll(&event, 1, -1)
            try peer.send("x")
        }
        return lines
    }

    func testStreamFailures() throws {
        XCTAssertEqual(
            unscaled(try withTrial(streamFailures).joined(separator: "\n")),
            #"""
            silence: "HELLO" on connection 1 within 0.1 s | nothing | 0
            a part: "HELLO" on connection 2 within 0.1 s | only "HEL" | 3
            other bytes: "HELLO" on connection 3 within 10 s | "HELlo" | 3
            end: "HELLO" on connection 4 within 10 s | the connection was closed | 0
            end after a part: "HELLO" on connection 5 within 10 s | the connection was closed after "HE" | 0
            reset: "HELLO" on connection 6 within 10 s | the connection was broken: Connection reset by peer | 0
            no end: the program closes connection 7 | it is still open after 0.1 s | 0
            more: the program closes connection 8 | more bytes: "more" | 0
            reset for end: the program closes connection 9 | it was reset: Connection reset by peer | 0
            to the end: the program sends and then closes connection 10 | 3 bytes, and it is still open | 0
            to the reset: the program sends and then closes connection 11 | it was reset: Connection reset by peer | 0
            too much: the program sends and then closes connection 12 | more than 4 bytes | 0
            send to a reset: connection 13: the program reads 1 byte | the connection is broken: Connection reset by peer | 0
            """#)
        Language.current = .chinese
        XCTAssertEqual(
            unscaled(try withTrial(streamFailures).joined(separator: "\n")),
            #"""
            silence: 第 1 个连接在 0.1 秒内收到 "HELLO" | 什么也没有 | 0
            a part: 第 2 个连接在 0.1 秒内收到 "HELLO" | 只有 "HEL" | 3
            other bytes: 第 3 个连接在 10 秒内收到 "HELLO" | "HELlo" | 3
            end: 第 4 个连接在 10 秒内收到 "HELLO" | 连接被关闭 | 0
            end after a part: 第 5 个连接在 10 秒内收到 "HELLO" | 收到 "HE" 后连接被关闭 | 0
            reset: 第 6 个连接在 10 秒内收到 "HELLO" | 连接断开：Connection reset by peer | 0
            no end: 程序关闭第 7 个连接 | 0.1 秒后仍然开着 | 0
            more: 程序关闭第 8 个连接 | 又收到 "more" | 0
            reset for end: 程序关闭第 9 个连接 | 连接被重置：Connection reset by peer | 0
            to the end: 程序发送完毕后关闭第 10 个连接 | 收到 3 字节，仍然开着 | 0
            to the reset: 程序发送完毕后关闭第 11 个连接 | 连接被重置：Connection reset by peer | 0
            too much: 程序发送完毕后关闭第 12 个连接 | 超过 4 字节 | 0
            send to a reset: 第 13 个连接：程序读走 1 字节 | 连接断开：Connection reset by peer | 0
            """#)
    }

    /// A program that does not read.
    func testSendThatIsNotRead() throws {
        try withTrial { trial in
            try withPeer(trial) { peer, _ in
                XCTAssertThrowsError(try peer.send([UInt8](repeating: 0, count: 16 << 20), within: 0.2)) { error in
                    guard let failure = error as? Failure else { return XCTFail("\(error)") }
                    XCTAssertEqual(failure.expected, "connection 1: the program reads 16777216 bytes")
                    XCTAssertTrue(failure.got.hasPrefix("it stopped reading after "), failure.got)
                }
            }
        }
    }

    func testWhatComesInPiecesIsPutTogether() throws {
        try withTrial { trial in
            try withPeer(trial) { peer, other in
                for piece in ["HE", "L", "LO"] { say(piece, other) }
                try peer.expect("HELLO")
                say("again", other)
                shutdown(other, SHUT_WR)
                XCTAssertEqual(try peer.receiveToEnd(), Array("again".utf8))
                XCTAssertEqual(peer.received, Array("HELLOagain".utf8))
                try peer.expectEnd()
            }
            XCTAssertEqual(trial.trace.filter { $0.side == .grader }.first?.text, "connection 1: connect")
        }
    }

    /// A program that ends while the grader waits ends the wait; what came before is not lost.
    func testEndOfTheProgram() throws {
        try withTrial { trial in
            try withPeer(trial) { peer, other in
                let subject = try XCTUnwrap(trial.subjects.last)
                subject.signal(SIGKILL)
                XCTAssertThrowsError(try peer.expect("HELLO")) { XCTAssertTrue($0 is ProgramEnded, "\($0)") }
                XCTAssertNotNil(subject.hasEnded)
                say("HELLO", other)
                try peer.expect("HELLO")
            }
        }
    }

    func testEndOfTheProgramIsAFailure() {
        let verdict = Judge(seed: 1) { [probe] _ in probe }.judge(
            Check("ends") { trial in
                let subject = try trial.launch()
                let call = try trial.begin("exit", [.int(3)], in: subject)
                _ = try call.value()
            }, of: "00-probe")
        XCTAssertEqual(verdict.status, .failed)
        XCTAssertEqual(verdict.report.map { unscaled($0.expected) }, "exit returns within 10 s")
        XCTAssertEqual(verdict.report?.got, "your program exited with code 3")
        XCTAssertEqual(verdict.report?.cause, "exited")
    }

    // MARK: Datagrams

    private func datagramFailures(_ trial: Trial) throws -> [String] {
        var lines: [String] = []
        let subject = try trial.launch()
        func fails(
            _ name: String, _ body: (_ peer: DatagramPeer, _ server: Int32, _ stranger: Int32) throws -> Void
        ) throws {
            let any = try SocketAddress(host: "127.0.0.1", port: 0)
            let sockets = try (0..<2).map { _ in
                let descriptor = try closeOnExecSocket(AF_INET, SOCK_DGRAM)
                try check("bind", any.withSockaddr { bind(descriptor, $0, $1) })
                return descriptor
            }
            defer { for descriptor in sockets { close(descriptor) } }
            let names = try sockets.map { try SocketAddress.local(of: $0) }
            let peer = try DatagramPeer(
                boundTo: "127.0.0.1", trial: trial, subject: subject, server: names[0])
            for descriptor in sockets {
                try check("connect", peer.address.withSockaddr { connect(descriptor, $0, $1) })
            }
            do {
                try body(peer, sockets[0], sockets[1])
                lines.append("\(name): did not fail")
            } catch let failure as Failure {
                let text = "\(name): \(failure.expected) | \(failure.got) | \(failure.difference.count)"
                lines.append(
                    text.replacing("\(names[0])", with: "SERVER").replacing("\(names[1])", with: "STRANGER")
                        .replacing("\(peer.address.port)", with: "PORT"))
            }
        }
        try fails("silence") { peer, _, _ in try peer.expect([65], within: 0.1) }
        try fails("other bytes") { peer, server, _ in
            say("HELlo", server)
            try peer.expect("HELLO")
        }
        try fails("two at once") { peer, server, _ in
            say("HELLOHELLO", server)
            try peer.expect("HELLO")
        }
        try fails("empty") { peer, server, _ in
            say("", server)
            try peer.expect("HELLO")
        }
        try fails("from another socket") { peer, _, stranger in
            say("HELLO", stranger)
            try peer.expect("HELLO")
        }
        try fails("a stranger only") { peer, _, stranger in
            say("noise", stranger)
            try peer.expect(Array("HELLO".utf8), within: 0.1)
        }
        try fails("a stranger first") { peer, server, stranger in
            say("noise", stranger)
            say("HELLO", server)
            try peer.expect("HELLO")
        }
        return lines
    }

    func testDatagramFailures() throws {
        XCTAssertEqual(
            unscaled(try withTrial(datagramFailures).joined(separator: "\n")),
            #"""
            silence: "A" (1 byte) to the client on port PORT | nothing within 0.1 s | 0
            other bytes: "HELLO" (5 bytes) to the client on port PORT | "HELlo" (5 bytes) | 3
            two at once: "HELLO" (5 bytes) to the client on port PORT | "HELLOHELLO" (10 bytes) | 3
            empty: "HELLO" (5 bytes) to the client on port PORT | "" (0 bytes) | 3
            from another socket: an answer from SERVER | the answer came from STRANGER | 0
            a stranger only: an answer from SERVER | none, but "noise" from STRANGER | 0
            a stranger first: did not fail
            """#)
        Language.current = .chinese
        XCTAssertEqual(
            unscaled(try withTrial(datagramFailures).joined(separator: "\n")),
            #"""
            silence: 端口 PORT 的客户端收到 "A"（1 字节） | 0.1 秒内什么也没有 | 0
            other bytes: 端口 PORT 的客户端收到 "HELLO"（5 字节） | "HELlo"（5 字节） | 3
            two at once: 端口 PORT 的客户端收到 "HELLO"（5 字节） | "HELLOHELLO"（10 字节） | 3
            empty: 端口 PORT 的客户端收到 "HELLO"（5 字节） | ""（0 字节） | 3
            from another socket: 来自 SERVER 的回答 | 回答来自 STRANGER | 0
            a stranger only: 来自 SERVER 的回答 | 没有，只有来自 STRANGER 的 "noise" | 0
            a stranger first: did not fail
            """#)
    }

    // MARK: Traces

    /// Both sides on one time line, threads and children in lanes of their own.
    func testTrace() throws {
        try withTrial { trial in
            let client = try trial.serve("echo").connect()
            try client.send("hi")
            try client.expect("hi")
            client.close()
            let trace = trial.trace
            XCTAssertEqual(trace.map(\.at), trace.map(\.at).sorted())
            XCTAssertEqual(
                trace.filter { $0.side == .grader }.map(\.text),
                [
                    "start echo on 127.0.0.1, port 0", "connection 1: connect", "connection 1: send \"hi\"",
                    "connection 1: received \"hi\"", "connection 1: close",
                ])
            let program = trace.filter { $0.side == .program }
            XCTAssertTrue(program.allSatisfy { $0.lane == nil })
            XCTAssertTrue(program.contains { $0.text.hasPrefix("send(4, \"hi\", 2") })
        }
    }

    // MARK: Two at once

    /// Random ports and folders: graders on one machine do not meet.
    func testGradersSideBySide() {
        let judge = Judge(seed: 1) { [probe] _ in probe }
        let checks = (0..<8).map { number in
            Check("echo-\(number)") { trial in
                let client = try trial.serve("echo").connect()
                let message = trial.random.bytes(200)
                try client.send(message)
                try client.expect(message)
            }
        }
        nonisolated(unsafe) var verdicts: [[Verdict]] = [[], []]
        DispatchQueue.concurrentPerform(iterations: 2) { number in
            let found = judge.judge(checks, of: "00-probe")
            if number == 0 { verdicts[0] = found } else { verdicts[1] = found }
        }
        for verdict in verdicts.joined() { XCTAssertEqual(verdict.status, .passed, "\(verdict)") }
    }
}
