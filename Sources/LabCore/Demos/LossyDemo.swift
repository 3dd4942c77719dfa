// udp-lossy: a network that loses, repeats, delays and reorders, and lesson 03's client that asks again.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension Demo {
    static let udpLossy = Demo(
        "udp-lossy", Lesson03.slug,
        "a conversation over a network that loses, repeats, reorders and delays",
        "在丢失、重复、乱序、延迟的网络上对话", port: 12000, [.serve, .client, .mine, .seed]
    ) { play in
        let seed = play.options.seed
        if play.options.serve {
            let network = try play.startNetwork(seed)
            play.screen.print([StyledText("listening on \(network)")])
            play.stage.heading(left: "", right: say("server", "服务器"))
            play.stage.settle()
            return try play.stage.waitForEnd()
        }
        let weather = say(
            " What the network does is drawn by lot, with seed \(seed): --seed N for another weather.",
            "网络怎么捣乱由随机种子 \(seed) 决定：用 --seed N 换一个。")
        play.introduce(
            say(
                "Type a line: the client sends it up to \(attempts) times, each attempt numbered, and waits "
                    + "\(patience) ms for an answer to any of them.",
                "输入一行：客户端最多发 \(attempts) 次，每次都带编号，每次等 \(patience) 毫秒，答复任何一次都算数。")
                + (play.options.client == nil ? weather : ""))
        play.stage.heading(
            left: say("request (\(play.author))", "request（\(play.author)）"),
            right: play.options.client?.written ?? say("server", "服务器"))
        let server = try play.options.client ?? Endpoint(play.startNetwork(seed))
        play.stage.settle()
        let request = Caller(play, play.subject)
        if play.stage.draws { try play.ask(request, server, Array("hello".utf8)) }
        while let line = play.screen.readLine() { try play.ask(request, server, line) }
    }
}

private let attempts = 6
/// For an answer to each (ms).
private let patience = 300

extension Play {
    /// A server, and the network before it.
    ///
    /// - Returns: where clients find it.
    fileprivate func startNetwork(_ seed: UInt64) throws -> SocketAddress {
        let server = try serve(helper, "numbered-server", host: options.host, port: 0)
        stage.label(label)
        stage.putNetworkBetween()
        // A delay may outlast the client's patience.
        let weather = DatagramNetwork.Weather(delay: 100...500)
        do {
            let network = try DatagramNetwork(
                to: server.address, host: options.host, port: port, weather: weather, seed: seed
            ) { [stage] event in
                guard case .arrived(let datagram, let fate) = event else { return }
                stage.note(.init(fate), for: datagram.bytes, to: datagram.direction == .toServer ? .right : .left)
            }
            stage.atEnd { network.close() }
            return network.address
        } catch let error as SocketError {
            throw Complaint.cannotServe(error.call, error.code, "\(error)", host: options.host, port: port)
        }
    }

    fileprivate func ask(_ request: Caller, _ server: Endpoint, _ line: [UInt8]) throws {
        do {
            let value = try request.call(
                "request",
                [.bytes(line), .string(server.host), .int(Int(server.port)), .int(patience), .int(attempts)],
                server: server)
            stage.settle()
            let answer = try [value].list(0)
            if stage.draws {
                let attempt = try answer.int(1)
                screen.print(say("answer to attempt \(attempt):", "这是对第 \(attempt) 次请求的回答："), .quiet)
            }
            screen.answer(try answer.bytes(0))
        } catch let failure as NoAnswer {
            stage.settle()
            guard screen.isInteractive else { throw CommandError(failure.exit, failure.text) }
            screen.complain(failure.text)
        }
    }
}

/// A datagram of this protocol: the number of its attempt, and its text.
@Sendable private func label(_ bytes: [UInt8]) -> String? {
    guard bytes.count >= 8 else { return nil }
    let attempt = bytes[4..<8].reduce(0) { $0 << 8 | UInt32($1) }
    let text = Array(bytes[8...])
    return "\(attempt): " + shownText(text, total: text.count, room: 12)
}

extension DatagramMatcher.Fate {
    fileprivate init(_ fate: DatagramNetwork.Fate) {
        switch fate {
        case .delivered: self = .delivered
        case .lost: self = .lost
        case .repeated: self = .repeated
        case .delayed(let milliseconds): self = .delayed(milliseconds)
        case .overtaken: self = .overtaken
        }
    }
}

extension Endpoint {
    fileprivate init(_ address: SocketAddress) { self.init(host: address.host, port: address.port) }
}
