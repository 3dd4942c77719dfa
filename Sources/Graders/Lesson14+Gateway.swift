// Lesson 14: the gateway, between browsers and a chat server that the grader plays, or that is the reference.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

private let gateway14 = "gateway"

let gatewayChecks: [Check] =
    gatewayOwnChecks
    + (concurrentServerChecks(gateway14, prefix: "gateway", exchange: pingThroughGateway, clients: 50)
    + streamServerChecks(gateway14, prefix: "gateway", exchange: pingThroughGateway))
    .map { $0.withChatServer() }

/// What the gateway answers by itself.
private let pingThroughGateway: Exchange = {
    let payload = Array("are you there?".utf8)
    let mask: [UInt8] = [0x37, 0xFA, 0x21, 0x3D]
    var exchange = Exchange(question: wireFrame(Opcode.ping.rawValue, payload, mask: mask)) { client in
        try client.expect(wireFrame(Opcode.pong.rawValue, payload))
    }
    exchange.opening = oneMessage.opening
    exchange.isGoodbye = oneMessage.isGoodbye
    return exchange
}()

extension Check {
    /// The same check with a chat server that the gateway can reach: the reference.
    fileprivate func withChatServer() -> Check {
        around { trial, body in
            let reference = try Companion(trial, Lesson14.slug)
            try trial.tellChatServer(try reference.serve("chat-server"))
            try body(trial)
        }
    }
}

