// Lesson 08, client: redirects, repetitions, kept connections, time limits.
import Course
import GraderKit
import Sockets
import Wire

let okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
let okAnswerAndClose = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"

func redirectingAnswer(_ status: Int, _ location: String) -> String {
    "HTTP/1.1 \(status) Elsewhere\r\nLocation: \(location)\r\nConnection: close\r\nContent-Length: 4\r\n\r\ngone"
}

func failedAnswer(_ status: Int, _ field: String = "X-A: b") -> String {
    "HTTP/1.1 \(status) Not Now\r\n\(field)\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno!"
}

// MARK: - Redirects

let lesson08ClientRedirects: [Check] = [
    Check("client-redirects", suspects: [.awaitsTheEnd]) { trial in
        // RFC 9110 section 15.4.
        let rules = [
            (301, "GET", "GET"), (302, "GET", "GET"), (303, "GET", "GET"), (307, "GET", "GET"), (308, "GET", "GET"),
            (301, "POST", "GET"), (302, "POST", "GET"), (303, "POST", "GET"), (303, "PUT", "GET"),
            (307, "POST", "POST"), (308, "POST", "POST"), (301, "PUT", "PUT"), (302, "DELETE", "DELETE"),
            (303, "HEAD", "HEAD"), (301, "HEAD", "HEAD"),
        ]
        for (status, method, next) in rules {
            let listener = try trial.listen()
            let hasBody = method == "POST" || method == "PUT"
            let asked =
                hasBody
                ? Asked.form(listener.url("/old"), [("a", "b")], method: method)
                : Asked(method: method, url: listener.url("/old"))
            let fetching = try trial.fetch([asked], at: listener)
            try fetching.serve(redirectingAnswer(status, listener.url("/new?x=1")))
            let request = try fetching.serve(okAnswerAndClose, cause: "redirect-not-followed")
            let rule = say("after \(status), \(method) becomes", "收到 \(status) 后，\(method) 变成")
            let cause = next == "GET" && request.method == method ? "redirect-keeps-post" : "redirect-changes-method"
            try trial.expect(request.method, equals: next, rule, cause: cause)
            try trial.expect(request.target, equals: "/new?x=1", say("the new target", "新的目标"))
            if hasBody && next == method {
                try trial.expect(
                    String(decoding: request.body, as: UTF8.self), equals: "a=b", say("the body, again", "再次发出的消息体"),
                    cause: "redirect-loses-body")
                try trial.expect(
                    request.values("content-type"), equals: ["application/x-www-form-urlencoded"], "Content-Type")
            }
            if hasBody && next == "GET" {
                guard request.body.isEmpty, !request.has("content-type"), !request.has("content-length") else {
                    throw Failure(
                        expected: say("a GET without a body, and without its fields", "不带消息体、也不带消息体字段的 GET"),
                        got: request.fields.map { "\($0.name): \($0.value)" }.joined(separator: ", "),
                        cause: "redirect-keeps-post")
                }
            }
            let reply = try fetching.reply()
            try fetching.expect(reply, 200, method == "HEAD" ? [] : Array("ok".utf8))
            if case .response(_, _, _, let url, _) = reply {
                try trial.expect(url, equals: listener.url("/new?x=1"), say("the URL of the answer", "回答的 URL"))
            }
        }
    },
    Check("client-redirect-relative") { trial in
        let cases = [
            ("/d/e/f?q=1", "/x/y", "/x/y"), ("/d/e/f?q=1", "g", "/d/e/g"), ("/d/e/f?q=1", "../g?z", "/d/g?z"),
            ("/d/e/f?q=1", "?r=2", "/d/e/f?r=2"), ("/d/e/f", "./g/", "/d/e/g/"), ("/d/e/", "..", "/d/"),
            ("/d", "../../up", "/up"), ("/d/e/f", "g#part", "/d/e/g"), ("/d", "/x?u=http://h/", "/x?u=http://h/"),
            ("/d", "//AUTHORITY/z", "/z"), ("/d", "HTTP://AUTHORITY/Z", "/Z"), ("/d", "http://AUTHORITY", "/"),
            ("/d/e/f?q=1", "#part", "/d/e/f?q=1"), ("/d", "/wow!~?!", "/wow!~?!"),
        ]
        for (from, location, to) in cases {
            let listener = try trial.listen()
            let fetching = try trial.fetch([Asked(url: listener.url(from))], at: listener)
            try fetching.serve(redirectingAnswer(302, location.replacingAll("AUTHORITY", by: listener.authority)))
            let request = try fetching.serve(okAnswerAndClose, cause: "location-not-resolved")
            try trial.expect(
                request.target, equals: to,
                say("from \(from), Location: \(location) leads to", "从 \(from) 出发，Location: \(location) 指向"),
                cause: "location-not-resolved")
            try fetching.expect(200, "ok")
        }
    },
    Check("client-redirect-loop") { trial in
        let listener = try trial.listen()
        let fetching = try trial.fetch([Asked(url: listener.url("/0"))], .patient(redirects: 3), at: listener)
        for hop in 0...3 {
            let request = try fetching.serve(redirectingAnswer(302, "/\(hop + 1)"))
            try trial.expect(request.target, equals: "/\(hop)", say("redirect \(hop)", "第 \(hop) 次重定向"))
        }
        // A fourth one is not followed.
        if let (connection, request) = try fetching.requestOrReturn() {
            connection.close()
            throw Failure(
                expected: say("at most 3 redirects are followed", "最多跟随 3 次重定向"),
                got: say("it asked for \(request.target)", "它又请求了 \(request.target)"), cause: "redirects-without-end")
        }
        try fetching.expect(error: "tooManyRedirects", say("a fourth redirect", "第四次重定向"))
        // As many as are allowed.
        let enough = try trial.fetch([Asked(url: listener.url("/0"))], .patient(redirects: 3), at: listener)
        for hop in 0..<3 { try enough.serve(redirectingAnswer(307, "/\(hop + 1)")) }
        try enough.serve(okAnswerAndClose)
        try enough.expect(200, "ok")
        // None: a redirect is an answer like any other. So is one that leads nowhere.
        let none = try trial.fetch([Asked(url: listener.url("/0"))], .patient(redirects: 0), at: listener)
        try none.serve(redirectingAnswer(302, "/1"))
        try none.expect(302, "gone")
        let nowhere = try trial.fetch([Asked(url: listener.url("/0"))], at: listener)
        try nowhere.serve("HTTP/1.1 302 Found\r\nContent-Length: 5\r\nConnection: close\r\n\r\nwhere")
        try nowhere.expect(302, "where")
    },
    Check("client-redirect-origin") { trial in
        let (first, second) = (try trial.listen(), try trial.listen())
        let asked = Asked(
            url: first.url("/private"),
            fields: [("Authorization", "Basic c2VjcmV0"), ("Cookie", "id=7"), ("Accept", "text/*")])
        let fetching = try trial.fetch([asked], at: first)
        let one = try fetching.serve(redirectingAnswer(302, "/same"))
        try trial.expect(one.values("authorization"), equals: ["Basic c2VjcmV0"], "Authorization")
        let two = try fetching.serve(redirectingAnswer(307, second.url("/other")))
        try trial.expect(
            two.values("authorization"), equals: ["Basic c2VjcmV0"],
            say("Authorization, at the same host and port", "同一主机和端口的 Authorization"), cause: "credentials-lost")
        let elsewhere = Fetching(trial: trial, call: fetching.call, listener: second)
        let three = try elsewhere.serve(okAnswerAndClose)
        try trial.expect(three.values("accept"), equals: ["text/*"], "Accept")
        for name in ["Authorization", "Cookie"] where three.has(name) {
            throw Failure(
                expected: say("no \(name) for another host or port", "不把 \(name) 带给别的主机或端口"),
                got: "\(name): \(three.values(name.lowercased()).joined())", cause: "credentials-sent-elsewhere")
        }
        try fetching.expect(200, "ok")
        let secure = try trial.fetch([Asked(url: first.url("/tls"))], at: first)
        try secure.serve(redirectingAnswer(301, "https://\(first.authority)/tls"))
        try secure.expect(error: "unsupportedScheme", say("a redirect to https", "重定向到 https"), cause: "scheme-ignored")
    },
]

