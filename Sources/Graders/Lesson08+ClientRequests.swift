// Lesson 08, client: what goes out, and to whom.
import Course
import GraderKit
import Sockets
import Wire

private let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

let lesson08ClientRequests: [Check] = [
    Check("client-get", suspects: [.awaitsTheEnd]) { trial in
        let listener = try trial.listen()
        let fetching = try trial.fetch(
            [Asked(url: listener.url("/a!/b%20c?x=1&y=%26~#part"), fields: [("X-Course", "sockets")])], at: listener)
        let (connection, request) = try fetching.acceptRequest()
        try trial.expect(request.method, equals: "GET", say("the method", "方法"))
        try trial.expect(
            request.target, equals: "/a!/b%20c?x=1&y=%26~", say("the path and query that go out", "发出的路径和查询"),
            cause: request.target.contains("#") ? "fragment-sent" : nil)
        try trial.expect(request.values("x-course"), equals: ["sockets"], say("the field X-Course", "字段 X-Course"))
        guard !request.has("content-length"), !request.has("transfer-encoding") else {
            throw Failure(
                expected: say("a GET without a body says nothing of one", "没有消息体的 GET 不提消息体"),
                got: request.values("content-length").joined())
        }
        // The connection stays open: the length says where the answer ends.
        try connection.answer("HTTP/1.1 200 All Right\r\nX-Two: a\r\ncontent-length: 5\r\nX-Two:  b \r\n\r\nhello")
        let reply = try fetching.reply(
            say("it returns when 5 bytes of body are there", "收到 5 字节消息体后返回"))
        try fetching.expect(reply, 200, Array("hello".utf8))
        guard case .response(_, let reason, let fields, let url, _) = reply else { return }
        try trial.expect(reason, equals: "All Right", say("the reason", "原因短语"))
        try trial.expect(
            fields.filter { $0[0].lowercased() == "x-two" }.map { $0[1] }, equals: ["a", "b"],
            say("the values of X-Two, in their order", "X-Two 的各个值，按顺序"))
        guard url.hasPrefix(listener.url("/a!/b%20c")) else {
            throw Failure(expected: say("the URL of the answer", "回答的 URL"), got: url)
        }
    },
    Check("client-root") { trial in
        for end in ["", "/", "?q=1"] {
            let listener = try trial.listen()
            let fetching = try trial.fetch([Asked(url: "http://" + listener.authority + end)], at: listener)
            let request = try fetching.serve(ok)
            let expected = end.isEmpty ? "/" : end == "/" ? "/" : "/?q=1"
            try trial.expect(
                request.target, equals: expected,
                say("what is asked for at http://host\(end)", "http://host\(end) 请求的目标"))
            try fetching.expect(200, "ok")
        }
    },
    Check("client-form", suspects: [.awaitsTheEnd]) { trial in
        let listener = try trial.listen()
        let pairs = [
            ("name", "Ada Lovelace"), ("q", "a&b=c+d%e"), ("city", "北京"), ("safe", "AZaz09*-._"), ("~tilde!", ""),
            ("line", "1\r\n2"),
        ]
        let fetching = try trial.fetch([.form(listener.url("/form"), pairs)], at: listener)
        let (connection, request) = try fetching.acceptRequest()
        try trial.expect(request.method, equals: "POST", say("the method", "方法"))
        try trial.expect(
            request.values("content-type"), equals: ["application/x-www-form-urlencoded"], "Content-Type")
        let expected =
            "name=Ada+Lovelace&q=a%26b%3Dc%2Bd%25e&city=%E5%8C%97%E4%BA%AC&safe=AZaz09*-._&%7Etilde%21=&line=1%0D%0A2"
        let got = String(decoding: request.body, as: UTF8.self)
        let cause =
            got == expected.replacingAll("+", by: "%20") ? "space-in-form" : got.contains("北京") ? "not-escaped" : nil
        guard got == expected else {
            throw Failure(
                expected: expected, got: got,
                difference: byteDifference(expected: Array(expected.utf8), got: request.body), cause: cause)
        }
        try connection.answer(ok)
        try fetching.expect(200, "ok")
    },
    Check("client-json", suspects: [.awaitsTheEnd]) { trial in
        let listener = try trial.listen()
        let json = #"{"课":"套接字","n":1,"s":"\"quoted\"\n"}"#
        let fetching = try trial.fetch([.json(listener.url("/json"), json)], at: listener)
        let (connection, request) = try fetching.acceptRequest()
        try trial.expect(
            request.values("content-type").map { $0.prefix { $0 != ";" } }, equals: ["application/json"],
            "Content-Type")
        guard request.body == Array(json.utf8) else {
            throw Failure(
                expected: say(
                    "the JSON text as the body, \(json.utf8.count) bytes", "消息体就是这段 JSON，\(json.utf8.count) 字节"),
                got: quoted(request.body, most: 60),
                difference: byteDifference(expected: Array(json.utf8), got: request.body),
                cause: request.body.count == json.count ? "characters-counted" : nil)
        }
        try connection.answer(ok)
        try fetching.expect(200, "ok")
        // Nothing to send is said, too: the server need not guess.
        let empty = try trial.fetch([Asked(method: "POST", url: listener.url("/empty"))], at: listener)
        let none = try empty.serve(ok)
        try trial.expect(
            none.values("content-length"), equals: ["0"],
            say("the Content-Length of a POST without a body", "没有消息体的 POST 的 Content-Length"))
        try empty.expect(200, "ok")
    },
    Check("client-large-post", suspects: [.shortSend, .awaitsTheEnd]) { trial in
        let listener = try trial.listen(smallBuffers: true)
        let body = trial.random.bytes(512 << 10)
        let fetching = try trial.fetch([.bytes(listener.url("/large"), body)], at: listener)
        let (connection, request) = try fetching.acceptRequest()
        guard request.body == body else {
            throw Failure(
                expected: say("the body of 512 KiB as it was given", "512 KiB 的消息体原样发出"),
                got: quoted(request.body), difference: byteDifference(expected: body, got: request.body))
        }
        try connection.answer(ok)
        try fetching.expect(200, "ok")
    },
    Check("client-early-answer", suspects: [.onlySends]) { trial in
        let listener = try trial.listen(smallBuffers: true)
        let fetching = try trial.fetch(
            [.bytes(listener.url("/large"), [UInt8](repeating: 120, count: 16 << 20))], at: listener)
        let connection = try fetching.accept()
        _ = try connection.head(host: listener.authority)
        // The server has seen enough, and reads no more.
        try connection.answer(
            "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 8\r\n\r\ntoo much")
        try fetching.expect(413, "too much")
    },
    Check("client-peer-leaves", suspects: [.breakUnnoticed]) { trial in
        let listener = try trial.listen(smallBuffers: true)
        let fetching = try trial.fetch(
            [.bytes(listener.url("/large"), [UInt8](repeating: 120, count: 16 << 20))], at: listener)
        let connection = try fetching.accept()
        _ = try connection.head(host: listener.authority)
        // A reset behind the end of the stream: send fails with EPIPE.
        connection.peer.halfClose()
        connection.peer.reset()
        try fetching.expect(error: "cutShort", say("the server leaves in the middle of the request", "服务器在请求发到一半时离开"))
    },
    Check("client-own-fields") { trial in
        let listener = try trial.listen()
        let request = Asked(
            method: "PUT", url: listener.url("/host"), fields: [("Host", "example.org"), ("content-type", "text/csv")],
            body: .list([.string("bytes"), .bytes(Array("a,b".utf8)), .string("text/plain")]))
        let fetching = try trial.fetch([request], at: listener)
        let connection = try fetching.accept()
        let got = try connection.request(host: "example.org")
        try trial.expect(
            got.values("content-type"), equals: ["text/csv"], say("the Content-Type that was given", "给定的 Content-Type")
        )
        try connection.answer(ok)
        try fetching.expect(200, "ok")
        for name in ["Content-Length", "Transfer-Encoding", "connection"] {
            let refused = try trial.fetch([Asked(url: listener.url(), fields: [(name, "7")])], at: listener)
            try refused.expect(
                error: "badField", say("the caller gives \(name)", "调用者给出 \(name)"), cause: "framing-by-the-caller")
        }
    },
    Check("client-injection") { trial in
        let listener = try trial.listen()
        let before = listener.url("/a")
        let urls = [
            before + "\r\nX-Evil: 1", before + "\nX: 1", before + " HTTP/1.1", before + "\u{1}", before + "\u{7f}",
        ]
        for url in urls {
            let fetching = try trial.fetch([Asked(url: url)], at: listener)
            try fetching.expect(
                error: "badURL",
                say("the URL \(quoted(Array(url.utf8), most: 60))", "URL 为 \(quoted(Array(url.utf8), most: 60))"),
                cause: "request-injected")
        }
        for field in [
            ("X-A", "b\r\nX-Evil: 1"), ("X-A", "b\nc"), ("X-A", "b\0"), ("X A", "b"), ("X-A:", "b"), ("", "b"),
        ] {
            let fetching = try trial.fetch([Asked(url: before, fields: [field])], at: listener)
            let shown = quoted(Array("\(field.0): \(field.1)".utf8), most: 40)
            try fetching.expect(error: "badField", say("the field \(shown)", "字段 \(shown)"), cause: "request-injected")
        }
        let method = try trial.fetch([Asked(method: "GET / HTTP/1.1\r\nX-Evil:", url: before)], at: listener)
        try method.expect(error: "badField", say("a method with a line in it", "方法里带着一整行"), cause: "request-injected")
    },
    Check("client-urls") { trial in
        let listener = try trial.listen()
        for url in [
            "", "/path", "127.0.0.1", "http:/x", "http://", "http://:80/", "http://user:pw@127.0.0.1/",
            "http://127.0.0.1:65536/", "http://127.0.0.1:8x/", "http://[::1/", "http://a b/",
        ] {
            let fetching = try trial.fetch([Asked(url: url)], at: listener)
            try fetching.expect(error: "badURL", say("the URL \"\(url)\"", "URL 为“\(url)”"))
        }
        for url in [
            "https://\(listener.authority)/", "ftp://\(listener.authority)/", "HTTPS://127.0.0.1/",
            "git+ssh://127.0.0.1/", "h2://127.0.0.1/",
        ] {
            let fetching = try trial.fetch([Asked(url: url)], at: listener)
            try fetching.expect(
                error: "unsupportedScheme", say("the URL \(url)", "URL 为 \(url)"), cause: "scheme-ignored")
        }
        // The scheme's case does not matter.
        let upper = try trial.fetch([Asked(url: "HTTP://" + listener.authority)], at: listener)
        try upper.serve(ok)
        try upper.expect(200, "ok")
    },
    Check("client-ipv6") { trial in
        try trial.needsLoopback("::1")
        let listener = try trial.listen(host: "::1")
        let fetching = try trial.fetch([Asked(url: listener.url("/six"))], at: listener)
        try fetching.serve(ok)
        try fetching.expect(200, "ok")
    },
    Check("client-addresses", suspects: [.noSocketError, .firstAddressOnly]) { trial in
        // The first address of the name refuses, the second one answers.
        let listener = try trial.listen()
        let host = "localhost:\(listener.address.port)"
        let refused = try trial.fetch(
            [Asked(url: "http://\(host)/")], at: listener, plan: .resolves(also: "127.0.0.2"))
        let connection = try refused.accept(cause: "first-address-only")
        _ = try connection.request(host: host)
        try connection.answer(ok)
        try refused.expect(200, "ok", cause: "first-address-only")
        try trial.expectListsFreed(refused.call.subject)
        // There is no way to the first one: connect fails at once.
        let unreachable = try trial.fetch(
            [Asked(url: "http://\(host)/")], at: listener,
            plan: .resolves(also: "127.0.0.2") + .fail(.connect, 1, with: ENETUNREACH))
        let other = try unreachable.accept(cause: "first-address-only")
        _ = try other.request(host: host)
        try other.answer(ok)
        try unreachable.expect(200, "ok", cause: "first-address-only")
        // The first address does not even refuse: packets to it disappear.
        let full = try FullListener(host: "127.0.0.3", port: listener.address.port)
        var options = ClientOptions.patient()
        options.timeout = scaled(2000)
        let silent = try trial.fetch(
            [Asked(url: "http://\(host)/")], options, at: listener, plan: .resolves(also: full.address.host))
        // Who goes on when an address refuses, and not here, has used up the time.
        let second = try silent.accept(cause: "one-limit-for-all-addresses")
        _ = try second.request(host: host)
        try second.answer(ok)
        try silent.expect(200, "ok", cause: "one-limit-for-all-addresses")
    },
    Check("client-refused", suspects: [.noSocketError, .firstAddressOnly]) { trial in
        let listener = try trial.listen()
        let nobody = try trial.boundStream()
        let fetching = try trial.fetch([Asked(url: "http://\(nobody.address)/")], at: listener)
        try fetching.expect(
            error: "cannotConnect(code: \(ECONNREFUSED))", say("nobody listens there", "那里没有人监听"))
        let far = try trial.fetch(
            [Asked(url: "http://\(nobody.address)/")], at: listener, plan: .fail(.connect, every: 1, with: ENETUNREACH))
        try far.expect(error: "cannotConnect(code: \(ENETUNREACH))", say("there is no way there", "没有路可达"))
        let unknown = try trial.fetch(
            [Asked(url: "http://\(listener.authority)/")], at: listener,
            plan: FaultPlan(["resolve:errno=\(EAI_NONAME)"]))
        // Who connects to a numeric address need not look it up.
        if let (connection, _) = try unknown.requestOrReturn() {
            try connection.answer(ok)
            try unknown.expect(200, "ok")
        } else {
            try unknown.expect(error: "cannotConnect(code: 0)", say("the name is not known", "名字查不到"))
        }
    },
]

extension String {
    func replacingAll(_ part: String, by other: String) -> String {
        split(separator: part, omittingEmptySubsequences: false).joined(separator: other)
    }
}