private let gatewayOwnChecks: [Check] = [
    Check("gateway-both-ways", suspects: Cause.gateway) { trial in
        let play = try trial.gateway()
        let (browser, server) = try play.enter()
        // It says nothing by itself, and changes nothing: JSON or not, Chinese or not, short or long.
        let longest = String(repeating: "x", count: Lesson14.frameLimit)
        for text in [#"{"type":"login","username":"ann"}"#, "", "这不是 JSON", "\u{0}", longest] {
            try browser.send(text)
            try server.expectFrame(text)
            try server.stream.send(framed(Array(text.utf8)))
            try browser.expect(text)
        }
        // Many at once, and cut anywhere.
        let texts = (1...50).map { "message \($0)" }
        try browser.stream.send(texts.flatMap { browser.frame(Opcode.text.rawValue, Array($0.utf8)) })
        for text in texts { try server.expectFrame(text) }
        let bytes = texts.flatMap { framed(Array($0.utf8)) }
        for start in stride(from: 0, to: bytes.count, by: 7) {
            try server.stream.send(Array(bytes[start..<min(start + 7, bytes.count)]))
        }
        for text in texts { try browser.expect(text) }
        // A program that is no browser need not wait for the answer to its request.
        let early = WebSocketPeer(try play.service.connect(), trial)
        try early.shakeHands(behind: early.frame(Opcode.text.rawValue, Array("early".utf8)))
        let itsServer = ChatPeer(try play.chatServer.accept(by: play.service), trial)
        do { try itsServer.expectFrame("early") } catch var failure as Failure {
            failure.name("first-frames-lost")
            throw failure
        }
        // A browser, and the chat server behind it, may be silent for longer than a handshake may take.
        try browser.expectKeptThroughSilence()
        try browser.send("still here")
        try server.expectFrame("still here")
        try server.stream.send(framed(Array("still here".utf8)))
        try browser.expect("still here")
    },
    Check("gateway-fragments", suspects: Cause.gateway) { trial in
        let play = try trial.gateway()
        let (browser, server) = try play.enter()
        let text = Array("in three parts: 分片".utf8)
        try browser.send(Opcode.text.rawValue, Array(text.prefix(5)), isFinal: false)
        let ping = Array("between".utf8)
        try browser.send(Opcode.ping.rawValue, ping)
        try browser.expect(Opcode.pong.rawValue, ping)
        try browser.send(Opcode.continuation.rawValue, Array(text[5..<(text.count - 1)]), isFinal: false)
        try browser.send(Opcode.continuation.rawValue, Array(text.suffix(1)))
        try browser.send("and one more")
        do { try server.expectFrame(String(decoding: text, as: UTF8.self)) } catch var failure as Failure {
            // Pings are between the browser and the gateway.
            if failure.got == quoted(ping) { failure.name("gateway-passes-wrong") }
            throw failure
        }
        try server.expectFrame("and one more")
    },
    Check("gateway-page", suspects: Cause.gateway) { trial in
        let play = try trial.gateway()
        for target in ["/", "/room?name=ann"] {
            try play.service.connect().expectPage(GatewayRules.smallPage, for: target)
        }
    },
    Check("gateway-origin", suspects: [.originUnchecked] + Cause.gateway) { trial in
        let play = try trial.gateway()
        for origin in ["http://evil.example", "http://localhost:8765.evil.example", "null"] {
            let stranger = try play.service.connect()
            try stranger.send(upgradeRequest(origin: origin))
            let expected = say("an answer 403 to Origin: \(origin)", "对 Origin: \(origin) 回答 403")
            let (head, _) = try stranger.receiveHead(expected)
            guard head.hasPrefix("HTTP/1.1 403 ") else {
                throw Failure(expected: expected, got: quoted(Array(head.utf8), most: 40), cause: "origin-unchecked")
            }
            _ = try stranger.receiveToEnd(within: 5)
        }
        // The first connection that the chat server sees is that of a page that may come in.
        let (browser, server) = try play.enter(origin: "http://localhost:8765")
        try browser.send("first")
        do { try server.expectFrame("first") } catch let failure as Failure {
            let connections = play.service.subject.timeline.calls.count { $0.name == "connect" }
            guard connections > 1 else { throw failure }
            throw Failure(
                expected: say(
                    "one connection to the chat server, for the page that may come in", "到聊天服务器只有一条连接，是放进来的那个页面的"),
                got: say("\(connections), the first for a page that was refused", "\(connections) 条，第一条是被拒绝的页面的"),
                cause: "connects-before-origin")
        }
    },
    Check("gateway-refuses", suspects: Cause.gateway) { trial in
        let play = try trial.gateway()
        let wrong: [(UInt16, (WebSocketPeer) throws -> Void)] = [
            (1003, { try $0.send(Opcode.binary.rawValue, [1, 2, 3]) }),
            (1009, { try $0.send(String(repeating: "x", count: Lesson14.frameLimit + 1)) }),
            (1007, { try $0.send(Opcode.text.rawValue, [0x68, 0xFF]) }),
            (1002, { try $0.send(3, [1]) }),
        ]
        for (code, speak) in wrong {
            let (browser, server) = try play.enter()
            try speak(browser)
            do { try browser.expectCloseAndEnd(code) } catch var failure as Failure {
                if try server.hasFrame(failure.expected) { failure.cause = "gateway-passes-wrong" }
                throw failure
            }
            try server.expectOver(cause: "gateway-passes-wrong")
        }
    },
    Check("gateway-browser-leaves", suspects: [.leftOpen] + Cause.gateway) { trial in
        let play = try trial.gateway()
        let (stays, staysServer) = try play.enter()
        // The last words come just before the leaving, in the same segment as a close frame, and have to arrive.
        for closes in [true, false] {
            let (browser, server) = try play.enter()
            let goodbye = closes ? browser.frame(Opcode.close.rawValue, [0x03, 0xE8]) : []
            try browser.stream.send(browser.frame(Opcode.text.rawValue, Array("last words".utf8)) + goodbye)
            if !closes { browser.stream.close() }
            do { try server.expectFrame("last words") } catch var failure as Failure {
                failure.cause = failure.cause ?? "last-words-lost"
                throw failure
            }
            try server.expectOver()
        }
        // What a reset overtakes is lost: nothing but the end is due behind it.
        let (browser, server) = try play.enter()
        try browser.send("last words")
        try server.expectFrame("last words")
        browser.stream.reset()
        try server.expectOver()
        try stays.send("still here")
        try staysServer.expectFrame("still here")
    },
    Check("gateway-server-ends", suspects: Cause.gateway) { trial in
        let play = try trial.gateway()
        let (stays, staysServer) = try play.enter()
        let (browser, server) = try play.enter()
        try server.stream.send(framed(Array("last words".utf8)))
        server.stream.close()
        do { try browser.expect("last words") } catch var failure as Failure {
            failure.name("last-words-lost")
            throw failure
        }
        try browser.expectCloseAndEnd(1000)
        // More than the kernel takes for a browser that does not read yet: the rest is due all the same.
        let (slow, itsServer) = try play.enter(smallBuffers: true)
        let texts = (1...3).map { "\($0) " + String(repeating: "x", count: 50_000) }
        try itsServer.stream.send(texts.flatMap { framed(Array($0.utf8)) })
        itsServer.stream.close()
        do { for text in texts { try slow.expect(text) } } catch var failure as Failure {
            failure.name("last-words-lost")
            throw failure
        }
        try slow.expectClose([1000], cause: "gateway-close-code")
        try staysServer.stream.send(framed(Array("still here".utf8)))
        try stays.expect("still here")
    },
    Check("gateway-no-server", suspects: Cause.gateway) { trial in
        let port = try trial.freePort(SOCK_STREAM)
        try trial.tellChatServer(try SocketAddress(host: "127.0.0.1", port: port))
        let service = try trial.serve(gateway14)
        for _ in 0..<3 {
            try service.webSocket(trial).expectCloseAndEnd(1013)
        }
        // It may be known at once; nothing is left of the attempt then.
        let unreachable = try trial.serve(gateway14, plan: .fail(.connect, every: 1, with: ENETUNREACH))
        func visit() throws {
            for _ in 0..<12 {
                let browser = try unreachable.webSocket(trial)
                try browser.expectCloseAndEnd(1013)
                browser.stream.close()
            }
        }
        // What it, or a library, makes for itself when it is needed first is there by then.
        try visit()
        let before = unreachable.subject.descriptorCount
        try visit()
        guard unreachable.waitForDescriptors(before + 4) else {
            let more = unreachable.subject.descriptorCount - before
            throw Failure(
                expected: say("no descriptor stays open", "没有描述符留着不关"),
                got: say("\(more) more are open", "多开了 \(more) 个"), cause: "connection-leak")
        }
    },
    Check("gateway-slow-browser", suspects: Cause.chatRoom + Cause.gateway) { trial in
        let play = try trial.gateway()
        let (fast, fastServer) = try play.enter()
        let (_, slowServer) = try play.enter(smallBuffers: true)
        let before = play.service.subject.peakMemory
        // As much as goes in: the gateway stops to read what the slow browser does not take.
        let frame = framed([UInt8](repeating: UInt8(ascii: "x"), count: 60_000))
        let flood = repeatElement(frame, count: 600).flatMap { $0 }
        let sent = try slowServer.stream.sendUntilStuck(flood) { $0.kept > 16 << 20 }
        let grown = (play.service.subject.peakMemory - before) >> 20
        guard sent < flood.count, grown < 16 else {
            throw Failure(
                expected: say(
                    "it stops reading for a browser that reads nothing, and keeps less than 16 MB for it",
                    "浏览器什么也不读，就不再为它从聊天服务器读取，为它留着的不到 16 MB"),
                got: say("it took \(sent >> 20) MB, \(grown) MB more", "它读走了 \(sent >> 20) MB，多用了 \(grown) MB 内存"),
                cause: "gateway-keeps-all")
        }
        func expectServed(_ numbers: ClosedRange<Int>) throws {
            for number in numbers {
                try fast.send("\(number)")
                try fastServer.expectFrame("\(number)")
                try fastServer.stream.send(framed(Array("\(number)".utf8)))
                try fast.expect("\(number)")
            }
        }
        try expectServed(1...10)
        // And a chat server that does not read, behind another browser: how much is kept for it is not asked.
        let (talker, deafServer) = try play.enter()
        let message = talker.frame(Opcode.text.rawValue, [UInt8](repeating: UInt8(ascii: "x"), count: 60_000))
        _ = try talker.stream.sendUntilStuck(repeatElement(message, count: 200).flatMap { $0 })
        try withExtendedLifetime(deafServer) { try expectServed(11...15) }
    },
    Check("gateway-two-worlds", suspects: Cause.gateway) { trial in
        let reference = try Companion(trial, Lesson14.slug)
        try trial.chatThroughGateway(try reference.serve("chat-server"), of: reference.subject)
    },
    Check("gateway-own-server", suspects: Cause.gateway) { trial in
        let server = try trial.serve(chatServer14)
        try trial.chatThroughGateway(server.address, of: server.subject)
    },
]

