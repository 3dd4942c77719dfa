// Lesson 08, client: kept connections, time limits.
import Course
import GraderKit
import Sockets
import Wire

// MARK: - Kept connections

let lesson08ClientConnections: [Check] = [
    Check("client-keep-alive", suspects: [.connectsAnew, .awaitsTheEnd]) { trial in
        let listener = try trial.listen()
        let paths = ["/1", "/2", "/3", "/4"]
        let fetching = try trial.fetch(paths.map { Asked(url: listener.url($0)) }, at: listener)
        let connection = try fetching.accept()
        let answers = [
            okAnswer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
        ]
        for (path, answer) in zip(paths, answers) {
            let request: ReceivedRequest
            do { request = try connection.request() } catch var failure as Failure {
                let isSilent = failure.got == say("nothing", "什么也没有")
                let connects = fetching.call.subject.timeline.calls("connect").count
                if path != "/1", connects > 1 || failure.got == say("it was closed", "连接被关闭") {
                    failure.cause = failure.cause ?? "connection-not-kept"
                } else if path == "/4", isSilent {
                    failure.cause = failure.cause ?? "waits-for-no-body"
                }
                throw failure
            }
            try trial.expect(request.target, equals: path, say("the target", "目标"))
            try connection.answer(answer)
        }
        for (reply, status) in zip(try fetching.replies(), [200, 200, 204, 200]) {
            try fetching.expect(reply, status, status == 204 ? [] : Array("ok".utf8))
        }
    },
    Check("client-close") { trial in
        let answers = [
            okAnswerAndClose, "HTTP/1.1 200 OK\r\nconnection: x, Close\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ]
        for answer in answers {
            let listener = try trial.listen()
            let fetching = try trial.fetch(
                [Asked(url: listener.url("/1")), Asked(url: listener.url("/2"))], at: listener)
            let (first, _) = try fetching.acceptRequest()
            // The server leaves it open a little longer, and does not read from it any more.
            try first.answer(answer)
            let (second, request) = try fetching.acceptRequest(cause: "close-not-heard")
            try trial.expect(request.target, equals: "/2", say("the request on the second connection", "第二个连接上的请求"))
            try second.answer(okAnswer)
            for reply in try fetching.replies() { try fetching.expect(reply, 200, Array("ok".utf8)) }
            first.close()
        }
    },
    Check("client-stale") { trial in
        // The end came with the answer: who looks before the next request sees it. Also for what is not sent twice.
        let idle = try trial.listen()
        let asked = [Asked(url: idle.url("/1")), .form(idle.url("/2"), [("a", "b")])]
        let looking = try trial.fetch(asked, at: idle)
        let (gone, _) = try looking.acceptRequest()
        try gone.answerAndEnd(okAnswer)
        let (other, order) = try looking.acceptRequest(cause: "stale-connection-used")
        try trial.expect(order.target, equals: "/2", say("the second request", "第二个请求"))
        try other.answer(okAnswer)
        for reply in try looking.replies() {
            try looking.expect(reply, 200, Array("ok".utf8), cause: "stale-connection-used")
        }
        // The same behind two answers over one connection, and behind waits that were interrupted: errno is of before then.
        for plan in [
            .none, FaultPlan.fail(.waitReady, 1, through: 3, with: EINTR) + .fail(.receive, 1, through: 3, with: EINTR),
        ] {
            let twice = try trial.listen()
            let two = [Asked(url: twice.url("/1")), Asked(url: twice.url("/2")), .form(twice.url("/3"), [("a", "b")])]
            let keeping = try trial.fetch(two, at: twice, plan: plan)
            let (kept, _) = try keeping.acceptRequest()
            try kept.answer(okAnswer)
            _ = try kept.request()
            try kept.answerAndEnd(okAnswer)
            let (third, order) = try keeping.acceptRequest(cause: "stale-connection-used")
            try trial.expect(order.target, equals: "/3", say("the third request", "第三个请求"))
            try third.answer(okAnswer)
            for reply in try keeping.replies() {
                try keeping.expect(reply, 200, Array("ok".utf8), cause: "stale-connection-used")
            }
        }
        // It closes when the next request is under way: a GET is sent again, at once and although one attempt is allowed.
        let listener = try trial.listen()
        let fetching = try trial.fetch([Asked(url: listener.url("/1")), Asked(url: listener.url("/2"))], at: listener)
        let (connection, _) = try fetching.acceptRequest()
        try connection.answer(okAnswer)
        if (try? connection.request()) != nil {
            connection.close()
            let (second, request) = try fetching.acceptRequest(cause: "stale-connection-used")
            try trial.expect(request.target, equals: "/2", say("the second request, again", "再次发出的第二个请求"))
            try second.answer(okAnswer)
        } else {
            try fetching.serve(okAnswer)
        }
        for reply in try fetching.replies() {
            try fetching.expect(reply, 200, Array("ok".utf8), cause: "stale-connection-used")
        }
    },
    Check("client-origins", suspects: [.awaitsTheEnd]) { trial in
        // Each of them would keep its connection.
        let listeners = try (0..<3).map { _ in try trial.listen() }
        let fetching = try trial.fetch(listeners.map { Asked(url: $0.url()) }, at: listeners[0])
        for (number, listener) in listeners.enumerated() {
            let here = Fetching(trial: trial, call: fetching.call, listener: listener)
            let connection: ServedConnection
            do { connection = try here.accept() } catch var failure as Failure {
                let connects = fetching.call.subject.timeline.calls("connect").count
                if number > 0, connects <= number { failure.cause = failure.cause ?? "connection-to-another" }
                throw failure
            }
            _ = try connection.request()
            try connection.answer(okAnswer)
        }
        for reply in try fetching.replies() { try fetching.expect(reply, 200, Array("ok".utf8)) }
    },
    Check("client-left-over") { trial in
        let listener = try trial.listen()
        let fetching = try trial.fetch([Asked(url: listener.url("/1")), Asked(url: listener.url("/2"))], at: listener)
        let (first, _) = try fetching.acceptRequest()
        // Nobody asked for the second one. Taken for the next answer, every later answer is the wrong one.
        try first.answer(okAnswer + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        let cause = "answer-nobody-asked-for"
        let (second, request) = try fetching.acceptRequest(cause: cause)
        try trial.expect(request.target, equals: "/2", say("the request on the second connection", "第二个连接上的请求"))
        try second.answer(okAnswer)
        for reply in try fetching.replies() { try fetching.expect(reply, 200, Array("ok".utf8), cause: cause) }
    },
    Check("client-descriptors", suspects: [.socketsLeftOpen]) { trial in
        let process = try trial.launch(descriptorLimit: 64)
        let listener = try trial.listen()
        let nobody = try trial.boundStream()
        // The second one leaves its connection open; the client that could use it again is gone after each call.
        let answers: [(String, String?)] = [
            (okAnswerAndClose, nil), (okAnswer, nil), ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "cutShort"),
            ("nonsense\r\n\r\n", "badResponse"),
        ]
        for round in 0..<80 {
            for (answer, error) in answers {
                let fetching = try trial.fetch([Asked(url: listener.url("/\(round)"))], at: listener, in: process)
                let (connection, _) = try fetching.acceptRequest()
                try connection.answer(answer)
                if answer != okAnswer { connection.close() }
                let reply = try fetching.reply()
                connection.close()
                if let error {
                    try trial.expect(reply.text, equals: Reply.error(error).text, say("what it does", "结果"))
                }
            }
            let vain = try trial.fetch([Asked(url: "http://\(nobody.address)/")], at: listener, in: process)
            try vain.expect(error: "cannotConnect(code: \(ECONNREFUSED))", say("nobody listens there", "那里没有人监听"))
        }
    },
    Check("client-eintr", suspects: [.interruptedCall]) { trial in
        let plan =
            FaultPlan.fail(.connect, with: EINTR) + .fail(.send, 1, through: 3, with: EINTR)
            + .fail(.receive, 1, through: 3, with: EINTR) + .fail(.waitReady, 1, through: 3, with: EINTR)
        let listener = try trial.listen()
        let fetching = try trial.fetch([.form(listener.url(), [("a", "b")])], at: listener, plan: plan)
        let (connection, _) = try fetching.acceptRequest()
        try connection.answer(okAnswer)
        try fetching.expect(200, "ok")
    },
    Check("client-short", suspects: [.shortSend, .oneReceiveIsOneMessage]) { trial in
        let listener = try trial.listen()
        let plan = FaultPlan.most(1, each: .send) + .most(1, each: .receive)
        let fetching = try trial.fetch([.json(listener.url("/short"), #"{"a":[1,2,3]}"#)], at: listener, plan: plan)
        let (connection, request) = try fetching.acceptRequest()
        try trial.expect(
            String(decoding: request.body, as: UTF8.self), equals: #"{"a":[1,2,3]}"#, say("the body", "消息体"))
        try connection.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        try fetching.expect(200, "abcde")
        // What was announced may be gone, and room may be none; who waits for edges is not told again.
        fetching.call.subject.catchUp()
        if fetching.call.subject.timeline.calls.contains(where: \.asksForEdges) { return }
        let nothing = FaultPlan.fail(.send, 1, through: 2, with: EAGAIN) + .fail(.receive, 1, through: 2, with: EAGAIN)
        let asking = try trial.fetch([.json(listener.url("/nothing"), "{}")], at: listener, plan: nothing)
        try asking.serve(okAnswerAndClose)
        try asking.expect(200, "ok")
    },
]

// MARK: - Time

let lesson08ClientTimes: [Check] = [
    Check("client-timeout", suspects: [.noDeadline]) { trial in
        var options = ClientOptions.patient(attempts: 3)
        options.timeout = scaled(300)
        for begin in ["", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"] {
            let listener = try trial.listen()
            let began = now()
            let fetching = try trial.fetch([Asked(url: listener.url())], options, at: listener)
            let (connection, _) = try fetching.acceptRequest()
            // Should this come too late on a busy machine, the silence was longer still.
            _ = try? connection.answer(begin)
            let shown = begin.isEmpty ? say("no answer", "没有回答") : quoted(Array(begin.utf8.suffix(20)))
            try fetching.expect(error: "timedOut", say("\(shown), and then silence", "\(shown)，然后沉默"))
            let took = Int(now() - began) / 1_000_000
            guard took + 20 >= options.timeout else {
                throw Failure(
                    expected: say("it waits for \(options.timeout) ms", "等待 \(options.timeout) 毫秒"),
                    got: say("it gave up after \(took) ms", "\(took) 毫秒后就放弃了"), cause: "wait-cut-short")
            }
            try fetching.expectConnections(
                1, say("a wait that was too long is not repeated", "等得太久不再重试"), cause: "repeated-in-vain")
            try connection.expectClosed(say("the time is over", "时间到了"))
        }
        // Nor does an interrupted wait begin anew, however often.
        let listener = try trial.listen()
        let interrupted = try trial.fetch(
            [Asked(url: listener.url())], options, at: listener, plan: .fail(.waitReady, every: 1, with: EINTR))
        _ = try interrupted.acceptRequest()
        try interrupted.expect(
            error: "timedOut", say("silence, and every wait is interrupted", "沉默，而且每次等待都被打断"),
            cause: "timeout-begins-anew")
        // Slow is not silent: bytes come one by one, each well within the limit, all of them over it.
        options.timeout = scaled(3000)
        let slow = try trial.fetch([Asked(url: listener.url())], options, at: listener)
        let (connection, _) = try slow.acceptRequest()
        for byte in Array("HTTP/1.1 200 OK\r\n".utf8) {
            try connection.answer([byte])
            poll(nil, 0, Int32(scaled(250)))  // a slow server is what is played here
        }
        try connection.answer("Content-Length: 2\r\n\r\nok")
        try slow.expect(200, "ok", cause: "timeout-does-not-start-again")
    },
    Check("client-total-timeout", suspects: [.noDeadline]) { trial in
        var options = ClientOptions.patient()
        options.timeout = scaled(60_000)
        options.totalTimeout = scaled(700)
        let listener = try trial.listen()
        let fetching = try trial.fetch([Asked(url: listener.url())], options, at: listener)
        let (connection, _) = try fetching.acceptRequest()
        _ = try? connection.answer("HTTP/1.1 200 OK\r\n\r\n")
        // A byte now and then, for ever: no single wait is long.
        let deadline = Deadline()
        let expected = say(
            "totalTimeout 700 ms, a byte every 50 ms for ever", "totalTimeout 为 700 毫秒，每 50 毫秒来一个字节，永不结束")
        while try !fetching.call.isOver(within: 0.05), (try? connection.answer([120])) != nil {
            guard deadline.hasPassed else { continue }
            throw Failure(
                expected: "timedOut: \(expected)", got: say("it is still reading", "它还在读"), cause: "no-total-timeout")
        }
        try fetching.expect(error: "timedOut", expected, cause: "no-total-timeout")
    },
    Check("client-connect-timeout", suspects: [.noDeadline]) { trial in
        var options = ClientOptions.patient()
        options.timeout = scaled(300)
        let full = try trial.fullListener()
        let listener = try trial.listen()
        let fetching = try trial.fetch([Asked(url: "http://\(full.address)/")], options, at: listener)
        try fetching.expect(
            error: "cannotConnect(code: \(ETIMEDOUT))", say("nobody answers the handshake", "没有人回应握手"),
            cause: nil)
    },
    Check("client-send-timeout", suspects: [.noDeadline, .onlySends]) { trial in
        var options = ClientOptions.patient()
        options.timeout = scaled(500)
        let listener = try trial.listen(smallBuffers: true)
        let fetching = try trial.fetch(
            [.bytes(listener.url(), [UInt8](repeating: 120, count: 16 << 20))], options, at: listener)
        _ = try fetching.accept()
        try fetching.expect(error: "timedOut", say("a server that reads nothing", "服务器什么也不读"))
    },
]
