// Lesson 16: proxy-config. The student's configuration in a real nginx, between the grader's clients and back ends.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

let proxyConfigurationChecks: [Check] = [
    Check("config-accepted") { trial in
        _ = try trial.configuredProxy(backEnds: 1)
    },
    Check("config-passes-on") { trial in
        let stage = try trial.configuredProxy(backEnds: 1)
        try stage.explaining {
            for (method, target, body) in [
                ("GET", "/", ""), ("GET", "/a/b?c=%20d&e", ""), ("POST", "/upper", "hello"), ("DELETE", "/x", ""),
                // Another place, once somebody has tidied it up.
                ("GET", "/a%2Fb//c", ""),
            ] {
                let answer = try stage.proxy.ask(method, target, body: body)
                try answer.expect(200, "\(method) \(target)")
                let request = try stage.lastRequest
                try stage.expect(request.method, method, say("the method", "方法"))
                try stage.expect(
                    request.target, target, say("the target", "请求目标"), cause: "target-replaced")
                try stage.expect(String(decoding: request.body, as: UTF8.self), body, say("the body", "消息体"))
            }
        }
    },
    Check("config-who-asked") { trial in
        let stage = try trial.configuredProxy(backEnds: 1)
        try stage.explaining {
            _ = try stage.proxy.ask()
            let request = try stage.lastRequest
            try stage.expect(request["Host"], "lab.example", "Host", cause: "host-lost")
            try stage.expect(
                request["X-Forwarded-For"].map(lastElement), "127.0.0.1", "X-Forwarded-For",
                cause: "client-not-forwarded")
            try stage.expect(request["X-Forwarded-Proto"], "http", "X-Forwarded-Proto", cause: "scheme-not-forwarded")
        }
    },
    Check("config-forged") { trial in
        let stage = try trial.configuredProxy(backEnds: 1)
        try stage.explaining {
            _ = try stage.proxy.ask(
                "GET", "/",
                "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6;proto=https\r\n")
            let request = try stage.lastRequest
            try stage.expect(
                request["X-Forwarded-For"].map(lastElement), "127.0.0.1",
                say("the last address of X-Forwarded-For", "X-Forwarded-For 的最后一个地址"), cause: "forged-field-passed")
            try stage.expect(request["X-Forwarded-Proto"], "http", "X-Forwarded-Proto", cause: "forged-field-passed")
            try stage.expect(request["Forwarded"], nil, "Forwarded", cause: "forged-field-passed")
        }
    },
    Check("config-keeps-connections") { trial in
        let stage = try trial.configuredProxy(backEnds: 1)
        try stage.explaining {
            for _ in 0..<10 { try stage.proxy.ask().expect(200, "GET /") }
            let requests = stage.backEnds[0].requests
            try stage.expect(
                requests.first?.version, "HTTP/1.1", say("the version", "版本"), cause: "old-version-to-back-end")
            let said = requests.first?["Connection"]
            guard said == nil || said == "keep-alive" else {
                throw Failure(
                    expected: say("no Connection field for a back end", "发给后端的请求没有 Connection 字段"),
                    got: "Connection: \(said ?? "")", cause: "connection-field-to-back-end")
            }
            let connections = stage.backEnds[0].connections
            guard connections == 1 else {
                throw Failure(
                    expected: say("one connection to the back end for 10 requests", "10 个请求只用一个到后端的连接"),
                    got: say("\(connections) connections", "\(connections) 个连接"), cause: "no-upstream-keepalive")
            }
        }
    },
    Check("config-balances") { trial in
        let stage = try trial.configuredProxy(backEnds: 3)
        try stage.explaining {
            for _ in 0..<30 { try stage.proxy.ask().expect(200, "GET /") }
            let counts = stage.backEnds.map(\.requests.count)
            guard counts.allSatisfy({ $0 >= 1 }) else {
                throw Failure(
                    expected: say("30 requests: some for each of 3 back ends", "30 个请求：3 个后端都分到一些"),
                    got: counts.map(String.init).joined(separator: ", "), cause: "back-end-unused")
            }
        }
    },
    Check("config-asks-the-next") { trial in
        // One that is gone, and one that breaks each request: every GET is answered by the third.
        let stage = try trial.configuredProxy(manners: [.answers, .breaks, .answers])
        try stage.explaining {
            stage.backEnds[2].kill()
            for _ in 0..<10 { try stage.proxy.ask().expect(200, "GET /", cause: "not-asked-again") }
        }
    },
    Check("config-unavailable") { trial in
        let stage = try trial.configuredProxy(manners: [.unavailable, .answers, .unavailable])
        try stage.explaining {
            for _ in 0..<10 { try stage.proxy.ask().expect(200, "GET /", cause: "503-passed-on") }
        }
    },
    Check("config-post-once") { trial in
        // Each of them may have done what it was asked before it broke: to ask another would be to do it twice.
        let stage = try trial.configuredProxy(manners: [.breaks, .breaks, .breaks])
        try stage.explaining {
            let answer = try stage.proxy.ask("POST", "/order", body: "one coffee")
            try answer.expect([502, 504], "POST /order")
            let count = stage.backEnds.map(\.requests.count).reduce(0, +)
            guard count == 1 else {
                throw Failure(
                    expected: say("one back end gets POST /order", "只有一个后端收到 POST /order"),
                    got: say("\(count) did", "有 \(count) 个收到"), cause: "post-sent-to-two")
            }
        }
    },
    Check("config-silent-back-end") { trial in
        // SYN without an answer: as a machine that is switched off. nginx would wait for a minute.
        let stage = try trial.configuredProxy(manners: [.silent, .answers])
        try stage.explaining {
            for _ in 0..<4 {
                let answer: HTTPAnswer
                do { answer = try stage.proxy.ask() } catch var failure as Failure {
                    failure.cause = "waits-for-the-silent"
                    throw failure
                }
                // It has given that one up.
                try answer.expect(200, "GET /", cause: "not-asked-again")
            }
        }
    },
    Check("config-killed-under-load") { trial in
        let stage = try trial.configuredProxy(backEnds: 3)
        try stage.explaining {
            let load = try RequestLoad(try stage.proxy.address)
            let outcomes: [RequestLoad.Outcome]
            do {
                try load.waitFor(60)
                stage.backEnds[1].kill()
                try load.waitFor(60)
                outcomes = load.stop()
            } catch {
                load.stop()
                throw error
            }
            let lost = outcomes.filter { $0.status != 200 && !$0.isCut }
            guard lost.isEmpty else {
                throw Failure(
                    expected: say(
                        "200 for each of \(outcomes.count) GET, while 1 of 3 back ends is killed",
                        "3 个后端被杀掉 1 个，\(outcomes.count) 个 GET 全部得到 200"),
                    got: say("\(lost.count) were lost", "丢了 \(lost.count) 个"), cause: "not-asked-again")
            }
        }
    },
    Check("config-upgrade") { trial in
        let stage = try trial.configuredProxy(
            backEnds: 1, webSockets: [.mirrors(pingEvery: nil), .mirrors(pingEvery: nil)])
        try stage.explaining {
            let client = try stage.upgraded()
            let message = trial.random.bytes(100_000)
            try client.send(message)
            try client.expect(message)
            client.close()
            let request = stage.webSockets.flatMap(\.requests).last
            try stage.expect(
                request?.target, "/ws", say("the target", "请求目标"), cause: "target-replaced")
            try stage.expect(request?["Host"], "localhost:8765", "Host", cause: "host-lost")
            try stage.expect(
                request?["X-Forwarded-For"].map(lastElement), "127.0.0.1", "X-Forwarded-For",
                cause: "lost-in-the-location")
            try stage.expect(request?["X-Forwarded-Proto"], "http", "X-Forwarded-Proto", cause: "lost-in-the-location")
            // And whoever asks for no WebSocket is answered by the others, without an upgrade.
            try stage.proxy.ask().expect(200, "GET /")
            try stage.expect(
                try stage.lastRequest["Upgrade"], nil, say("Upgrade of GET /", "GET / 的 Upgrade"),
                cause: "upgrade-for-everybody")
            // The one that was asked goes; there is another.
            stage.webSockets.first { !$0.requests.isEmpty }?.kill()
            // Their turns come round: the second would be the missing one's.
            for cause in ["back-end-unused", "not-asked-again"] {
                do { try stage.upgraded().close() } catch var failure as Failure {
                    failure.cause = cause
                    throw failure
                }
            }
        }
    },
    Check("config-idle-cut") { trial in
        let stage = try trial.configuredProxy(backEnds: 1, webSockets: [.mirrors(pingEvery: nil)])
        try stage.explaining {
            let client = try stage.upgraded()
            do { try client.expectEnd(within: 2 * Deadline.patience) } catch var failure as Failure {
                failure.cause = "idle-timeout-not-set"
                throw failure
            }
        }
    },
    Check("config-idle-kept") { trial in
        let interval = Lesson16.proxyTimeout / 5
        let timeout = UInt64(Lesson16.proxyTimeout) * 1_000_000
        for attempt in 1...3 {
            let stage = try trial.configuredProxy(backEnds: 1, webSockets: [.mirrors(pingEvery: interval)])
            do {
                return try stage.explaining {
                    let client = try stage.upgraded()
                    let began = now()
                    while now() < began + 2 * timeout { try client.expect([0x89, 0]) }
                }
            } catch var failure as Failure {
                // This machine may have held up the grader's own pings: then nothing is proved.
                let isOurs = stage.webSockets[0].longestSilence > timeout * 2 / 3
                failure.cause = failure.cause ?? "cut-in-spite-of-pings"
                guard isOurs, attempt < 3 else { throw failure }
            }
        }
    },
    Check("config-tls") { trial in
        let stage = try trial.configuredProxy(backEnds: 2, webSockets: [.mirrors(pingEvery: nil)])
        try stage.explaining {
            do {
                try stage.proxy.ask(secure: true).expect(200, "https GET /")
            } catch var failure as Failure {
                failure.cause = "no-tls"
                throw failure
            }
            let request = stage.backEnds.flatMap(\.requests).last
            try stage.expect(
                request?["X-Forwarded-Proto"], "https", say("X-Forwarded-Proto over TLS", "TLS 下的 X-Forwarded-Proto"),
                cause: "scheme-not-forwarded")
            // curl, which nobody here wrote, looks at the certificate, too.
            let url = "https://localhost:\(stage.proxy.nginx.ports.https)/"
            let (status, output) = try trial.curl(["--cacert", stage.proxy.certificate, "-4", url])
            guard status == 0 else {
                throw Failure(
                    expected: say("curl --cacert takes the certificate", "curl --cacert 认可证书"),
                    got: quoted(output, most: 200), cause: "no-tls")
            }
        }
    },
    Check("config-wss") { trial in
        let stage = try trial.configuredProxy(backEnds: 1, webSockets: [.mirrors(pingEvery: nil)])
        try stage.explaining {
            let client = try stage.upgraded(secure: true)
            let message = trial.random.bytes(30_000)
            try client.send(message)
            try client.expect(message)
            let request = stage.webSockets.flatMap(\.requests).last
            try stage.expect(
                request?["X-Forwarded-Proto"], "https", say("X-Forwarded-Proto over TLS", "TLS 下的 X-Forwarded-Proto"),
                cause: "lost-in-the-location")
        }
    },
]

