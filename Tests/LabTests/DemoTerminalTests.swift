import Foundation
import LabCore
import Sockets
import XCTest
import Wire

/// A demo before a person: a prompt, and what both sides did.
final class DemoTerminalTests: XCTestCase {
    func testALineIsDrawnInEightyColumns() throws {
        for language in ["en", "zh-Hans"] {
            let person = try Person(["run", "udp-echo", "--port", "0"], language: language)
            try person.see("> ")
            person.type("hello 你好\n")
            let screen = try person.see("HELLO 你好\u{1b}[0m\r\n> ")
            XCTAssert(screen.contains("send(3, …, 12) = 12"), screen)
            XCTAssert(screen.contains("\"hello 你好\""), screen)
            XCTAssert(screen.contains("68 65 6c 6c 6f 20 e4 bd a0 e5 a5 bd"), screen)
            XCTAssert(screen.contains("recvfrom(3, …, 65535) ⋯"), screen)
            XCTAssert(screen.contains("\u{1b}[32m"), "no colour on a terminal: \(screen)")
            for line in screen.components(separatedBy: "\r\n") {
                XCTAssertLessThanOrEqual(displayWidth(line), 80, line)
            }
            person.type("\u{4}")  // Ctrl-D
            XCTAssertEqual(person.leave(), 0)
        }
    }

    func testNoColourWhereItIsNotWanted() throws {
        let person = try Person(["run", "tcp-echo", "--port", "0"], environment: ["NO_COLOR": "1"])
        try person.see("> ")
        person.type("hello\n")
        let screen = try person.see("HELLO\r\n> ")
        XCTAssert(screen.contains("recv(4, …, 16384) = 6"), screen)
        XCTAssertNil(screen.range(of: "\u{1b}\\[[0-9;]*m", options: .regularExpression), screen)
        person.type("\u{3}")  // Ctrl-C
        XCTAssertEqual(person.leave(), 0)
    }

    func testOthersAreDrawnWhileThePromptWaits() throws {
        let person = try Person(["run", "tcp-threads", "--port", "0"], environment: ["NO_COLOR": "1"])
        let opening = try person.see("1> ")
        let place = try XCTUnwrap(
            opening.range(of: "127\\.0\\.0\\.1 [1-9][0-9]*", options: .regularExpression), opening)
        let port = try XCTUnwrap(UInt16(opening[place].split(separator: " ")[1]))
        let client = try PlainSocket.connected(SOCK_STREAM, to: try SocketAddress(host: "127.0.0.1", port: port))
        try client.send("from elsewhere")
        XCTAssertEqual(try client.receive(14), "FROM ELSEWHERE")
        let screen = try person.see("T4 send(7, …, 14) = 14")
        XCTAssert(screen.contains("\(try client.address)"), screen)
        try person.see("1> ")
        person.type("\u{4}")
        XCTAssertEqual(person.leave(), 0)
    }

    func testAServerIsWatched() throws {
        let person = try Person(["run", "udp-echo", "--serve", "--port", "0"], environment: ["NO_COLOR": "1"])
        let opening = try person.see("recvfrom(3, …, 65535) ⋯")
        let line = try XCTUnwrap(opening.components(separatedBy: "\r\n").first)
        let port = try XCTUnwrap(line.split(separator: ":").last.flatMap { UInt16($0) }, line)
        let client = try PlainSocket.connected(SOCK_DGRAM, to: try SocketAddress(host: "127.0.0.1", port: port))
        try client.send("hello")
        XCTAssertEqual(try client.receive(5), "HELLO")
        let screen = try person.see("sendto(3, …, 5) = 5")
        XCTAssert(screen.contains("recvfrom(3, …, 65535) = 5"), screen)
        person.type("\u{3}")
        XCTAssertEqual(person.leave(), 0)
    }

    func testBothSidesOfAChatAreDrawn() throws {
        let person = try Person(["run", "duplex-chat", "--port", "0"], environment: ["NO_COLOR": "1"])
        try person.see("who is there?\r\n> ")
        person.type("it is me\n")
        let screen = try person.see("IT IS ME\r\n> ")
        XCTAssert(screen.contains("read(4, …, 16384) = 9"), screen)
        XCTAssert(
            screen.contains("send(3, …, 9) = 9            ──── \"it is me\\n\" ───▶ recv(4, …, 4096) = 9"), screen)
        XCTAssert(screen.contains("write(5, …, 9) = 9"), screen)
        // Unasked.
        try person.see("are you still there?\r\n> ")
        person.type("\u{4}")
        let end = try person.see("The peer has ended the chat.")
        XCTAssert(end.contains("shutdown(3, SHUT_WR) = 0     ──────── FIN ────────▶ recv(4, …, 4096) = 0"), end)
        XCTAssertEqual(person.leave(), 0)
    }

    func testMeasurementsFitANarrowTerminal() throws {
        for (language, columns) in [("en", 50), ("zh-Hans", 80)] {
            let person = try Person(
                ["run", "epoll-why"], language: language, environment: ["NO_COLOR": "1"], columns: columns)
            let screen = try person.see("    100 select")
            for line in screen.components(separatedBy: CharacterSet.newlines)
                .flatMap({ $0.components(separatedBy: "\u{1b}[K") })
            {
                XCTAssertLessThanOrEqual(displayWidth(line), columns, line)
            }
            person.type("\u{3}")
            XCTAssertEqual(person.leave(), 0)
        }
    }

    func testQuietShowsAnswersOnly() throws {
        let person = try Person(["run", "tcp-echo", "--port", "0", "--quiet"], environment: ["NO_COLOR": "1"])
        try person.see("> ")
        person.type("hello\n")
        XCTAssertEqual(try person.see("HELLO\r\n> "), "hello\r\nHELLO\r\n> ")
        person.type("\u{4}")
        XCTAssertEqual(person.leave(), 0)
    }
}

/// Somebody at a terminal of 80 columns.
private final class Person {
    private let terminal: PseudoTerminal
    private var seen = 0

    init(
        _ arguments: [String], language: String = "en", environment: [String: String] = [:], columns: Int = 80
    ) throws {
        var variables = ProcessInfo.processInfo.environment
        variables["NO_COLOR"] = nil
        variables.merge(["LAB_LANG": language, "TERM": "xterm"]) { $1 }
        terminal = try PseudoTerminal(
            DemoProcess.lab.path, arguments, in: FileManager.default.temporaryDirectory,
            environment: variables.merging(environment) { $1 }, columns: columns, rows: 24)
    }

    func type(_ keys: String) { terminal.press(keys) }

    /// Waits until this has appeared, and returns what has since the last time.
    @discardableResult
    func see(_ text: String, file: StaticString = #filePath, line: UInt = #line) throws -> String {
        func new() -> String { String(decoding: terminal.output.dropFirst(seen), as: UTF8.self) }
        let found = terminal.waitForScreen(within: 20) { _ in new().contains(text) }
        XCTAssertNotNil(found, "\(text) has not appeared in \(new())", file: file, line: line)
        guard let end = new().range(of: text)?.upperBound else { return "" }
        let part = String(new()[..<end])
        seen += part.utf8.count
        return part
    }

    /// Its exit code.
    func leave() -> Int32? { terminal.ending(within: 20) }
}
