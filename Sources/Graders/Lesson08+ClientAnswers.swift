// Lesson 08, client: where an answer ends, and what is no answer.
import Course
import GraderKit
import Sockets
import Wire

let lesson08ClientAnswers: [Check] = [
    Check("client-pieces", suspects: [.oneReceiveIsOneMessage, .awaitsTheEnd]) { trial in
        let body = trial.random.bytes(300)
        let answer = Array("HTTP/1.1 200 OK\r\nContent-Type: x/y\r\nContent-Length: 300\r\n\r\n".utf8) + body
        // Cut where the head ends, in the middle of its end, in the middle of the body.
        let listener = try trial.listen()
        let fetching = try trial.fetch([Asked(url: listener.url())], at: listener)
        let (connection, _) = try fetching.acceptRequest()
        let head = answer.count - body.count
        let cuts = [0, 1, 12, head - 3, head - 1, head, head + 1, head + 150, answer.count]
        for (start, end) in zip(cuts, cuts.dropFirst()) {
            try connection.answer(Array(answer[start..<end]))
            _ = try fetching.call.subject.waitForTimeline(until: Deadline(in: 1)) { timeline in
                timeline.bytesReceived >= end ? true : nil
            }
        }
        try fetching.expect(try fetching.reply(), 200, body)
        // And byte by byte.
        let single = try trial.fetch([Asked(url: listener.url())], at: listener, plan: .most(1, each: .receive))
        let (again, _) = try single.acceptRequest()
        try again.answer(answer)
        try single.expect(try single.reply(), 200, body)
    },
    Check("client-chunked", suspects: [.awaitsTheEnd]) { trial in
        let listener = try trial.listen()
        let body = trial.random.bytes(5000)
        let sizes = [1, 10, 16, 173, 4800]
        var chunks: [UInt8] = []
        var start = 0
        for (index, size) in sizes.enumerated() {
            let digits = String(size, radix: 16, uppercase: index % 2 == 0)
            let more = [";name=value", "", " ; a=\"b\"", "", ""][index]
            chunks +=
                Array(((index == 1 ? "00" : "") + digits + more + "\r\n").utf8) + body[start..<start + size] + [13, 10]
            start += size
        }
        let head = Array("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n".utf8)
        let end = Array("0\r\nX-Trailer: yes\r\nX-Other: no\r\n\r\n".utf8)
        let answer = head + chunks + end
        for round in 0..<4 {
            let plan: FaultPlan? = round == 3 ? .most(1, each: .receive) : nil
            let fetching = try trial.fetch([Asked(url: listener.url())], at: listener, plan: plan)
            let (connection, _) = try fetching.acceptRequest()
            let before = fetching.call.subject.timeline.bytesReceived
            let cut = round == 0 || round == 3 ? answer.count : Int.random(in: 1..<answer.count, using: &trial.random)
            try connection.answer(Array(answer[..<cut]))
            if cut < answer.count {
                _ = try fetching.call.subject.waitForTimeline(until: Deadline(in: 1)) { timeline in
                    timeline.bytesReceived - before >= cut ? true : nil
                }
                try connection.answer(Array(answer[cut...]))
            }
            let reply = try fetching.reply(
                say("it returns at the last chunk: the connection stays open", "在最后一块处返回：连接仍然开着"))
            var cause: String?
            if case .response(_, _, _, _, let got) = reply, got.starts(with: Array("1;name".utf8)) {
                cause = "chunks-not-decoded"
            } else if cut < answer.count, fetching.call.subject.timeline.bytesReceived - before == cut {
                // It asked for no more than the first piece.
                cause = "one-recv-one-message"
            }
            try fetching.expect(reply, 200, body, cause: cause)
        }
    },
    Check("client-until-close") { trial in
        let listener = try trial.listen()
        for version in ["1.0", "1.1"] {
            let body = trial.random.bytes(100_000)
            let fetching = try trial.fetch([Asked(url: listener.url())], at: listener)
            let (connection, _) = try fetching.acceptRequest()
            try connection.answer("HTTP/\(version) 200 OK\r\nContent-Type: text/plain\r\n\r\n")
            try connection.answer(body)
            connection.close()
            try fetching.expect(try fetching.reply(), 200, body)
        }
    },
    Check("client-no-body", suspects: [.awaitsABody]) { trial in
        let cases = [
            ("HEAD", "200 OK", "Content-Length: 1000"), ("HEAD", "200 OK", "Transfer-Encoding: chunked"),
            ("GET", "204 No Content", "X-A: b"), ("GET", "304 Not Modified", "Content-Length: 77"),
            ("GET", "200 OK", "Content-Length: 0"),
        ]
        for (method, status, field) in cases {
            let listener = try trial.listen()
            let fetching = try trial.fetch([Asked(method: method, url: listener.url())], at: listener)
            let (connection, request) = try fetching.acceptRequest()
            try trial.expect(request.method, equals: method, say("the method", "方法"))
            try connection.answer("HTTP/1.1 \(status)\r\n\(field)\r\n\r\n")
            let reply = try fetching.reply(
                say(
                    "it returns at the end of the head of \(status) to \(method)",
                    "\(method) 得到 \(status)，在回答的首部之后就返回"))
            try fetching.expect(reply, Int(status.prefix(3)) ?? 0, [])
        }
    },
    Check("client-interim") { trial in
        let listener = try trial.listen()
        let fetching = try trial.fetch([Asked(url: listener.url())], at: listener)
        let (connection, _) = try fetching.acceptRequest()
        try connection.answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
        try connection.answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        let reply = try fetching.reply()
        try fetching.expect(reply, 200, Array("hello".utf8), cause: "interim-taken-for-the-answer")
        // But not for ever.
        let endless = try trial.fetch([Asked(url: listener.url())], at: listener)
        let (again, _) = try endless.acceptRequest()
        let hint = Array("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n".utf8)
        let sent = try again.floods(repeatElement(hint, count: 1000).flatMap { $0 }, atMost: 16 << 20)
        guard sent < 16 << 20 else {
            throw Failure(
                expected: say("the client ends a connection that never comes to its answer", "客户端结束一个永远不给出最终回答的连接"),
                got: say("it has read 16 MiB of 103", "它读了 16 MiB 的 103"), cause: "no-limit-kept")
        }
        if case .response = try endless.reply() {
            throw Failure(expected: say("it throws", "抛出错误"), got: say("it returned", "正常返回"))
        }
    },
    Check("client-statuses") { trial in
        for (status, method) in [
            (200, "POST"), (404, "GET"), (418, "GET"), (500, "POST"), (599, "GET"), (201, "PUT"), (304, "GET"),
        ] {
            let listener = try trial.listen()
            let fetching = try trial.fetch([Asked(method: method, url: listener.url())], at: listener)
            let body = status == 304 ? "" : "why"
            // The reason may be empty, or missing with its space.
            let line =
                status == 404
                ? "HTTP/1.1 404 \r\n" : status == 418 ? "HTTP/1.1 418\r\n" : "HTTP/1.1 \(status) Why Not\r\n"
            try fetching.serve(line + "Content-Length: 3\r\nConnection: close\r\n\r\n" + body)
            let reply = try fetching.reply()
            let isError = if case .error = reply { true } else { false }
            // The bytes that Content-Length promises do not come behind a 304.
            let awaitsBody = status == 304 && reply == .error("cutShort")
            try fetching.expect(
                reply, status, Array(body.utf8),
                cause: isError && status >= 400
                    ? "status-taken-for-an-error" : awaitsBody ? "waits-for-no-body" : nil)
        }
    },
    Check("client-cut-short", suspects: [.awaitsTheEnd]) { trial in
        let cases = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhello", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", true),
            ("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it?", true),
            ("HTTP/1.1 200 OK\r\nContent-Len", false), ("", false), ("", true),
        ]
        for (answer, isReset) in cases {
            let listener = try trial.listen()
            let fetching = try trial.fetch([Asked(url: listener.url())], at: listener)
            let (connection, _) = try fetching.acceptRequest()
            let before = fetching.call.subject.timeline.bytesReceived
            try connection.answer(answer)
            if isReset {
                // What has arrived may be lost in a reset: it is taken first.
                _ = try fetching.call.subject.waitForTimeline(until: Deadline(in: 2)) { timeline in
                    timeline.bytesReceived - before >= answer.utf8.count ? true : nil
                }
                connection.peer.reset()
            } else {
                connection.close()
            }
            let shown = answer.isEmpty ? say("nothing", "什么也没有") : quoted(Array(answer.utf8.suffix(24)))
            let end = isReset ? say("reset", "重置") : say("the end", "结束")
            let reply = try fetching.reply()
            guard reply != .error("cutShort") else { continue }
            throw Failure(
                expected: say(
                    "… \(shown), then \(end): it throws ClientError.cutShort",
                    "……\(shown)，然后\(end)：抛出 ClientError.cutShort"),
                got: reply.text, cause: reply.status == nil ? nil : "part-taken-for-the-answer")
        }
    },
    Check("client-bad-response") { trial in
        let rest = "Content-Length: 2\r\n\r\nok"
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        let answers = [
            "SSH-2.0-OpenSSH_9.6\r\n\r\n", "HTTP/2.0 200 OK\r\n" + rest, "HTTP/1.1 2000 OK\r\n" + rest,
            // Nobody has asked for another protocol.
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nHTTP/1.1 200 OK\r\n" + rest,
            "HTTP/1.1 abc OK\r\n" + rest, "HTTP/1.1\r\n" + rest, "http/1.1 200 OK\r\n" + rest,
            "HTTP/1.1 200 OK\r\nno colon\r\n" + rest, "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nX: a\u{0}b\r\n" + rest,
            "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", "HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            chunked + "xyz\r\nhello\r\n0\r\n\r\n", chunked + "5\r\nhelloXX0\r\n\r\n",
            chunked + "-5\r\nhello\r\n0\r\n\r\n",
            chunked + "\r\nhello\r\n0\r\n\r\n", chunked + "0x5\r\nhello\r\n0\r\n\r\n",
        ]
        for answer in answers {
            let listener = try trial.listen()
            let fetching = try trial.fetch([Asked(url: listener.url())], at: listener)
            try fetching.serve(answer)
            let shown = quoted(Array(answer.utf8), most: 90)
            do { try fetching.expect(error: "badResponse", shown) } catch var failure as Failure {
                let isTaken = failure.got.hasPrefix(say("it returned", "返回"))
                if isTaken, answer.contains("gzip") { failure.cause = "coding-ignored" }
                throw failure
            }
        }
        // A size that no Int holds must neither end the program nor become another number.
        for size in ["fffffffffffffffff", "8000000000000005", "10000000000000005"] {
            let listener = try trial.listen()
            let fetching = try trial.fetch([Asked(url: listener.url())], at: listener)
            try fetching.serve(chunked + size + "\r\nhello\r\n0\r\n\r\n")
            let reply = try fetching.reply()
            guard reply != .error("badResponse"), reply != .error("tooLong"), reply != .error("cutShort") else {
                continue
            }
            throw Failure(
                expected: say("a chunk of 0x\(size) bytes: it throws", "长度为 0x\(size) 的块：抛出错误"), got: reply.text)
        }
    },
    Check("client-endless-head", suspects: [.awaitsTheEnd]) { trial in
        let flood = 16 << 20
        for (start, piece) in [
            ("HTTP/1.1 200 OK\r\n", "X-Field: \(String(repeating: "v", count: 80))\r\n"),
            ("HTTP/1.1 200 OK\r\nX: ", "endless"),
            ("HTTP/1.1 200 ", "reasons "),
        ] {
            let listener = try trial.listen()
            var options = ClientOptions.patient()
            options.headLimit = 20_000
            let fetching = try trial.fetch([Asked(url: listener.url())], options, at: listener)
            let (connection, _) = try fetching.acceptRequest()
            try connection.answer(start)
            let pieces = repeatElement(Array(piece.utf8), count: 1000).flatMap { $0 }
            let sent = try connection.floods(pieces, atMost: flood)
            guard sent < flood else {
                throw Failure(
                    expected: say(
                        "it ends the connection soon after 20,000 bytes of head", "首部超过 20,000 字节后不久就结束连接"),
                    got: say("it has read 16 MiB", "它读了 16 MiB"), cause: "no-limit-kept")
            }
            try fetching.expect(error: "tooLong", say("a head without end", "没有尽头的首部"), cause: "no-limit-kept")
        }
        // What is within the limit is taken.
        let listener = try trial.listen()
        let fetching = try trial.fetch([Asked(url: listener.url())], at: listener)
        let long = String(repeating: "v", count: 30_000)
        try fetching.serve("HTTP/1.1 200 OK\r\nX: \(long)\r\nContent-Length: 2\r\n\r\nok")
        try fetching.expect(200, "ok")
    },
    Check("client-body-limit", suspects: [.awaitsTheEnd]) { trial in
        var options = ClientOptions.patient()
        options.bodyLimit = 1000
        let body = String(repeating: "b", count: 1000)
        func chunks(_ count: Int) -> String {
            (0..<count / 100).map { _ in "64\r\n" + body.prefix(100) + "\r\n" }.joined()
                + (count % 100 == 0 ? "" : "1\r\nb\r\n")
                + "0\r\n\r\n"
        }
        let within = [
            "Content-Length: 1000\r\n\r\n" + body, "Transfer-Encoding: chunked\r\n\r\n" + chunks(1000), "\r\n" + body,
        ]
        for rest in within {
            let listener = try trial.listen()
            let fetching = try trial.fetch([Asked(url: listener.url())], options, at: listener)
            try fetching.serve("HTTP/1.1 200 OK\r\n" + rest)
            try fetching.expect(200, body)
        }
        // The first one is known from the length alone: nothing of the body comes.
        let over = [
            "Content-Length: 1001\r\n\r\n", "Content-Length: 9999999999\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n" + chunks(1001), "Connection: close\r\n\r\n" + body + "b",
        ]
        for rest in over {
            let listener = try trial.listen()
            let fetching = try trial.fetch([Asked(url: listener.url())], options, at: listener)
            let (connection, _) = try fetching.acceptRequest()
            try connection.answer("HTTP/1.1 200 OK\r\n" + rest)
            try fetching.expect(
                error: "tooLong",
                say(
                    "bodyLimit 1,000, \(quoted(Array(rest.utf8), most: 40))",
                    "bodyLimit 为 1,000，\(quoted(Array(rest.utf8), most: 40))"),
                cause: "no-limit-kept")
        }
    },
    Check("client-download") { trial in
        let process = try trial.launch()
        let pattern = trial.random.bytes(1 << 20)
        var peaks: [Int] = []
        for (size, isChunked) in [(1 << 20, false), (64 << 20, true), (clientDownload, false)] {
            let listener = try trial.listen()
            let fetching = try trial.download(
                Asked(url: listener.url("/large")), at: listener, pattern: pattern, in: process)
            let (connection, _) = try fetching.acceptRequest()
            try connection.answer(
                isChunked
                    ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    : "HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
            for _ in 0..<(size / pattern.count) {
                try connection.answer(isChunked ? Array("100000\r\n".utf8) + pattern + [13, 10] : pattern)
            }
            if isChunked { try connection.answer("0\r\n\r\n") }
            try fetching.expectDownload(of: size)
            peaks.append(process.peakMemory)
        }
        let grown = (peaks.last ?? 0) - (peaks.first ?? 0)
        guard grown <= 32 << 20 else {
            throw Failure(
                expected: say(
                    "a body of \(clientDownload >> 20) MiB takes at most 32 MiB of memory",
                    "\(clientDownload >> 20) MiB 的消息体最多占用 32 MiB 内存"),
                got: "\(grown >> 20) MiB", cause: "body-kept-in-memory")
        }
    },
    Check("client-closure-throws") { trial in
        let listener = try trial.listen()
        let fetching = try trial.fetch(
            [Asked(url: listener.url("/long")), Asked(url: listener.url("/next"))], .patient(attempts: 3),
            at: listener, wanted: 10)
        let (connection, _) = try fetching.acceptRequest()
        try connection.answer("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nmore than ten bytes")
        let (second, _) = try fetching.acceptRequest()
        try second.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        let replies = try fetching.replies()
        try trial.expect(
            replies[0].text, equals: Reply.error("enough").text, say("what it does when the closure throws", "闭包抛出错误时"))
        try fetching.expect(replies[1], 200, Array("ok".utf8))
        let sentence = say("the first connection is closed", "第一个连接已关闭")
        switch try connection.peer.receive(1, until: Deadline(), expected: sentence) {
        case .end, .broken: return
        case .late, .bytes: throw Failure(expected: sentence, got: say("it is open", "它还开着"), cause: "never-closed")
        }
    },
]