/// `6.6.6.6, 127.0.0.1`: a proxy may add to what the client wrote, or write it anew.
private func lastElement(_ value: String) -> String {
    value.split(separator: ",").last.map { trimmed($0) } ?? value
}

/// The student's configuration at work.
private struct Stage {
    let trial: Trial
    let proxy: Proxy
    let backEnds: [FakeBackEnd]
    let webSockets: [FakeBackEnd]

    func explaining(_ body: () throws -> Void) throws { try trial.explaining(by: proxy.nginx, body) }

    var lastRequest: ProxiedRequest {
        get throws {
            if let request = backEnds.flatMap(\.requests).last { return request }
            throw Failure(
                expected: say("the request reaches the back end", "请求到达后端"), got: say("it does not", "没有到达"))
        }
    }

    /// - Parameter field: of a request that the back end got.
    func expect(_ got: String?, _ wanted: String?, _ field: String, cause: String? = nil) throws {
        guard got != wanted else { return }
        let none = say("no such field", "没有这个字段")
        throw Failure(
            expected: say("at the back end, \(field): \(wanted ?? none)", "后端收到的 \(field)：\(wanted ?? none)"),
            got: got.map { quoted(Array($0.utf8), most: 100) } ?? none, cause: cause)
    }

    /// A connection that has become a WebSocket: bytes of any kind come back.
    func upgraded(secure: Bool = false) throws -> StreamPeer {
        let client = try proxy.connect(secure: secure)
        try client.send(Request(key: sampleKey).starting("GET /ws HTTP/1.1").bytes)
        let before = client.received.count
        do { try client.expectSwitching() } catch var failure as Failure {
            failure.cause = client.received.count > before ? "not-upgraded" : secure ? "no-tls" : nil
            throw failure
        }
        return client
    }
}

