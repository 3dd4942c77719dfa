import Foundation
import Sockets
import XCTest

/// `lab run unix-echo`, `ping` and `traceroute`: what a script gets, what is refused, and what stays behind.
final class UnixAndRawDemoTests: XCTestCase {
    private let path = NSTemporaryDirectory() + "/lab-\(UUID().uuidString.prefix(8)).sock"

    override func tearDown() { unlink(path) }

    func testUnixEchoAnswersAndLeavesNoFile() throws {
        XCTAssertEqual(
            try DemoProcess.run(["run", "unix-echo", "--path", path], input: "hello\n你好\n"),
            .init(status: 0, output: "hello\n你好\n", errors: ""))
        XCTAssertFalse(FileManager.default.fileExists(atPath: path))
    }

    func testUnixEchoRefusesAPathThatIsTakenOrTooLong() throws {
        XCTAssert(FileManager.default.createFile(atPath: path, contents: Data("notes".utf8)))
        let taken = try DemoProcess.run(["run", "unix-echo", "--path", path], input: "hello\n")
        XCTAssertEqual(taken.status, 3)
        XCTAssert(taken.errors.contains("is taken"), taken.errors)
        XCTAssertEqual(FileManager.default.contents(atPath: path), Data("notes".utf8))

        let long = "/tmp/" + String(repeating: "x", count: 103)
        let tooLong = try DemoProcess.run(["run", "unix-echo", "--path", long], input: "hello\n")
        XCTAssertEqual(tooLong.status, 3)
        XCTAssert(tooLong.errors.contains("The path has 108 bytes"), tooLong.errors)
    }

    func testPingAnswersFromThisMachine() throws {
        try needsRawSockets()
        let ended = try DemoProcess.run(["run", "ping", "127.0.0.1", "--quiet"])
        XCTAssertEqual(ended.status, 0, ended.errors)
        XCTAssert(ended.output.contains("reply 1 from 127.0.0.1  "), ended.output)
        XCTAssert(ended.output.contains("3 sent, 3 answered, 0% lost; least "), ended.output)
    }

    func testTracerouteFindsThisMachine() throws {
        try needsRawSockets()
        let ended = try DemoProcess.run(["run", "traceroute", "127.0.0.1", "--quiet"])
        XCTAssertEqual(ended, .init(status: 0, output: "1  127.0.0.1\n", errors: ""))
    }

    func testWhatIsNoHostIsRefused() throws {
        try needsRawSockets()
        let six = try DemoProcess.run(["run", "ping", "::1"])
        XCTAssertEqual(six.status, 3)
        XCTAssert(six.errors.contains("is no IPv4 address"), six.errors)
        XCTAssertEqual(try DemoProcess.run(["run", "ping", "no..host"]).status, 2)
        XCTAssertEqual(try DemoProcess.run(["run", "tcp-echo", "127.0.0.1"]).status, 2)
    }

    private func needsRawSockets() throws {
        let descriptor = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)
        try XCTSkipIf(descriptor < 0, "no raw sockets here: \(errorText(errno))")
        close(descriptor)
    }
}
