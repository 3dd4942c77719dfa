import Course
import Foundation
import GraderKit
import LabCore
import Sockets
import XCTest

/// `lab run chat-room`: in pipes, at a terminal, and in a real browser.
final class ChatRoomDemoTests: XCTestCase {
    func testABrowserAndATerminalHearEachOther() throws {
        let browser = try Chromium(self)
        let room = try Room(self)
        let page = try browser.open(room.page + "?name=Ada&lang=en")
        try page.wait(until: "document.body.dataset.state === 'open'")
        try page.pressEnter()
        try page.wait(until: "document.body.dataset.state === 'joined'")
        let terminal = try DemoProcess(["run", "chat-room", "--client", "\(room.address)"])
        try page.wait(until: "document.querySelector('#log .event')")
        terminal.write("from the terminal <b>你好</b>\n")
        try page.wait(until: "document.querySelector('#log .theirs')")
        // Text is text: no element comes out of it.
        XCTAssertEqual(
            try page.value("document.querySelector('#log .theirs').childNodes[1].data"), "from the terminal <b>你好</b>")
        try page.type("from the page")
        try page.pressEnter()
        // One's own words come back from the server: then all have them.
        try page.wait(until: "document.querySelector('#log .mine')")
        terminal.write("and again\n")
        let ended = try terminal.finish()
        XCTAssertEqual(ended.status, 0, ended.errors)
        let heard = ended.output.split(separator: "\n").map { $0.drop { $0 != ":" } }
        XCTAssertEqual(heard, [": from the terminal <b>你好</b>", ": from the page", ": and again"])
        try page.wait(until: "document.querySelectorAll('#log .event').length === 2")
    }

    func testThePageTellsThatANameIsTaken() throws {
        let browser = try Chromium(self)
        let room = try Room(self)
        let pages = try (0..<2).map { _ in try browser.open(room.page + "?name=小明&lang=zh") }
        for page in pages { try page.wait(until: "document.body.dataset.state === 'open'") }
        try pages[0].pressEnter()
        try pages[0].wait(until: "document.body.dataset.state === 'joined'")
        try pages[1].pressEnter()
        try pages[1].wait(until: "document.querySelector('#log .event')")
        XCTAssertEqual(try pages[1].value("document.querySelector('#log .event').textContent"), "聊天室里已经有人叫这个名字。")
        XCTAssertEqual(
            try pages[1].value("JSON.stringify(Object.keys(words.en)) === JSON.stringify(Object.keys(words.zh))"), "1")
    }

    func testAScriptHearsWhatItSays() throws {
        let ended = try DemoProcess.run(["run", "chat-room", "--port", "0"], input: "hello\n你好 \u{1b}[31m\n\n")
        XCTAssertEqual(ended.status, 0, ended.errors)
        XCTAssertEqual(
            ended.output.split(separator: "\n").map { $0.drop { $0 != ":" } }, [": hello", ": 你好 \u{1b}[31m"])
    }

    func testTheRoomIsServedUntilItIsStopped() throws {
        for signal in [SIGINT, SIGTERM] {
            let server = try DemoProcess(["run", "chat-room", "--serve", "--port", "0"])
            let address = try server.listening()
            let client = try DemoProcess.run(["run", "chat-room", "--client", "\(address)"], input: "a\n")
            XCTAssertEqual(client.status, 0, client.errors)
            server.interrupt(signal)
            let ended = try server.finish()
            XCTAssertEqual(ended.status, 0, ended.errors)
            XCTAssert(ended.output.hasPrefix("listening on \(address)\npage http://127.0.0.1:"), ended.output)
            XCTAssertEqual(server.leftBehind, [])
        }
    }

    /// What somebody is typing is not broken by what others say, and the terminal is as it was, whichever way it ends.
    func testTheLineBeingTypedStaysBelow() throws {
        let room = try Room(self)
        for farewell in ["\u{4}", "\u{3}"] {
            let terminal = try person(["run", "chat-room", "--client", "\(room.address)"])
            terminal.waitForText("]: ")
            terminal.press("ann\n")
            terminal.waitForText("ann> ")
            terminal.press("half a sen")
            terminal.waitForText("half a sen")
            let other = try DemoProcess(["run", "chat-room", "--client", "\(room.address)"])
            other.write("hello \u{1b}]0;title\u{7}\n")
            terminal.waitForText("hello ␛]0;title␇")
            _ = try other.finish()
            terminal.waitForText("has gone")
            terminal.press("tence\r")
            terminal.waitForText("ann: half a sentence")
            // Where the cursor was, the line stands again behind each message.
            XCTAssert(terminal.text.contains("\r\u{1b}[Kann> half a sen\r"), terminal.text)
            XCTAssertFalse(terminal.isCooked)
            terminal.press(farewell)
            XCTAssertEqual(terminal.ending(within: 20), 0, terminal.text)
            XCTAssert(terminal.isCooked)
        }
    }

    func testTheTerminalIsRestoredWhenTheServerEnds() throws {
        let server = try DemoProcess(["run", "chat-room", "--serve", "--port", "0"])
        let terminal = try person(["run", "chat-room", "--client", "\(try server.listening())"])
        terminal.waitForText("]: ")
        terminal.press("ann\n")
        terminal.waitForText("ann> ")
        server.interrupt(SIGTERM)
        XCTAssertEqual(try server.finish().status, 0)
        XCTAssertEqual(terminal.ending(within: 20), 3, terminal.text)
        XCTAssert(terminal.text.contains("The server has ended the connection."), terminal.text)
        XCTAssert(terminal.isCooked)
    }

    // MARK: Helpers

    private func person(_ arguments: [String]) throws -> PseudoTerminal {
        var variables = ProcessInfo.processInfo.environment
        variables.merge(["LAB_LANG": "en", "TERM": "xterm", "NO_COLOR": "1"]) { $1 }
        return try PseudoTerminal(
            DemoProcess.lab.path, arguments, in: FileManager.default.temporaryDirectory, environment: variables,
            columns: 80, rows: 24)
    }

    /// `lab run chat-room --serve`, until the test ends.
    private final class Room {
        let address: SocketAddress
        /// The address of the page, with a slash at its end.
        let page: String

        init(_ test: XCTestCase) throws {
            let server = try DemoProcess(["run", "chat-room", "--serve", "--port", "0"])
            address = try server.listening()
            let line = try XCTUnwrap(server.line(2))
            page = line.replacingOccurrences(of: "page ", with: "")
            nonisolated(unsafe) let running = server
            test.addTeardownBlock {
                running.interrupt(SIGTERM)
                XCTAssertEqual(try running.finish().status, 0)
            }
        }
    }
}