/// How much comes in one answer.
private let clientDownload = 1 << 30

extension Fetching {
    fileprivate func expectDownload(of size: Int) throws {
        let sentence = say("it returns after a body of \(size) bytes", "收完 \(size) 字节的消息体后返回")
        guard case .list(let values) = try call.value(within: 60, expecting: sentence), values.count == 1 else {
            throw LabError("a list of one was expected")
        }
        guard case .list(let parts) = values[0] else { throw Failure(expected: sentence, got: values[0].text) }
        let count = try parts.list(4).int(0)
        let firstDifference = try parts.list(4).int(1)
        guard count == size, firstDifference < 0 else {
            throw Failure(
                expected: sentence,
                got: count == size
                    ? say("byte \(firstDifference) is wrong", "第 \(firstDifference) 个字节不对")
                    : say("\(count) bytes", "\(count) 字节"))
        }
    }
}

extension ServedConnection {
    /// Sends this again and again, until the client has ended the connection or so much was sent.
    ///
    /// - Returns: how much was sent.
    fileprivate func floods(_ bytes: [UInt8], atMost most: Int) throws -> Int {
        var sent = 0
        let deadline = Deadline()
        while sent < most {
            // From where the last one stopped: begun anew in its middle it would be nonsense, and refused as that.
            let count = bytes[(sent % bytes.count)...].withUnsafeBytes {
                Sockets.send(peer.descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL)
            }
            if count > 0 { sent += count }
            if count < 0 && errno != EAGAIN && errno != EINTR { return sent }
            if count < 0 && errno == EAGAIN {
                var entry = pollfd(fd: peer.descriptor, events: Int16(POLLOUT), revents: 0)
                if poll(&entry, 1, 100) == 0 && deadline.hasPassed { return sent }
            }
        }
        return sent
    }
}

extension Timeline {
    /// Taken from sockets so far.
    var bytesReceived: Int {
        calls.reduce(0) { sum, call in
            let peeks = call.name != "read" && call.name != "readv" && call.arguments.0 & Int64(MSG_PEEK as Int32) != 0
            return sum + (call.isReceive && call.result > 0 && !peeks ? Int(call.result) : 0)
        }
    }
}
