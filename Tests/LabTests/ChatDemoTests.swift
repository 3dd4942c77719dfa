import Course
import Foundation
import GraderKit
import LabCore
import Sockets
import Solution09
import XCTest

/// The chat of `lab run ws-chat`: on terminals, and in a real browser.
final class ChatDemoTests: XCTestCase {
    // MARK: In a browser

    func testTwoPagesExchangeMessages() throws {
        let browser = try Chromium(self)
        let room = try Room(self)
        let ada = try browser.open("http://\(room.address)/?name=Ada&lang=en")
        let ming = try browser.open("http://\(room.address)/?name=小明&lang=zh")
        for page in [ada, ming] { try page.wait(until: "document.body.dataset.state === 'open'") }
        // The message has the focus when the page is there: nothing but a keyboard is needed.
        try ada.type("Hello <b>you</b> & 你好")
        try ada.pressEnter()
        try ming.wait(until: "document.querySelector('#log .theirs')")
        XCTAssertEqual(try ming.value("document.querySelector('#log .theirs b').textContent"), "Ada")
        // Text is text: no element comes out of it.
        XCTAssertEqual(
            try ming.value("document.querySelector('#log .theirs').childNodes[1].data"), "Hello <b>you</b> & 你好")
        try ming.type("第二页收到")
        try ming.pressEnter()
        try ada.wait(until: "document.querySelector('#log .theirs')")
        XCTAssertEqual(try ada.value("document.querySelector('#log .theirs b').textContent"), "小明")
        XCTAssertEqual(try ada.value("document.querySelector('#log .theirs').childNodes[1].data"), "第二页收到")
        // Each shows its own words once, and the other's once.
        for page in [ada, ming] { XCTAssertEqual(try page.value("document.querySelectorAll('#log li').length"), "2") }
        XCTAssertEqual(try ada.value("document.getElementById('text').value"), "")
    }

    func testThePageSpeaksBothLanguagesAndNeedsNoMouse() throws {
        let browser = try Chromium(self)
        let room = try Room(self)
        let page = try browser.open("http://\(room.address)/")
        XCTAssertEqual(try page.value("document.documentElement.lang + document.title"), "enSocketLab chat")
        XCTAssertEqual(try page.value("document.activeElement.id"), "text")
        try page.pressTab(back: true)
        XCTAssertEqual(try page.value("document.activeElement.id"), "name")
        try page.pressTab(back: true)
        XCTAssertEqual(try page.value("document.activeElement.id"), "log")
        try page.pressTab(back: true)
        XCTAssertEqual(try page.value("document.activeElement.id"), "language")
        try page.pressEnter()
        XCTAssertEqual(try page.value("document.documentElement.lang + document.title"), "zh-HansSocketLab 聊天室")
        // Every word that has an English form has a Chinese one.
        XCTAssertEqual(
            try page.value("JSON.stringify(Object.keys(words.en)) === JSON.stringify(Object.keys(words.zh))"), "1")
        var colors: Set<String> = []
        for scheme in ["light", "dark"] {
            try page.prefer(colorScheme: scheme)
            colors.insert(try page.value("getComputedStyle(document.body).backgroundColor"))
        }
        XCTAssertEqual(colors.count, 2)
    }

    func testAPageOfAnotherOriginIsRefused() throws {
        let browser = try Chromium(self)
        let (room, other) = (try Room(self), try Room(self))
        let connect = { (address: SocketAddress) in
            """
            new Promise(done => {
              const socket = new WebSocket("ws://\(address)/");
              socket.onopen = () => done("open");
              socket.onerror = () => done("refused");
            })
            """
        }
        // Its own server takes it, and another room does not: the browser says where the page came from.
        let page = try browser.open("http://\(other.address)/")
        XCTAssertEqual(try page.value(connect(other.address)), "open")
        XCTAssertEqual(try page.value(connect(room.address)), "refused")
        let nameless = try browser.open("data:text/html,evil")
        XCTAssertEqual(try nameless.value(connect(room.address)), "refused")
    }