// MARK: - Repetitions

let lesson08ClientRetries: [Check] = [
    Check("client-retries", suspects: [.awaitsTheEnd]) { trial in
        for (status, method) in [
            (429, "GET"), (500, "HEAD"), (502, "PUT"), (503, "DELETE"), (504, "GET"), (503, "OPTIONS"),
        ] {
            let listener = try trial.listen()
            let fetching = try trial.fetch(
                [Asked(method: method, url: listener.url("/r"))], .patient(attempts: 2), at: listener)
            try fetching.serve(failedAnswer(status))
            let again = try fetching.serve(okAnswerAndClose, cause: "never-repeated")
            try trial.expect(
                again.method, equals: method, say("the second attempt after \(status)", "\(status) 之后的第二次尝试"))
            try fetching.expect(200, method == "HEAD" ? "" : "ok")
        }
        // The last answer is the answer, with its body.
        let listener = try trial.listen()
        let fetching = try trial.fetch([Asked(url: listener.url())], .patient(attempts: 3), at: listener)
        for _ in 0..<3 { try fetching.serve(failedAnswer(503), cause: "never-repeated") }
        try fetching.expect(503, "no!")
        try fetching.expectConnections(3, say("3 attempts", "3 次尝试"), cause: "repeated-too-often")
        // What is no sign of a passing trouble is not repeated.
        for status in [400, 404, 501, 505] {
            let final = try trial.listen()
            let once = try trial.fetch([Asked(url: final.url())], .patient(attempts: 3), at: final)
            try once.serve(failedAnswer(status))
            if let (connection, _) = try once.requestOrReturn() {
                connection.close()
                throw Failure(
                    expected: say("\(status) is not repeated", "\(status) 不重试"), got: say("a second attempt", "第二次尝试"),
                    cause: "repeated-in-vain")
            }
            try once.expect(status, "no!")
        }
    },
    Check("client-back-off") { trial in
        let listener = try trial.listen()
        let base = scaled(100)
        let fetching = try trial.fetch([Asked(url: listener.url())], .patient(attempts: 4, backOff: base), at: listener)
        var answered: UInt64 = 0
        for attempt in 1...4 {
            let (connection, _) = try fetching.acceptRequest(cause: "never-repeated")
            let arrived = now()
            if attempt > 1 {
                let least = base << (attempt - 2)
                let waited = Int(arrived - answered) / 1_000_000
                guard waited >= least else {
                    throw Failure(
                        expected: say(
                            "backOff \(base) ms: attempt \(attempt) comes \(least) ms or more after the answer before",
                            "backOff 为 \(base) 毫秒：第 \(attempt) 次尝试在上一次的回答之后至少 \(least) 毫秒"),
                        got: say("after \(waited) ms", "\(waited) 毫秒后"),
                        cause: attempt == 2 ? "no-back-off" : "back-off-does-not-grow")
                }
            }
            answered = now()
            try connection.answer(attempt == 4 ? okAnswerAndClose : failedAnswer(503))
            connection.close()
        }
        try fetching.expect(200, "ok")
    },
    Check("client-jitter") { trial in
        // 12 waits of 300 ms and up to as much again: 9 of them within 30 ms of the shortest, once in 100,000 times. A
        // busy machine makes some waits longer, and most of them not.
        var waits: [Int] = []
        for _ in 0..<12 {
            let listener = try trial.listen()
            let fetching = try trial.fetch(
                [Asked(url: listener.url())], .patient(attempts: 2, backOff: 300), at: listener)
            try fetching.serve(failedAnswer(503))
            try fetching.serve(okAnswerAndClose, cause: "never-repeated")
            try fetching.expect(200, "ok")
            waits.append(try fetching.waitBetweenConnections())
        }
        waits.sort()
        guard waits[8] - waits[0] > 30 else {
            throw Failure(
                expected: say("backOff 300 ms, 12 times: waits that differ", "backOff 为 300 毫秒，做 12 次：等待时间各不相同"),
                got: waits.map { "\($0)" }.joined(separator: ", ") + " ms", cause: "no-jitter")
        }
    },
    Check("client-retry-after") { trial in
        // Seconds.
        let listener = try trial.listen()
        let fetching = try trial.fetch([Asked(url: listener.url())], .patient(attempts: 2), at: listener)
        // Read before the answer goes out: behind it the client may have begun to wait long ago.
        let (refused, _) = try fetching.acceptRequest()
        let answered = now()
        try refused.answer(failedAnswer(503, "Retry-After: 1"))
        refused.close()
        try fetching.serve(okAnswerAndClose, cause: "never-repeated")
        let waited = Int(now() - answered) / 1_000_000
        guard waited >= 990 else {
            throw Failure(
                expected: say("after Retry-After: 1 it waits for a second", "Retry-After: 1 之后等 1 秒"),
                got: "\(waited) ms", cause: "retry-after-ignored")
        }
        try fetching.expect(200, "ok")
        // A date.
        let date = Int(time(nil)) + 2
        let dated = try trial.fetch([Asked(url: listener.url())], .patient(attempts: 2), at: listener)
        try dated.serve(failedAnswer(429, "Retry-After: \(formatted(date, "%a, %d %b %Y %H:%M:%S GMT"))"))
        try dated.serve(okAnswerAndClose, cause: "never-repeated")
        // The clock that both sides have; a wait that is rounded to milliseconds may end in the last one.
        var clock = timespec()
        clock_gettime(CLOCK_REALTIME, &clock)
        let early = (date - Int(clock.tv_sec)) * 1000 - Int(clock.tv_nsec) / 1_000_000
        guard early <= 10 else {
            throw Failure(
                expected: say("no attempt before the date of Retry-After", "在 Retry-After 的日期之前不重试"),
                got: say("it came \(early) ms early", "早了 \(early) 毫秒"), cause: "retry-after-ignored")
        }
        try dated.expect(200, "ok")
        // A date that has passed, and one that is none: its own back-off.
        for value in ["Wed, 01 Jan 2020 00:00:00 GMT", "soon"] {
            let past = try trial.fetch([Asked(url: listener.url())], .patient(attempts: 2), at: listener)
            try past.serve(failedAnswer(503, "Retry-After: \(value)"))
            try past.serve(okAnswerAndClose, cause: "never-repeated")
            try past.expect(200, "ok")
        }
        // Longer than we want to wait: the answer is the answer.
        for value in ["3600", "99999999999999999999", formatted(Int(time(nil)) + 86_400, "%a, %d %b %Y %H:%M:%S GMT")] {
            let long = try trial.fetch([Asked(url: listener.url())], .patient(attempts: 2), at: listener)
            try long.serve(failedAnswer(503, "Retry-After: \(value)"))
            let reply = try long.reply(
                say(
                    "longestWait 10 s, Retry-After: \(value): it returns the 503",
                    "longestWait 为 10 秒，Retry-After: \(value)：返回 503"))
            try long.expect(reply, 503, Array("no!".utf8), cause: "waits-past-the-limit")
        }
    },
    Check("client-not-twice") { trial in
        // Nobody knows whether the order was placed.
        let listener = try trial.listen()
        let refused = try trial.fetch(
            [.form(listener.url("/order"), [("n", "1")])], .patient(attempts: 3), at: listener)
        try refused.serve(failedAnswer(503))
        try refused.expectNoMore(say("a POST is sent once, whatever the answer", "POST 只发一次，无论得到什么回答"))
        try refused.expect(503, "no!")
        let broken = try trial.fetch([.form(listener.url("/order"), [("n", "1")])], .patient(attempts: 3), at: listener)
        try broken.serve("")
        try broken.expectNoMore(say("a POST is sent once, also if no answer comes", "POST 只发一次，没有回答也一样"))
        try broken.expect(error: "cutShort", say("the connection ends before the answer", "连接在回答之前结束"))
    },
    Check("client-retries-broken") { trial in
        for isReset in [false, true] {
            for begin in ["", "HTTP/1.1 200 OK\r\nContent-Le"] {
                let listener = try trial.listen()
                let fetching = try trial.fetch([Asked(url: listener.url())], .patient(attempts: 3), at: listener)
                for _ in 0..<2 {
                    let (connection, _) = try fetching.acceptRequest(cause: "never-repeated")
                    try connection.answer(begin)
                    if isReset { connection.peer.reset() } else { connection.close() }
                }
                try fetching.serve(okAnswerAndClose, cause: "never-repeated")
                try fetching.expect(200, "ok")
            }
        }
        // A part of the body is with the caller already: it must not get the beginning a second time.
        let listener = try trial.listen()
        let fetching = try trial.fetch([Asked(url: listener.url())], .patient(attempts: 3), at: listener)
        try fetching.serve("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        try fetching.expectNoMore(say("an answer that has begun is not asked for again", "已经开始的回答不再重新请求"))
        try fetching.expect(error: "cutShort", say("the connection ends in the body", "连接在消息体中间结束"))
        // Nobody there: as many attempts.
        let nobody = try trial.boundStream()
        let vain = try trial.fetch([Asked(url: "http://\(nobody.address)/")], .patient(attempts: 3), at: listener)
        try vain.expect(error: "cannotConnect(code: \(ECONNREFUSED))", say("nobody listens there", "那里没有人监听"))
        let attempts = vain.call.subject.timeline.connections(to: nobody.address).count
        try trial.expect(attempts, equals: 3, say("how often it tried to connect", "尝试连接的次数"), cause: "never-repeated")
    },
]

extension Fetching {
    /// Milliseconds from the last byte that came over the first connection to the second connection, as the program saw it.
    fileprivate func waitBetweenConnections() throws -> Int {
        let calls = call.subject.timeline.calls
        let connects = call.subject.timeline.connections(to: listener.address)
        guard connects.count == 2,
            let end = calls.last(where: {
                $0.isReceive && $0.result > 0 && $0.descriptor == connects[0].descriptor
                    && $0.entered < connects[1].entered
            })?.returned
        else {
            throw Failure(
                expected: say("one connection for each of two attempts", "两次尝试各用一个连接"),
                got: say("\(connects.count) connections", "\(connects.count) 个连接"))
        }
        return Int(connects[1].entered - min(end, connects[1].entered)) / 1_000_000
    }

    /// No further request comes before the function returns.
    fileprivate func expectNoMore(_ sentence: String) throws {
        guard let (connection, request) = try requestOrReturn() else { return }
        connection.close()
        throw Failure(
            expected: sentence,
            got: say("a second \(request.method) \(request.target)", "又来了一个 \(request.method) \(request.target)"),
            cause: request.method == "POST" ? "post-repeated" : "repeated-in-vain")
    }
}

private func formatted(_ seconds: Int, _ form: String) -> String {
    var (time, parts) = (time_t(seconds), tm())
    gmtime_r(&time, &parts)
    var text = [CChar](repeating: 0, count: 64)
    let count = strftime(&text, text.count, form, &parts)
    return String(decoding: text.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