extension HTTPAnswer {
    fileprivate func expect(_ status: Int, _ request: String, cause: String) throws {
        do { try expect(status, request) } catch var failure as Failure {
            failure.cause = cause
            throw failure
        }
    }
}

extension Trial {
    fileprivate func configuredProxy(backEnds: Int, webSockets: [FakeBackEnd.Manner] = []) throws -> Stage {
        try configuredProxy(manners: Array(repeating: .answers, count: backEnds), webSockets: webSockets)
    }

    /// Back ends, ports, the student's text, nginx.
    fileprivate func configuredProxy(
        manners: [FakeBackEnd.Manner], webSockets: [FakeBackEnd.Manner] = []
    ) throws -> Stage {
        let backEnds = try manners.enumerated().map { try fakeBackEnd("b\($0.offset + 1)", $0.element) }
        // There is always somebody for /ws.
        let sockets = try (webSockets.isEmpty ? [.mirrors(pingEvery: nil)] : webSockets).enumerated().map {
            try fakeBackEnd("w\($0.offset + 1)", $0.element)
        }
        let ports = try ProxyPorts()
        var isHandedOver = false
        defer { if !isHandedOver { ports.close() } }
        // Asked first with names that only have to be written down: who has not begun needs no nginx to be told so.
        let place = folder + "/nginx"
        var site = ProxySite(
            httpPort: ports.http, httpsPort: ports.https, certificate: place + "/certificate.pem",
            certificateKey: place + "/key.pem", backEnds: backEnds.map(\.port),
            webSocketBackEnds: sockets.map(\.port))
        let call = try begin("proxy-configuration", site.arguments)
        let answer = try call.value()
        guard case .string(let text) = answer else { throw LabError("proxy-configuration: \(answer.text)") }
        let made = try proxyFolder()
        (site.certificate, site.certificateKey) = (made.certificate, made.key)
        isHandedOver = true
        let nginx: Nginx
        do { nginx = try Nginx(site: text, ports: ports, in: made.folder) } catch let refused as ConfigurationRefused {
            throw Failure(
                expected: say("nginx -t accepts the configuration", "nginx -t 接受这份配置"),
                got: say("it does not", "它不接受"), cause: "configuration-refused",
                detail: refused.lines.prefix(4).map { "nginx: \($0)" }.joined(separator: "\n"))
        }
        atTheEnd { nginx.stop() }
        note(say("nginx on ports \(ports.http) and \(ports.https)", "nginx 监听端口 \(ports.http) 和 \(ports.https)"))
        let proxy = Proxy(nginx: nginx, certificate: made.certificate, subject: call.subject, trial: self)
        return Stage(trial: self, proxy: proxy, backEnds: backEnds, webSockets: sockets)
    }

    private func fakeBackEnd(_ name: String, _ manner: FakeBackEnd.Manner) throws -> FakeBackEnd {
        let backEnd = try FakeBackEnd(name, manner)
        atTheEnd { backEnd.kill() }
        return backEnd
    }
}