    func testABrowserAndATerminalHearEachOther() throws {
        let browser = try Chromium(self)
        let room = try Room(self)
        let page = try browser.open("http://\(room.address)/?name=Ada")
        try page.wait(until: "document.body.dataset.state === 'open'")
        let terminal = try DemoProcess(["run", "ws-chat", "--client", "\(room.address)"])
        terminal.write("from the terminal\n")
        try page.wait(until: "document.querySelector('#log .theirs')")
        XCTAssertEqual(
            try page.value("document.querySelector('#log .theirs').childNodes[1].data"), "from the terminal")
        try page.type("from the page")
        try page.pressEnter()
        // The page's words are at the server before the terminal's next ones: a third member has heard them.
        terminal.write("and again\n")
        try page.wait(until: "document.querySelectorAll('#log .theirs').length === 2")
        let ended = try terminal.finish()
        XCTAssertEqual(ended.status, 0, ended.errors)
        let heard = ended.output.split(separator: "\n")
        XCTAssertEqual(heard.first, "from the terminal")
        XCTAssertEqual(Set(heard.dropFirst()).subtracting(["Ada: from the page"]), ["and again"])
    }

    // MARK: Without one

    func testMembersOfAScriptHearEachOther() throws {
        XCTAssertEqual(
            try DemoProcess.run(["run", "ws-chat", "--port", "0"], input: "hello\n你好 <b>\n\n"),
            .init(status: 0, output: "hello\n你好 <b>\n\n", errors: ""))
    }

    func testTheRoomIsServedUntilItIsStopped() throws {
        for signal in [SIGINT, SIGTERM] {
            let server = try DemoProcess(["run", "ws-chat", "--serve", "--port", "0"])
            let address = try server.listening()
            let client = try PlainSocket.connected(SOCK_STREAM, to: address)
            try client.send("GET / HTTP/1.1\r\nHost: \(address)\r\n\r\n")
            XCTAssert(try client.receive(15).hasPrefix("HTTP/1.1 200 OK\r\n"))
            XCTAssertEqual(
                try DemoProcess.run(["run", "ws-chat", "--client", "\(address)"], input: "a\nb\n"),
                .init(status: 0, output: "a\nb\n", errors: ""))
            server.interrupt(signal)
            XCTAssertEqual(
                try server.finish(), .init(status: 0, output: "listening on \(address)\n", errors: ""))
            XCTAssertEqual(server.leftBehind, [])
        }
    }

    func testTheClientSpeaksToAnyServer() throws {
        let listener = try PlainSocket.bound(SOCK_STREAM)
        let client = try DemoProcess(["run", "ws-client", "--client", "\(try listener.address)"])
        client.write("over?\n")
        let connection = try listener.accept()
        var request: [UInt8] = []
        var answer = reference.serverHandshake(request, nil)
        while answer == .incomplete {
            request += try connection.receive()
            answer = reference.serverHandshake(request, nil)
        }
        guard case .accepted(let response, _) = answer else { return XCTFail("\(answer)") }
        try connection.send(response)
        var decoder = reference.makeFrameDecoder(.server, 1000)
        func next() throws -> WebSocketEvent {
            while true {
                if let event = try decoder.next() { return event }
                decoder.feed(try connection.receive())
            }
        }
        XCTAssertEqual(try next(), .text(Array("over?".utf8)))
        try connection.send(reference.encodeFrame(.text, Array("out".utf8), true, nil))
        XCTAssertEqual(try next(), .close(code: 1000, reason: ""))
        try connection.send(reference.encodeFrame(.close, [0x03, 0xE8], true, nil))
        shutdown(connection.descriptor, SHUT_WR)
        XCTAssertEqual(try client.finish(), .init(status: 0, output: "out\n", errors: ""))
    }

    func testNoWebSocketThere() throws {
        let holder = try PlainSocket(SOCK_STREAM)
        let any = try SocketAddress(host: "127.0.0.1", port: 0)
        try check("bind", any.withSockaddr { bind(holder.descriptor, $0, $1) })
        let nobody = try DemoProcess.run(["run", "ws-client", "--client", "\(try holder.address)"], input: "hello\n")
        XCTAssertEqual(
            nobody,
            .init(
                status: 3, output: "",
                errors: "lab: Nobody listens on \(try holder.address) (connect: ECONNREFUSED).\n"))
    }

    // MARK: Helpers

    /// `lab run ws-chat --serve`, until the test ends.
    private final class Room {
        let address: SocketAddress

        init(_ test: XCTestCase) throws {
            let server = try DemoProcess(["run", "ws-chat", "--serve", "--port", "0"])
            address = try server.listening()
            nonisolated(unsafe) let running = server
            test.addTeardownBlock {
                running.interrupt(SIGTERM)
                XCTAssertEqual(try running.finish().status, 0)
            }
        }
    }
}
