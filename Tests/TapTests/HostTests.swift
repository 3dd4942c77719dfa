// The program that hosts a contract: under a grader it answers calls, on a terminal it serves.
import Course
import Foundation
import Sockets
import Wire
import XCTest

@testable import GraderKit

final class HostTests: ProbeTestCase {
    // MARK: Under a grader

    func testValuesComeBackAsTheyWent() throws {
        let values: [Value] = [
            .none, .bool(true), .bool(false), .int(.min), .int(.max), .unsigned(.max), .unsigned(0), .bytes([]),
            .bytes(Array(0...255)), .string(""), .string("大\u{0}\u{1F600}\n\""), .list([.int(1), .list([]), .none]),
        ]
        let back = try withTrial { trial in
            try trial.begin("give-back", values).value()
        }
        XCTAssertEqual(back, .list(values))
    }

    /// Megabytes of arguments and results go over in a moment.
    func testLargeValues() throws {
        let large = [UInt8](repeating: 0xa5, count: 8 << 20)
        XCTAssertEqual(try run("give-back", .bytes(large)).value, .list([.bytes(large)]))
    }

    func testErrorsAreToldByTheirTypes() throws {
        func thrown(_ entry: String) throws -> [String] {
            try withTrial { trial in
                guard case .threw(let type, let name, let code, let text) = try trial.begin(entry, []).outcome() else {
                    return []
                }
                return [type, name, "\(code)", text]
            }
        }
        XCTAssertEqual(
            try thrown("throw-socket-error"),
            ["SocketError", "recv", "\(ECONNRESET)", "recv: Connection reset by peer (ECONNRESET)"])
        XCTAssertEqual(try thrown("throw-plain"), ["ProbeError", "plain", "0", "plain"])
        XCTAssertEqual(try thrown("throw-detailed"), ["ProbeError", "detailed", "0", "detailed(count: 3)"])
        XCTAssertEqual(try thrown("throw-odd"), ["OddError", "an odd one", "0", "an odd one"])
        XCTAssertEqual(Array(try thrown("throw-resolve-error").prefix(3)), ["ResolveError", "", "\(EAI_NONAME)"])
    }

    /// What a check asks for that the contract does not have is the lab's mistake, not the student's.
    func testLabsMistakes() {
        for (entry, arguments) in [
            ("no-such-function", []), ("echo", []), ("lengths", [.string("not bytes")]), ("print", []),
            ("type-of-socket", [.socket(type: SOCK_STREAM, address: SocketAddress.unreachable.bytes)]),
        ] as [(String, [Value])] {
            let verdict = judge { trial in _ = try trial.begin(entry, arguments).value() }
            XCTAssertEqual(verdict.status, .labError, "\(entry): \(verdict)")
        }
    }

    /// Made by the host, and so not among the program's calls.
    func testSocketArgument() throws {
        try withTrial { trial in
            let listener = try trial.listen()
            let call = try trial.begin("type-of-socket", [listener.socketArgument])
            _ = try listener.accept(from: call)
            XCTAssertEqual(
                try call.value(), .list([.int(Int(SOCK_STREAM as Int32)), .int(3), .int(Int(listener.address.port))]))
            XCTAssertEqual(
                call.subject.timeline.transcript.map { $0.prefix { $0 != "(" } }, ["getsockopt", "getpeername"])
        }
    }

