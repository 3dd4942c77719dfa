// Lesson 16: back-end. What it answers, and how it stops. Behind nginx: Lesson16+BehindNginx.swift.
import Course
import GraderKit
import Sockets
import Wire

private let entry = "back-end"

let backEndChecks: [Check] =
    backEndAnswerChecks + backEndStopChecks + backEndBehindNginxChecks
    + concurrentServerChecks(entry, prefix: entry, exchange: healthExchange, clients: 50, suspects: sharedSuspects)
    + [
        Check(
            "back-end-full",
            suspects: [.crashAtFullTable, .throwsOutTheQueue, .acceptErrorEndedServer] + sharedSuspects
                + Cause.streamServer
        ) { trial in try trial.expectServedAfterFullTable(entry, healthExchange) }
    ]
    + streamServerChecks(entry, prefix: entry, exchange: healthExchange, suspects: sharedSuspects)

let backEndSuspects: [Cause] = [.signalNotCaught]
/// Where nobody asks for the end, and nothing is stopped.
private let sharedSuspects = backEndSuspects + [.closedBehindAnAnswer]

private let health = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"

private let healthExchange = Exchange(question: Array(health.utf8)) { client in
    try client.expectAnswer(to: "GET /health", 200, "ok\n")
}

private let backEndAnswerChecks: [Check] = [
    Check("back-end-answers", suspects: backEndSuspects) { trial in
        let server = try trial.serve(entry)
        let client = try server.connect()
        // All on one connection.
        let name = "\(server.subject.processNumber)"
        for (target, status, body) in [
            ("/", 200, "\(name) 127.0.0.1 http\n"), ("/health", 200, "ok\n"), ("/missing", 404, nil),
            ("/health?now=1", 200, "ok\n"), ("/", 200, "\(name) 127.0.0.1 http\n"),
        ] as [(String, Int, String?)] {
            let answer: HTTPAnswer
            do {
                try client.send("GET \(target) HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = try client.answer(to: "GET \(target)")
            } catch var failure as Failure {
                // None, where others came before it: the connection has ended.
                if failure.cause == nil { failure.cause = "keep-alive-ignored-at-back-end" }
                throw failure
            }
            do { try answer.expect(status, "GET \(target)") } catch var failure as Failure {
                if target.contains("?"), answer.status == 404 { failure.cause = "query-not-cut-off" }
                throw failure
            }
            if let body { try answer.expectText(body, "GET \(target)") }
        }
    },
    Check("back-end-upper", suspects: sharedSuspects) { trial in
        let server = try trial.serve(entry)
        let client = try server.connect()
        for count in [0, 1, 100_000, 1 << 20] {
            let body = trial.random.letters(count)
            try client.send(post(count) + body)
            let answer = try client.answer(to: "POST /upper")
            try answer.expect(200, "POST /upper")
            try answer.expectBody(uppercased(body), "POST /upper")
        }
        // As a proxy sends it that does not wait for the end.
        try client.send(
            "POST /upper HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\n\u{e9}\r\n0\r\n\r\n")
        let answer = try client.answer(to: "POST /upper")
        do { try answer.expectBody(Array("ABC\u{e9}".utf8), "POST /upper") } catch var failure as Failure {
            if answer.body.starts(with: "ABC".utf8) {
                // These two bytes are UTF-8: as text they are a letter, which has an upper case.
                failure.cause = answer.body.count == 5 ? "changed-other-bytes" : "decoded-as-text"
            }
            throw failure
        }
    },
    Check("back-end-closes", suspects: backEndSuspects) { trial in
        let server = try trial.serve(entry)
        for request in [
            "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET /health HTTP/1.1\r\nHost: a\r\nconnection: foo, Close\r\n\r\n",
            // A list may stand in several fields (RFC 9110 section 5.3).
            "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: foo\r\n\r\n",
            "GET /health HTTP/1.0\r\n\r\n",
        ] {
            let client = try server.connect()
            try client.send(request)
            try client.expectAnswer(to: "GET /health", 200, "ok\n")
            do { try client.expectEnd() } catch var failure as Failure {
                failure.cause = "open-after-connection-close"
                throw failure
            }
        }
    },
    Check("back-end-refuses", suspects: backEndSuspects) { trial in
        let server = try trial.serve(entry)
        for (request, body, status) in [
            ("nonsense\r\n\r\n", 0, 400), ("GET / HTTP/1.1\r\n\r\n", 0, 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 0, 505),
            // A client sends its body without waiting for what is said of the head.
            ("POST /upper HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", 200_000, 413),
        ] {
            let before = server.subject.descriptorCount
            let client = try server.connect()
            do {
                try client.send(Array(request.utf8) + trial.random.letters(body))
                let name = quoted(Array(request.utf8), most: 40)
                let answer = try client.answer(to: name)
                try answer.expect(status, name)
                try client.expectEnd()
                // With a part of the body unread, a reset follows the end.
                client.halfClose()
                if body > 0, server.waitForDescriptors(before) { try client.expectNoReset() }
            } catch var failure as Failure {
                if failure.cause == nil {
                    failure.cause =
                        client.wasReset ? "closed-with-unread-bytes" : status == 413 ? "body-limit-unknown" : nil
                }
                throw failure
            }
            try healthExchange.visit(server)
        }
    },
    Check("back-end-forwarded", suspects: sharedSuspects) { trial in
        let server = try trial.serve(entry)
        let name = "\(server.subject.processNumber)"
        let asked = [
            ("X-Forwarded-For: 6.6.6.6, 203.0.113.7\r\nX-Forwarded-Proto: https\r\n", "203.0.113.7", "https"),
            ("X-Forwarded-For: 2001:db8::7\r\nX-Forwarded-Proto: http\r\n", "2001:db8::7", "http"),
            ("Forwarded: for=6.6.6.6;proto=https\r\n", "127.0.0.1", "http"),
        ]
        for (fields, client, scheme) in asked {
            let peer = try server.connect()
            try peer.send("GET / HTTP/1.1\r\nHost: localhost\r\n\(fields)\r\n")
            try peer.expectAnswer(to: "GET /", 200, "\(name) \(client) \(scheme)\n", cause: "does-not-ask-forwarded")
        }
        // A proxy has one connection for the requests of many clients.
        let shared = try server.connect()
        for (fields, client, scheme) in asked {
            try shared.send("GET / HTTP/1.1\r\nHost: localhost\r\n\(fields)\r\n")
            try shared.expectAnswer(
                to: "GET /", 200, "\(name) \(client) \(scheme)\n", cause: "client-of-the-connection")
        }
    },
]

private let backEndStopChecks: [Check] = [
    Check("back-end-stop", suspects: backEndSuspects) { trial in
        let server = try trial.serve(entry)
        try healthExchange.visit(server)
        server.subject.signal(SIGTERM)
        try trial.expectReturn(server, cause: "stop-not-noticed")
        try trial.expectRefused(server)
    },
    stopCheck("back-end-stop-waiting", returned: "left-open-at-the-end") { trial, stop in
        // One connection that waits for its next request, and one in the middle of a request.
        let server = try trial.serve(entry)
        let waiting = try server.connect()
        try healthExchange.run(waiting)
        let begun = try server.begin(post(6) + Array("abc".utf8))
        let began = now()
        stop(server)
        do { try waiting.expectEnd() } catch var failure as Failure {
            if waiting.isSilent { failure.cause = "idle-connection-kept" }
            throw failure
        }
        // And not only when the time is over for all.
        let took = (now() - began) / 1_000_000
        guard took < 2000 else {
            throw Failure(
                expected: say("a connection without a request is closed within 2 s", "没有请求的连接在 2 秒内关闭"),
                got: say("it was closed after \(took) ms", "\(took) ms 后才关闭"), cause: "idle-connection-kept")
        }
        let answer = try begun.answer(to: "POST /upper", behind: "def")
        try answer.expectBody(Array("ABCDEF".utf8), "POST /upper")
        try trial.expectReturn(server, cause: "waits-for-who-is-gone")
    },
    stopCheck("back-end-stop-refuses") { trial, stop in
        let server = try trial.serve(entry)
        let begun = try server.begin(post(6) + Array("abc".utf8))
        stop(server)
        try trial.expectListenerClosed(server)
        try trial.expectRefused(server)
        do {
            // And not only when the time is over: what was begun goes on.
            try begun.send("def")
            let answer = try begun.answer(to: "POST /upper")
            try answer.expectBody(Array("ABCDEF".utf8), "POST /upper")
        } catch var failure as Failure {
            // Who closes the listener last of all did refuse, but only when there was nobody left to lose.
            let timeline = server.subject.timeline
            let listener = timeline.calls("listen").last.flatMap {
                timeline.close(of: $0.descriptor, after: $0.entered)
            }
            let connection = timeline.calls.first { $0.isAccept && $0.result >= 0 }
                .flatMap { timeline.close(of: Int32($0.result), after: $0.entered) }
            let wasLast =
                listener.map { listener in (connection?.entered).map { $0 < listener.entered } ?? false } ?? true
            failure.cause = wasLast ? "still-accepts" : "begun-request-lost"
            throw failure
        }
        try trial.expectReturn(server, cause: "waits-for-who-is-gone")
    },
    stopCheck("back-end-stop-finishes") { trial, stop in
        let server = try trial.serve(entry)
        let head = try server.begin(Array(post(6).prefix(30)))
        let body = try server.begin(post(6) + Array("abc".utf8))
        let page = try server.begin(Array("GET / HTTP/1.1\r\n".utf8))
        // On connections that were kept the next request is there when the stop is. So many, that some of them see both.
        let kept = try (0..<12).map { _ in try server.connect() }
        for client in kept { try healthExchange.run(client) }
        try server.subject.pause()
        guard kept.allSatisfy(\.isSilent) else {
            throw Failure(
                expected: say("connections that stay open behind an answer", "回答之后连接仍然开着"),
                got: say("a connection was closed behind its answer", "回答之后连接就被关闭了"),
                cause: "keep-alive-ignored-at-back-end")
        }
        for client in kept { try client.send(health) }
        stop(server)
        server.subject.resume()
        for client in kept {
            do {
                // Which of both it saw first is open: the service may be going by then.
                try client.answer(to: "GET /health").expect([200, 503], "GET /health")
            } catch var failure as Failure {
                failure.cause = "begun-request-lost"
                throw failure
            }
            try client.expectEnd()
        }
        try trial.expectListenerClosed(server)
        for (client, rest, request, content) in [
            (body, "def", "POST /upper", "ABCDEF"),
            (head, String(decoding: post(6).dropFirst(30), as: UTF8.self) + "abcdef", "POST /upper", "ABCDEF"),
            (page, "Host: a\r\n\r\n", "GET /", nil),
        ] {
            do {
                try client.send(rest)
                let answer = try client.answer(to: request)
                if answer.status == 503 {
                    throw Failure(
                        expected: say("200 for \(request), begun before the stop", "停止之前开始的 \(request) 得到 200"),
                        got: "503", cause: "begun-request-refused")
                }
                try answer.expect(200, request)
                if let content { try answer.expectBody(Array(content.utf8), request) }
                try trial.expectCloses(answer, request)
                try client.expectEnd()
            } catch var failure as Failure {
                if failure.cause == nil { failure.cause = "begun-request-lost" }
                throw failure
            }
        }
        try trial.expectReturn(server, cause: "waits-for-who-is-gone")
    },
    stopCheck("back-end-stop-answer", returned: "answer-cut-off") { trial, stop in
        // In the middle of an answer: a client that reads slowly, and gets all of it.
        let server = try trial.serve(entry)
        let client = try server.connect(smallBuffers: true)
        let body = trial.random.letters(400_000)
        try client.send(post(body.count) + body)
        _ = try server.subject.waitForTimeline { timeline -> Bool? in
            timeline.calls.contains { $0.isSend } ? true : nil
        }
        stop(server)
        try trial.expectListenerClosed(server)
        // From now on it reads as fast as it can.
        var room: Int32 = 1 << 20
        setsockopt(client.descriptor, SOL_SOCKET, SO_RCVBUF, &room, socklen_t(MemoryLayout<Int32>.size))
        do {
            let answer = try client.answer(to: "POST /upper", within: 3 * Deadline.patience)
            try answer.expect(200, "POST /upper")
            try answer.expectBody(uppercased(body), "POST /upper")
        } catch var failure as Failure {
            failure.cause = "answer-cut-off"
            throw failure
        }
        try client.expectEnd()
        try trial.expectReturn(server, cause: "waits-for-who-is-gone")
    },
    stopCheck("back-end-stop-health") { trial, stop in
        let server = try trial.serve(entry)
        let client = try server.begin(Array(health.utf8.dropLast(2)))
        stop(server)
        try trial.expectListenerClosed(server)
        let answer = try client.answer(to: "GET /health", behind: "\r\n")
        do { try answer.expect(503, "GET /health") } catch var failure as Failure {
            if answer.status == 200 { failure.cause = "healthy-while-stopping" }
            throw failure
        }
        try trial.expectReturn(server, cause: "waits-for-who-is-gone")
    },
    Check("back-end-stop-deadline", suspects: backEndSuspects) { trial in
        // Clients that never come to an end: half a head, half a body, an answer that is never read; and a body of which a
        // byte comes every second.
        let server = try trial.serve(entry)
        let clients = [
            try server.begin(Array(health.utf8.prefix(20))),
            try server.begin(post(6) + Array("abc".utf8)),
        ]
        let slow = try server.begin(post(100) + Array("abc".utf8))
        let deaf = try server.connect(smallBuffers: true)
        let body = trial.random.letters(1 << 20)
        try deaf.send(post(body.count) + body)
        server.subject.signal(SIGTERM)
        let deadline = Deadline(in: 3 * Deadline.patience)
        while !deadline.hasPassed, (try? server.expectReturn(within: 1 / Deadline.scale)) == nil {
            try? slow.send("d")
        }
        try trial.expectReturn(server, within: 0.1, cause: "held-up-by-a-client")
        let open = server.subject.sockets(among: server.subject.timeline.openSockets)
        guard open.isEmpty else {
            throw Failure(
                expected: say("the listener and four connections are closed", "监听套接字和四个连接都已关闭"),
                got: say("still open: \(open.count) of them", "其中 \(open.count) 个还开着"),
                cause: "left-open-at-the-end")
        }
        for client in clients + [slow, deaf] { client.close() }
    },
    stopCheck("back-end-stop-twice", suspects: backEndSuspects + [.interruptedCall]) { trial, stop in
        // The system gives a signal to any thread, also to one that waits for a client.
        let server = try trial.serve(entry, plan: .fail(.waitReady, every: 2, with: EINTR))
        let client = try server.begin(post(6) + Array("abc".utf8))
        stop(server)
        try trial.expectListenerClosed(server)
        // Whoever stops services is impatient.
        for _ in 0..<5 { server.subject.signal(SIGTERM) }
        let answer = try client.answer(to: "POST /upper", behind: "def")
        try answer.expectBody(Array("ABCDEF".utf8), "POST /upper")
        try trial.expectReturn(server, cause: "waits-for-who-is-gone")
    },
]

/// A check in which something was begun before the stop.
///
/// - Parameter returned: what it means that the function came back before that was finished.
func stopCheck(
    _ id: String, suspects: [Cause] = backEndSuspects, returned: String = "begun-request-lost",
    _ body: @escaping @Sendable (_ trial: Trial, _ stop: (Server) -> Void) throws -> Void
) -> Check {
    Check(id, suspects: suspects) { trial in
        // What was begun has only so long. Where the machine held up the grader for as long, nothing is proved by what was
        // lost: then it is tried once more.
        let patience = UInt64(Lesson16.stopPatience) * 1_000_000
        for attempt in 1...2 {
            var stopped = UInt64.max
            var stoppedServer: Server?
            do {
                do {
                    return try body(trial) { server in
                        stopped = now()
                        stoppedServer = server
                        server.subject.signal(SIGTERM)
                    }
                } catch let ended as ProgramEnded {
                    // A crash, or what it threw, is explained by others.
                    guard let stoppedServer, (try? stoppedServer.expectReturn(within: 0)) != nil else { throw ended }
                    throw Failure(
                        expected: ended.expected, got: say("your server function returned", "服务器函数返回了"),
                        cause: returned)
                }
            } catch var failure as Failure {
                guard attempt == 1, now() > stopped, now() - stopped > patience / 2 else {
                    // All that was begun had run out of time while the listener was still waited for.
                    if let stoppedServer, stoppedServer.closedItsListener(after: stopped + patience / 2) {
                        failure.cause = "still-accepts"
                    }
                    throw failure
                }
                trial.note(say("that took long: once more", "耗时太长：再试一次"))
            }
        }
    }
}

private func post(_ count: Int) -> [UInt8] {
    Array("POST /upper HTTP/1.1\r\nHost: localhost\r\nContent-Length: \(count)\r\n\r\n".utf8)
}