/// A gateway of the student's, and the grader on both sides.
private struct GatewayPlay {
    let service: Server
    let chatServer: StreamListener
    let trial: Trial

    /// A browser, and the connection that the gateway makes for it.
    func enter(origin: String? = nil, smallBuffers: Bool = false) throws -> (WebSocketPeer, ChatPeer) {
        let browser = WebSocketPeer(try service.connect(smallBuffers: smallBuffers), trial)
        if let origin {
            try browser.shakeHands(Request(key: "").with("Origin", origin))
        } else {
            try browser.shakeHands()
        }
        do { return (browser, ChatPeer(try chatServer.accept(by: service), trial)) } catch var failure as Failure {
            if service.subject.timeline.count("connect") == 0 { failure.cause = "gateway-connects-late" }
            throw failure
        }
    }
}

extension Trial {
    /// In the file where the contract looks for it.
    fileprivate func tellChatServer(_ address: SocketAddress) throws {
        try "\(address.host) \(address.port)".write(toFile: folder + "/chat-server", atomically: true, encoding: .utf8)
    }

    fileprivate func gateway() throws -> GatewayPlay {
        let chatServer = try listen()
        try tellChatServer(chatServer.address)
        return GatewayPlay(service: try serve(gateway14), chatServer: chatServer, trial: self)
    }

