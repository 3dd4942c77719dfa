// behind-nginx: three back ends behind a real nginx. Clients ask without a pause; one back end is killed, one is stopped, and
// no request is lost.
import Course
import Foundation
import GraderKit
import Graders
import Sockets

extension Demo {
    static let behindNginx = Demo(
        "behind-nginx", Lesson16.slug, "three back ends behind nginx; one is killed under load",
        "nginx 后面三个后端，负载下杀掉一个", port: nil, [.serve, .mine], isShow: true
    ) { play in
        do { try BehindNginx(play).show() } catch let missing as Unavailable {
            throw CommandError.failure(missing.reason)
        }
    }
}

private final class BehindNginx {
    private let play: Play
    private var backEnds: [BackEnd] = []
    private var webSocket: UInt16 = 0

    private struct BackEnd {
        let name: String
        let subject: Subject
        let port: UInt16
        /// How it calls itself in its answers.
        var number: String { "\(subject.processNumber)" }
    }

    /// How long one row of the picture is, in milliseconds; and in which rows something happens.
    private static let row: Int32 = 250
    private static let rows = 12
    private static let killed = 4
    private static let stopped = 8

    init(_ play: Play) { self.play = play }

    func show() throws {
        // Without nginx nothing else is begun.
        _ = try Nginx.program()
        for name in ["b1", "b2", "b3"] {
            let (subject, port) = try start("back-end")
            backEnds.append(BackEnd(name: name, subject: subject, port: port))
        }
        webSocket = try start("ws-back-end").port
        let nginx = try startNginx()
        introduce(nginx)
        if play.options.serve { return try play.stage.waitForEnd() }
        try askInTurn(nginx)
        try askUnderLoad(nginx)
    }

    // MARK: Starting

    private func start(_ entry: String) throws -> (subject: Subject, port: UInt16) {
        let subject = try play.stage.startUnwatched(
            play.subject, descriptorLimit: min(1024, Int(clamping: descriptorsPermitted)))
        let address = try play.reached(
            try subject.startServing(entry, host: "127.0.0.1", port: 0), subject, "127.0.0.1", 0)
        return (subject, address.port)
    }

    private func startNginx() throws -> Nginx {
        let folder = play.stage.folder + "/nginx"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let (certificate, key) = try Nginx.makeCertificate(in: folder)
        let ports = try ProxyPorts()
        let site = ProxySite(
            httpPort: ports.http, httpsPort: ports.https, certificate: certificate, certificateKey: key,
            backEnds: backEnds.map(\.port), webSocketBackEnds: [webSocket])
        let writer = try play.stage.startUnwatched(
            play.subject, descriptorLimit: min(1024, Int(clamping: descriptorsPermitted)))
        defer { play.stage.end(writer) }
        guard
            case .returned(.string(let text))? = try writer.call(
                "proxy-configuration", site.arguments, until: Deadline())
        else { throw CommandError(.notPassed, say("There is no configuration.", "没有得到配置。")) }
        let nginx: Nginx
        do { nginx = try Nginx(site: text, ports: ports, in: folder) } catch let refused as ConfigurationRefused {
            throw CommandError(
                .notPassed,
                say("nginx does not accept the configuration: ", "nginx 不接受这份配置：")
                    + refused.lines.joined(separator: "\n"))
        }
        play.stage.atEnd { nginx.stop() }
        return nginx
    }

    // MARK: Showing

    private func introduce(_ nginx: Nginx) {
        let (http, https) = (nginx.ports.http, nginx.ports.https)
        guard play.stage.draws else {
            // For a script.
            if play.options.serve {
                play.screen.print([
                    StyledText("listening on 127.0.0.1:\(http)"), StyledText("with TLS on 127.0.0.1:\(https)"),
                ])
            }
            return
        }
        play.introduce(
            say(
                "Servers: \(play.author). nginx stands in front of them; all ports were chosen by the kernel.",
                "服务器：\(play.author)。前面是 nginx，端口都由内核选择。"), gap: false)
        let ports = backEnds.map { ":\($0.port)" }.joined(separator: "  ")
        play.screen.print([
            StyledText(),
            StyledText("  nginx  ") + StyledText("http://127.0.0.1:\(http)/", .code),
            StyledText("         ") + StyledText("https://127.0.0.1:\(https)/", .code)
                + StyledText(say("  (curl -k)", "（curl -k）"), .quiet),
            StyledText("         ") + StyledText("ws://127.0.0.1:\(http)/ws", .code),
            StyledText("    ├─ b1 b2 b3  \(ports)"), StyledText("    └─ /ws       :\(webSocket)"),
            StyledText("  ") + StyledText(play.stage.folder + "/nginx/site.conf", .quiet),
        ])
        if play.options.serve {
            play.screen.print([StyledText()])
            play.screen.print(say("Ctrl-C ends all of it.", "按 Ctrl-C 全部结束。"), .quiet)
        }
    }

