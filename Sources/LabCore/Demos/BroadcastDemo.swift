// udp-broadcast: one question to everybody, and an answer from each who heard it.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension Demo {
    static let udpBroadcast = Demo(
        "udp-broadcast", Lesson03.slug,
        "one question to everybody, several answers",
        "向所有人提一个问题，得到好几个回答", port: 8880, [.serve, .client, .mine], isShow: true
    ) { play in
        if play.options.serve { return try play.serveResponders() }
        play.introduce(
            say(
                "The client knows nobody's address. It asks 127.255.255.255, the broadcast address of the loopback network; "
                    + "three programs listen there, as three machines would: 127.0.0.2, .3 and .4.",
                "客户端不知道任何人的地址。它向环回网络的广播地址 127.255.255.255 提问；三个程序在那里听着，好像三台机器：127.0.0.2、.3 和 .4。"))
        play.stage.heading(
            left: say("discover (\(play.author))", "discover（\(play.author)）"),
            right: play.options.client == nil ? say("machines 2, 3, 4", "机器 2、3、4") : everybody)
        let port: UInt16
        if let client = play.options.client {
            guard client.host == everybody else {
                throw CommandError.usage(
                    say(
                        "udp-broadcast asks everybody: --client \(everybody):\(client.port), not \(client.host).",
                        "udp-broadcast 是问所有人的：--client \(everybody):\(client.port)，而不是 \(client.host)。"))
            }
            port = client.port
        } else {
            port = try play.startResponders()
            play.stage.settle()
        }
        let discover = Caller(play, play.subject)
        repeat { try play.ask(discover, port) } while play.wantsMore()
    }
}

private let everybody = "127.255.255.255"
/// How long the client listens for answers (ms).
private let patience = 500

extension Play {
    /// - Returns: the port that all of them hear.
    fileprivate func startResponders() throws -> UInt16 {
        guard options.host == "127.0.0.1" || options.host == everybody else {
            throw CommandError.usage(
                say(
                    "udp-broadcast stays on the loopback network: it takes no --host.",
                    "udp-broadcast 只用环回网络：不能指定 --host。"))
        }
        var chosen = port
        for number in 2...4 {
            let subject = try stage.start(helper, .right, tag: "\(number)")
            try subject.begin(
                "responder",
                [
                    .string(everybody), .int(Int(chosen)), .string("127.0.0.\(number)"),
                    .bytes(Array("I am here".utf8)),
                ])
            chosen = try responderPort(subject, chosen)
        }
        return chosen
    }

    private func responderPort(_ subject: Subject, _ port: UInt16) throws -> UInt16 {
        // Both of its sockets: one hears, the other answers.
        let bound = try subject.waitForLive { timeline -> [Call]? in
            let calls = timeline.calls("bind").filter { $0.returned != nil }
            return calls.count == 2 || calls.contains(where: \.failed) ? calls : nil
        }
        if let failed = bound?.first(where: \.failed) {
            throw Complaint.cannotServe(
                "bind", failed.error, "\(SocketError("bind", failed.error))", host: failed.given?.host ?? everybody,
                port: port)
        }
        guard let found = bound?.first?.found?.port else {
            throw CommandError.failure(say("A responder has not come up.", "有一个应答程序没有启动起来。"))
        }
        return found
    }

    fileprivate func ask(_ discover: Caller, _ port: UInt16) throws {
        let server = Endpoint(host: everybody, port: port)
        do {
            let value = try discover.call("discover", [.int(Int(port)), .int(patience)], server: server)
            stage.settle()
            guard case .list(let found) = value, !found.isEmpty else {
                throw NoAnswer(
                    text: say("Nobody answered on port \(port).", "端口 \(port) 上没有人回答。"))
            }
            for index in found.indices {
                let one = try found.list(index)
                let text = String(decoding: try one.bytes(2), as: UTF8.self)
                screen.answer(Array("\(try one.string(0)):\(try one.int(1)) \(text)".utf8))
            }
        } catch let failure as NoAnswer {
            stage.settle()
            guard screen.isInteractive else { throw CommandError(failure.exit, failure.text) }
            screen.complain(failure.text)
        }
    }

    /// A person may ask again and again.
    fileprivate func wantsMore() -> Bool {
        screen.isInteractive
            && screen.readLine(prompt: say("Enter asks again, Ctrl-D ends. ", "按回车再问一次，Ctrl-D 结束。")) != nil
    }

    fileprivate func serveResponders() throws {
        let port = try startResponders()
        screen.print([StyledText("listening on \(everybody):\(port)")])
        stage.heading(left: "", right: say("machines 2, 3, 4", "机器 2、3、4"))
        stage.settle()
        try stage.waitForEnd()
    }
}