    /// A browser and a terminal in one room.
    fileprivate func chatThroughGateway(_ server: SocketAddress, of subject: Subject) throws {
        try tellChatServer(server)
        let service = try serve(gateway14)
        let terminal = ChatPeer(try streamClient(to: server, of: subject), self)
        try terminal.send(.login(username: "terminal"))
        try terminal.expect(.loginResponse(refusal: nil))
        let browser = try service.webSocket(self)
        func say(_ message: ChatMessage) throws {
            try browser.send(Opcode.text.rawValue, writeMessage(message))
        }
        func expect(_ messages: ChatMessage...) throws {
            for message in messages {
                let expected = Course.say("\(message.words) in the browser", "浏览器收到 \(message.words)")
                guard case .frame(let frame) = try browser.next(expected) else {
                    throw Failure(expected: expected, got: Course.say("nothing", "什么也没有"))
                }
                guard frame.opcode == Opcode.text.rawValue, readMessage(frame.payload)?.timeless == message else {
                    throw Failure(expected: expected, got: frame.words)
                }
            }
        }
        try say(.login(username: "terminal"))
        try expect(.loginResponse(refusal: .nameTaken))
        try say(.login(username: "browser"))
        try expect(.loginResponse(refusal: nil))
        try terminal.expect(.userJoined(username: "browser"))
        try say(.chat(content: "hello, terminal 你好"))
        try terminal.expect(said(1, "browser", "hello, terminal 你好"))
        try terminal.chat("hello, browser")
        do { try terminal.expect(said(2, "terminal", "hello, browser")) } catch var failure as Failure {
            // The other one has heard it, and not what it has said itself.
            if failure.cause == nil, (try? expect(said(2, "terminal", "hello, browser"))) != nil {
                failure.cause = "sender-not-told"
            }
            throw failure
        }
        try expect(said(1, "browser", "hello, terminal 你好"), said(2, "terminal", "hello, browser"))
        try say(.logout)
        try expect(.logoutResponse)
        try browser.expectClose([1000], cause: "gateway-close-code")
        try terminal.expect(.userLeft(username: "browser"))
    }
}

extension ChatPeer {
    /// The next frame is exactly this text.
    fileprivate func expectFrame(_ text: String) throws {
        let expected = say(
            "a frame with \(quoted(Array(text.utf8))) at the chat server", "聊天服务器收到帧 \(quoted(Array(text.utf8)))")
        switch try next(expected) {
        case .frame(let frame):
            guard frame != Array(text.utf8) else { return }
            throw Failure(
                expected: expected, got: quoted(frame, most: 80),
                difference: byteDifference(expected: Array(text.utf8), got: frame))
        case .end: throw Failure(expected: expected, got: say("the connection was closed", "连接被关闭"))
        case .broken(let code): throw Failure(expected: expected, got: errorText(code))
        case .late: throw Failure(expected: expected, got: say("nothing", "什么也没有"))
        }
    }
}

extension WebSocketPeer {
    /// A close frame, which we answer with one; then the end, in whatever way, and no frame before it.
    fileprivate func expectCloseAndEnd(_ code: UInt16) throws {
        try expectClose([code], cause: "gateway-close-code")
        // It may have ended its side, or all of it.
        do { try send(Opcode.close.rawValue, bigEndianBytes(code)) } catch is Failure {}
        let expected = say(
            "the program closes \(stream.name) behind its close frame", "程序发完关闭帧之后关闭\(stream.name)")
        switch try next(expected) {
        case .end, .broken: return
        case .frame(let frame): throw Failure(expected: expected, got: frame.words)
        case .late:
            throw Failure(expected: expected, got: say("it is still open", "它仍然开着"), cause: "open-after-close")
        }
    }
}

extension Cause {
    static let gateway: [Cause] = [.readsPastTheEnd, .waitsForMore]
}
