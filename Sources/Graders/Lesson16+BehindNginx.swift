// Lesson 16: back-end behind a real nginx, and one of three that goes while they are asked.
import Course
import Foundation
import GraderKit
import Sockets

private let entry = "back-end"

let backEndBehindNginxChecks: [Check] = [
    Check("back-end-behind-nginx", suspects: backEndSuspects) { trial in
        let server = try trial.serve(entry)
        let proxy = try trial.soundProxy(backEnds: [server.address.port], subject: server.subject)
        let name = "\(server.subject.processNumber)"
        try trial.explaining(by: proxy.nginx) {
            for secure in [false, true] {
                // The client says that it came in another way. (That it is somebody else it could say: on this machine it
                // is 127.0.0.1, which is trusted.)
                let answer = try proxy.ask(
                    "GET", "/", "X-Forwarded-Proto: \(secure ? "http" : "https")\r\nForwarded: for=6.6.6.6\r\n",
                    secure: secure)
                try answer.expect(200, "GET /")
                try answer.expectText(
                    "\(name) 127.0.0.1 \(secure ? "https" : "http")\n", "GET /", cause: "does-not-ask-forwarded")
            }
            let body = String(decoding: trial.random.letters(300_000), as: UTF8.self)
            let answer = try proxy.ask("POST", "/upper", body: body)
            try answer.expectBody(Array(body.uppercased().utf8), "POST /upper")
        }
    },
    Check("back-end-keeps-connection", suspects: backEndSuspects) { trial in
        // Five of nginx's requests, one after another: it needs one connection for them.
        let server = try trial.serve(entry)
        let proxy = try trial.soundProxy(backEnds: [server.address.port], subject: server.subject)
        try trial.explaining(by: proxy.nginx) {
            for _ in 0..<5 { try proxy.ask("GET", "/health").expect(200, "GET /health") }
        }
        let connections = server.subject.timeline.calls.filter { $0.isAccept && $0.result >= 0 }.count
        guard connections == 1 else {
            throw Failure(
                expected: say("nginx needs one connection for 5 requests", "nginx 的 5 个请求只用一个连接"),
                got: say("it made \(connections)", "它建立了 \(connections) 个"),
                cause: "keep-alive-ignored-at-back-end")
        }
    },
    Check("back-end-stop-under-load", suspects: backEndSuspects) { trial in
        try trial.loseOne(of: 3) { server in
            server.subject.signal(SIGTERM)
            try trial.expectReturn(server, cause: "stop-not-noticed")
        }
    },
    Check("back-end-kill-under-load", suspects: backEndSuspects) { trial in
        try trial.loseOne(of: 3) { server in server.kill() }
    },
]

extension Trial {
    /// Three servers behind nginx are asked without a pause. One goes: every GET is answered all the same, by the others.
    fileprivate func loseOne(of count: Int, _ lose: (Server) throws -> Void) throws {
        let servers = try (0..<count).map { _ in try serve(entry) }
        let names = servers.map { "\($0.subject.processNumber)" }
        let proxy = try soundProxy(backEnds: servers.map(\.address.port), subject: servers[0].subject)
        try explaining(by: proxy.nginx) {
            let load = try RequestLoad(try proxy.address)
            let outcomes: [RequestLoad.Outcome]
            do {
                try load.waitFor(60)
                try lose(servers[1])
                try load.waitFor(60)
                outcomes = load.stop()
            } catch {
                load.stop()
                throw error
            }
            note(say("\(outcomes.count) requests", "\(outcomes.count) 个请求"))
            // What nginx has begun to hand on it cannot ask for again.
            let lost = outcomes.filter { $0.status != 200 && !$0.isCut }
            guard lost.isEmpty else {
                let text = Set(lost.map { $0.status == 0 ? say("no answer", "没有回答") : "\($0.status)" }).sorted()
                throw Failure(
                    expected: say(
                        "200 for each of \(outcomes.count) GET, while 1 of \(count) back ends goes",
                        "\(count) 个后端走掉 1 个，\(outcomes.count) 个 GET 全部得到 200"),
                    got: say("\(lost.count) were lost: ", "丢了 \(lost.count) 个：") + text.joined(separator: ", "),
                    cause: "request-lost")
            }
            let answered = Set(outcomes.filter { !$0.isCut }.map { $0.body.prefix { $0 != " " } }.map(String.init))
            guard answered == Set(names) else {
                throw Failure(
                    expected: say("answers of all back ends: ", "所有后端都有回答：") + names.joined(separator: ", "),
                    got: answered.sorted().joined(separator: ", "),
                    cause: answered.isSubset(of: names) ? nil : "another-name")
            }
        }
    }
}