    func testPassedDescriptor() throws {
        try withTrial { trial in
            var pair: [Int32] = [-1, -1]
            try check("socketpair", socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, &pair))
            defer { for descriptor in pair { close(descriptor) } }
            XCTAssertEqual(try trial.begin("send-on", [.passed(pair[0]), .string("through")]).value(), .int(7))
            var buffer = [UInt8](repeating: 0, count: 20)
            XCTAssertEqual(recv(pair[1], &buffer, 20, 0), 7)
        }
    }

    func testServerThatComesBack() {
        let returned = judge { trial in _ = try trial.serve("returns-at-once") }
        XCTAssertEqual(returned.status, .failed)
        XCTAssertEqual(returned.report?.cause, "server-returned")
        let threw = judge { trial in _ = try trial.serve("throws-at-once") }
        XCTAssertEqual(threw.report?.cause, "could-not-start")
        XCTAssertEqual(threw.report?.detail, "bind: Permission denied (EACCES)")
    }

    /// A program starts in the folder of its trial, and its descriptors begin where they would alone.
    func testFolderAndDescriptors() throws {
        try withTrial { trial in
            XCTAssertEqual(
                try trial.call("descriptors", .int(2)), .list([.int(2), .int(3), .int(0)]), "they begin at 3")
            let file = "large"
            _ = try trial.begin("large-file", [], in: try trial.launch()).subject.waitForEnding(until: Deadline())
            XCTAssertTrue(FileManager.default.fileExists(atPath: trial.folder + "/" + file))
        }
    }

    // MARK: On a terminal

    private struct Finished {
        var code: Int32
        var output: String
        var complaint: String
    }

    private func command(_ arguments: [String], language: String = "en") throws -> Finished {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: ProbeTestCase.probe.executable)
        process.arguments = arguments
        process.environment = ["LAB_LANG": language]
        let (output, complaint) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = complaint
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let words = String(decoding: complaint.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return Finished(code: process.terminationStatus, output: text, complaint: words)
    }

    func testUsage() throws {
        for finished in [try command([]), try command(["--help"]), try command(["-h"])] {
            XCTAssertEqual(finished.code, 0)
            XCTAssertTrue(finished.output.hasPrefix("Your servers of lesson 00-probe:\n  "), finished.output)
            XCTAssertTrue(finished.output.contains("\n  datagram-echo\n"))
            XCTAssertFalse(finished.output.contains("give-back"), "a function is no server")
        }
        XCTAssertTrue(try command([], language: "zh-Hans").output.hasPrefix("第 00-probe 课中你写的服务器："))
    }

    func testWrongCommands() throws {
        let wrong: [([String], String)] = [
            (["--port"], "--port needs a number from 0 to 65535"),
            (["echo", "--port", "65536"], "--port needs a number from 0 to 65535"),
            (["echo", "--host"], "--host needs an address"), (["echo", "extra"], "\"extra\" is not understood"),
            (["echo", "--loud"], "\"--loud\" is not understood"),
            (["nothing"], "\"nothing\" is not a server of this lesson"),
            (["give-back"], "\"give-back\" is not a server of this lesson"),
        ]
        for (arguments, message) in wrong {
            let finished = try command(arguments)
            XCTAssertEqual(finished.code, 2, "\(arguments)")
            XCTAssertTrue(finished.complaint.hasPrefix(message + "\nYour servers"), "\(arguments): \(finished)")
        }
    }

    func testServerOnATerminal() throws {
        let returned = try command(["returns-at-once"])
        XCTAssertEqual(returned.code, 0)
        XCTAssertEqual(
            returned.complaint, "returns-at-once: started on 127.0.0.1, port 12000. Ctrl-C ends it.\n")
        let threw = try command(["throws-at-once", "--host", "::1", "--port", "7"])
        XCTAssertEqual(threw.code, 1)
        XCTAssertEqual(
            threw.complaint,
            "throws-at-once: started on ::1, port 7. Ctrl-C ends it.\n"
                + "throws-at-once: bind: Permission denied (EACCES)\n")
    }

    /// It serves as the student wrote it: without the tap, without limits.
    func testServesForReal() throws {
        let port = try withTrial { try $0.freePort(SOCK_STREAM) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: ProbeTestCase.probe.executable)
        process.arguments = ["echo", "--port", "\(port)"]
        process.standardError = FileHandle.nullDevice
        try process.run()
        defer {
            process.terminate()
            process.waitUntilExit()
        }
        let address = try SocketAddress(host: "127.0.0.1", port: port)
        var client: Int32 = -1
        let connected = eventually {
            client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)
            if address.withSockaddr({ connect(client, $0, $1) }) == 0 { return true }
            close(client)
            return false
        }
        XCTAssertTrue(connected)
        defer { close(client) }
        var buffer = [UInt8](repeating: 0, count: 10)
        XCTAssertEqual(send(client, "hello", 5, MSG_NOSIGNAL), 5)
        XCTAssertEqual(recv(client, &buffer, 10, 0), 5)
    }
}

extension SocketAddress {
    /// Nobody listens there: a port that only the system's superuser would.
    fileprivate static let unreachable = try! SocketAddress(host: "127.0.0.1", port: 1)
}