    private func askInTurn(_ nginx: Nginx) throws {
        play.step(say("six requests, one after another: who answers?", "依次六个请求：谁来回答？"))
        for _ in 0..<6 {
            let answer = RequestLoad.ask(try address(nginx))
            guard answer.status == 200 else {
                throw CommandError(
                    .notPassed, say("GET / was answered with \(answer.status).", "GET / 得到 \(answer.status)。"))
            }
            let text = answer.body.trimmingCharacters(in: .newlines)
            play.screen.print([
                StyledText("  GET /  ─▶ ") + StyledText(name(of: answer), .strong) + StyledText("  \(text)", .quiet)
            ])
        }
    }

    private func askUnderLoad(_ nginx: Nginx) throws {
        play.step(
            say(
                "four clients ask without a pause; b2 is killed (SIGKILL), then b3 is stopped (SIGTERM)",
                "四个客户端不停地请求；先杀掉 b2（SIGKILL），再停止 b3（SIGTERM）"))
        let load = try RequestLoad(try address(nginx))
        defer { load.stop() }
        let width = max(4, (min(play.screen.columns, 100) - 24) / 3)
        play.screen.print([
            StyledText(
                say("s", "秒").leftPadded(to: 6) + "  " + backEnds.map { $0.name.padded(to: width + 1) }.joined()
                    + say("lost", "丢失").leftPadded(to: 6), .quiet)
        ])
        var seen = 0
        var most = 1
        for row in 1...BehindNginx.rows {
            // The pace of the picture.
            poll(nil, 0, BehindNginx.row)
            let all = load.outcomes
            let part = all[seen...]
            seen = all.count
            let counts = backEnds.map { backEnd in part.filter { name(of: $0) == backEnd.name }.count }
            most = max(most, counts.max() ?? 0)
            let bars = counts.map { count in
                let bar = String(repeating: "█", count: count == 0 ? 0 : max(1, count * width / most))
                return StyledText(bar.truncatedBar(to: width).padded(to: width + 1), .good)
            }
            let lost = part.filter { $0.status != 200 && !$0.isCut }.count
            let time = Double(row) * Double(BehindNginx.row) / 1000
            let line =
                StyledText(String(format: "%6.2f  ", time))
                + bars.reduce(StyledText()) { $0 + $1 }
                + StyledText("\(lost)".leftPadded(to: 6), lost == 0 ? .quiet : .bad)
            play.screen.print([line])
            if row == BehindNginx.killed {
                play.screen.print([StyledText(say("        b2: SIGKILL", "        b2：SIGKILL"), .bad)])
                backEnds[1].subject.signal(SIGKILL)
            }
            if row == BehindNginx.stopped {
                play.screen.print([StyledText(say("        b3: SIGTERM", "        b3：SIGTERM"), .waiting)])
                backEnds[2].subject.signal(SIGTERM)
            }
        }
        conclude(load.stop())
    }

    private func conclude(_ outcomes: [RequestLoad.Outcome]) {
        let lost = outcomes.filter { $0.status != 200 && !$0.isCut }.count
        play.screen.print([StyledText()])
        play.screen.print(
            say(
                "\(outcomes.count) requests, \(lost) lost. b2 could say nothing: nginx saw the connections break, and asked another. "
                    + "b3 finished what it had begun, and refused the rest.",
                "共 \(outcomes.count) 个请求，丢失 \(lost) 个。b2 来不及说什么：nginx 看到连接断开，就去问别的后端。"
                    + "b3 做完了已经开始的，其余的拒绝。"), .strong)
    }

    private func address(_ nginx: Nginx) throws -> SocketAddress {
        try SocketAddress(host: "127.0.0.1", port: nginx.ports.http)
    }

    private func name(of outcome: RequestLoad.Outcome) -> String {
        let number = outcome.body.prefix { $0 != " " }
        return backEnds.first { $0.number == number }?.name ?? "?"
    }
}

extension String {
    fileprivate func truncatedBar(to width: Int) -> String { String(prefix(width)) }
}
