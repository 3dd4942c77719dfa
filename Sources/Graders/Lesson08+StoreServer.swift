// Lesson 08: the store. What is put must come back, byte for byte, to whoever asks.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

private let entry = "store-server"

let storeServerChecks: [Check] =
    (ownStoreChecks + sharedStoreChecks).map { $0.whereSilenceEnds(after: clientPatience) }

private let ownStoreChecks: [Check] =
    [
        Check("store-put", suspects: Cause.keptHTTP) { trial in
            let server = try trial.serve(entry)
            let client = try server.connect()
            let bytes = trial.random.bytes(3000)
            try client.put("/a", bytes, type: "image/png").expect(201, "PUT /a")
            try client.expectStored("/a", bytes, type: "image/png")
            try client.put("/a", hello, type: "text/plain; charset=utf-8").expect(
                [200, 204], say("PUT /a, again", "再次 PUT /a"))
            try client.expectStored("/a", hello, type: "text/plain; charset=utf-8")
            try client.put("/deep/er/b", [], type: nil).expect(201, "PUT /deep/er/b")
            try client.expectStored("/deep/er/b", [], type: "application/octet-stream")
            try client.expectStored("/a", hello, type: "text/plain; charset=utf-8")
            // The type belongs to the body, and goes with it.
            try client.put("/a", hello, type: nil).expect([200, 204], say("PUT /a, without a type", "不带类型的 PUT /a"))
            do { try client.expectStored("/a", hello, type: "application/octet-stream") } catch var failure as Failure {
                failure.cause = "type-of-the-one-before"
                throw failure
            }
            try client.ask("GET", "/b").expect(404, "GET /b")
        },
        Check("store-head", suspects: Cause.keptHTTP) { trial in
            let client = try trial.serve(entry).connect()
            try client.put("/a", hello, type: "text/plain").expect(201, "PUT /a")
            let head = try client.ask("HEAD", "/a")
            try head.expect(200, "HEAD /a")
            if let length = head["Content-Length"] {
                try trial.expect(
                    length, equals: "\(hello.count)", say("Content-Length of HEAD /a", "HEAD /a 的 Content-Length"))
            }
            try trial.expect(
                head["Content-Type"] ?? "", equals: "text/plain",
                say("Content-Type of HEAD /a", "HEAD /a 的 Content-Type"))
            // Had a body been sent, it would stand before the next answer.
            try behindHead { try client.ask("HEAD", "/missing").expect(404, "HEAD /missing") }
            try behindHead { try client.expectStored("/a", hello, type: "text/plain") }
        },
        Check("store-delete", suspects: Cause.keptHTTP) { trial in
            let client = try trial.serve(entry).connect()
            try client.put("/a", hello).expect(201, "PUT /a")
            try client.put("/b", plain).expect(201, "PUT /b")
            try client.ask("DELETE", "/a").expect([200, 204], "DELETE /a")
            for method in ["GET", "DELETE", "HEAD"] {
                try client.ask(method, "/a").expect(404, say("\(method) /a, which is deleted", "\(method) 已删除的 /a"))
            }
            try behindHead { try client.expectStored("/b", plain) }
            try client.put("/a", plain).expect(201, say("PUT /a, once deleted", "删除之后 PUT /a"))
        },
        Check("store-post", suspects: Cause.keptHTTP) { trial in
            let server = try trial.serve(entry)
            let client = try server.connect()
            var places: [String] = []
            for number in 0..<5 {
                let content = Array("entry \(number)".utf8)
                let answer = try client.ask("POST", "/list", content, type: "text/plain")
                try answer.expect(201, "POST /list")
                let place = answer["Location"] ?? ""
                let path = place.hasPrefix("http://") ? "/" + place.dropFirst(7).drop { $0 != "/" }.dropFirst() : place
                guard path.hasPrefix("/list/"), path.utf8.count > 6 else {
                    throw Failure(
                        expected: say(
                            "Location: a place below /list, in the answer to POST /list",
                            "对 POST /list 的回答里有 Location：/list 下面的一个位置"),
                        got: place.isEmpty ? say("no Location", "没有 Location") : place, cause: "location-missing")
                }
                guard !places.contains(path) else {
                    throw Failure(
                        expected: say("a place of its own for each POST", "每次 POST 都有自己的位置"),
                        got: say("\(path), a second time", "\(path)，第二次出现"), cause: "place-used-again")
                }
                places.append(path)
                try client.expectStored(path, content, type: "text/plain")
                // The name of what was deleted is not given to something else.
                if number == 2 { try client.ask("DELETE", path).expect([200, 204], "DELETE \(path)") }
            }
        },
        Check("store-methods", suspects: Cause.keptHTTP) { trial in
            let server = try trial.serve(entry)
            let client = try server.connect()
            for target in ["/a", "*"] {
                let answer = try client.ask("OPTIONS", target)
                try answer.expect([200, 204], "OPTIONS \(target)")
                try answer.expectAllow(["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"], "OPTIONS \(target)")
            }
            let other = try server.connect()
            let answer = try other.ask("PATCH", "/a", plain)
            try answer.expect(405, "PATCH /a")
            try answer.expectAllow(["GET", "PUT"], "PATCH /a")
        },
        Check("store-chunked", suspects: Cause.keptHTTP) { trial in
            let bytes = trial.random.bytes(2000)
            for plan in [FaultPlan.none, .most(7, each: .receive)] {
                let client = try trial.serve(entry, plan: plan).connect()
                var rest = bytes[...]
                var body: [UInt8] = []
                while !rest.isEmpty {
                    let chunk = rest.prefix(Int.random(in: 1...300, using: &trial.random))
                    body += Array("\(String(chunk.count, radix: 16));n=1\r\n".utf8) + chunk + [0x0d, 0x0a]
                    rest = rest.dropFirst(chunk.count)
                }
                try client.send(Array("PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".utf8) + body)
                try client.send("0\r\nX-Sum: 1\r\n\r\n")
                try client.answer(to: "PUT /a").expect(201, say("PUT /a, chunked", "PUT /a，分块"))
                try client.expectStored("/a", bytes)
            }
        },
        Check("store-pipelined", suspects: Cause.keptHTTP) { trial in
            let client = try trial.serve(entry).connect()
            let requests: [(String, String, [Int])] = [
                ("PUT", "one", [201]), ("GET", "", [200]), ("PUT", "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", [200, 204]),
                ("GET", "", [200]),
                ("DELETE", "", [200, 204]), ("GET", "", [404]), ("PUT", "", [201]),
            ]
            try client.send(
                requests.map { "\($0.0) /a HTTP/1.1\r\nHost: a\r\nContent-Length: \($0.1.utf8.count)\r\n\r\n\($0.1)" }
                    .joined())
            var stored = ""
            for (number, (method, body, statuses)) in requests.enumerated() {
                let name = say(
                    "request \(number + 1) of 7 sent at once, \(method) /a",
                    "一起发出的 7 个请求中的第 \(number + 1) 个，\(method) /a")
                let answer = try client.pipelinedAnswer(to: "\(method) /a", isFirst: number == 0)
                try answer.expect(statuses, name)
                if method == "PUT" { stored = body }
                if method == "GET" && answer.status == 200 { try answer.expectBody(Array(stored.utf8), name) }
            }
            // More answers than fit into one send: the requests behind the first are all received by then.
            let bytes = trial.random.bytes(100_000)
            try client.put("/large", bytes).expect(201, "PUT /large")
            try client.send(String(repeating: "GET /large HTTP/1.1\r\nHost: a\r\n\r\n", count: 5))
            for number in 1...5 {
                let name = say(
                    "request \(number) of 5 sent at once, GET /large", "一起发出的 5 个请求中的第 \(number) 个，GET /large")
                let answer = try client.pipelinedAnswer(to: "GET /large", isFirst: number == 1)
                try answer.expect(200, name)
                try answer.expectBody(bytes, name)
            }
        },
        Check("store-shared", suspects: [.storeWithoutLock] + Cause.keptHTTP) { trial in
            // Ten clients write and read, each its own places and one that all share. All of them have asked when the server
            // goes on: threads then come to the store together, again and again.
            let server = try trial.serve(entry)
            let clients = try (0..<10).map { _ in try server.connect() }
            for round in 0..<6 {
                func places(_ number: Int) -> [String] {
                    (0..<18).map { "/own/\(number)/\(round)/\($0)" } + ["/own/\(number)/x", "/all"]
                }
                try server.subject.pause()
                for (number, client) in clients.enumerated() {
                    let own = "client \(number), round \(round)"
                    var requests = ""
                    for place in places(number) {
                        requests +=
                            "PUT \(place) HTTP/1.1\r\nHost: a\r\nContent-Length: \(own.utf8.count)\r\n\r\n\(own)"
                        requests += "GET \(place) HTTP/1.1\r\nHost: a\r\n\r\n"
                    }
                    try client.send(requests)
                }
                server.subject.resume()
                for (number, client) in clients.enumerated() {
                    let own = Array("client \(number), round \(round)".utf8)
                    for (index, place) in places(number).enumerated() {
                        try client.pipelinedAnswer(to: "PUT \(place)", isFirst: index == 0)
                            .expect([200, 201, 204], "PUT \(place)")
                        let answer = try client.pipelinedAnswer(to: "GET \(place)", isFirst: false)
                        try answer.expect(200, "GET \(place)")
                        if place != "/all" { try answer.expectBody(own, "GET \(place)") }
                    }
                }
            }
            let reader = try server.connect()
            for number in 0..<10 {
                try reader.expectStored("/own/\(number)/3/7", Array("client \(number), round 3".utf8))
            }
            // While one is being answered, and reads nothing, the others write and read as before.
            try reader.put("/large", [UInt8](repeating: 0x78, count: Lesson08.bodyLimit)).expect(201, "PUT /large")
            let deaf = try server.connect(smallBuffers: true)
            _ = try deaf.sendUntilStuck(
                [UInt8](repeatElement("GET /large HTTP/1.1\r\nHost: a\r\n\r\n".utf8, count: 16).joined()))
            do {
                try reader.put("/all", hello).expect([200, 204], "PUT /all")
                guard !server.subject.timeline.endsSomebody(before: "PUT /all") else {
                    throw Failure(
                        expected: say(
                            "PUT /all is answered while another client reads nothing", "另一个客户端什么也不读时，PUT /all 照样得到回答"),
                        got: say("it was answered when that client had been closed", "那个客户端被关闭之后才得到回答"))
                }
                try reader.expectStored("/all", hello)
            } catch var failure as Failure {
                failure.cause = failure.cause ?? "store-held-while-sending"
                throw failure
            }
        },
        Check("store-continue", suspects: [.waitsForBody] + Cause.keptHTTP) { trial in
            let server = try trial.serve(entry)
            let client = try server.connect()
            for (name, status) in [("Expect: 100-continue", 201), ("expect: 100-Continue", 204)] {
                try client.send("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: \(hello.count)\r\n\(name)\r\n\r\n")
                let first = try client.answer(
                    to: say("PUT /a with \(name), before the body", "带 \(name) 的 PUT /a，消息体之前"))
                try first.expect(100, say("PUT /a with \(name), before the body", "带 \(name) 的 PUT /a，消息体之前"))
                try client.send(hello)
                let answer = try client.answer(to: "PUT /a")
                try answer.expect(status == 204 ? [200, 204] : [201], "PUT /a")
                try client.expectStored("/a", hello)
            }
            // An older client does not know of it (RFC 9110, 10.1.1).
            let old = try server.connect()
            let length = "Content-Length: \(hello.count)"
            try old.send(
                Array("PUT /old HTTP/1.0\r\nHost: a\r\n\(length)\r\nExpect: 100-continue\r\n\r\n".utf8) + hello)
            try old.answer(to: "PUT /old HTTP/1.0, Expect: 100-continue").expect(
                [200, 201, 204], "PUT /old HTTP/1.0, Expect: 100-continue")
            // Too much is refused before it is sent.
            try client.send("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
            let answer = try client.answer(to: "PUT /a, 99,999,999 bytes")
            try answer.expect(
                [413, 417],
                say("PUT /a, 99,999,999 bytes, Expect: 100-continue", "PUT /a，99,999,999 字节，Expect: 100-continue"))
        },
        Check("store-too-large", suspects: Cause.keptHTTP) { trial in
            let server = try trial.serve(entry)
            let client = try server.connect()
            let most = [UInt8](repeating: 0x61, count: Lesson08.bodyLimit)
            try client.put("/most", most).expect(201, say("PUT /most, exactly 1 MiB", "PUT /most，正好 1 MiB"))
            try client.expectStored("/most", most)
            // By the number alone: nothing of it is sent.
            try client.send("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: \(most.count + 1)\r\n\r\n")
            try client.expectRefusal([413], say("PUT /a, 1 MiB and 1 byte", "PUT /a，1 MiB 加 1 字节"))
            let other = try server.connect()
            try other.send("PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n")
            try other.send(most + [0x0d, 0x0a] + Array("1\r\n".utf8))
            try other.expectRefusal([413], say("PUT /a, chunks of 1 MiB and 1 byte", "PUT /a，1 MiB 和 1 字节的块"))
            let kept = try server.connect().ask("GET", "/a")
            do { try kept.expect(404, "GET /a") } catch var failure as Failure {
                if kept.status == 200 { failure.cause = "half-stored" }
                throw failure
            }
        },
        Check("store-full", suspects: Cause.keptHTTP) { trial in
            let server = try trial.serve(entry)
            let client = try server.connect()
            let most = [UInt8](repeating: 0x61, count: Lesson08.bodyLimit)
            let room = Lesson08.storeLimit / Lesson08.bodyLimit
            // Whether names and types count, too, is up to the server: the last MiB may find room or not.
            for number in 0..<room - 1 {
                try client.put("/\(number)", most).expect(201, "PUT /\(number)")
            }
            let last = try client.put("/last", most)
            try last.expect([201, 507], "PUT /last")
            if last.status == 201 {
                try client.put("/byte", [0x61]).expect(
                    507, say("PUT /byte, one byte, when \(room) MiB are kept", "已存 \(room) MiB 时再 PUT 1 个字节到 /byte"))
            }
            try client.put("/more", most).expect(
                507, say("PUT /more, 1 MiB, when \(room) are kept", "已存 \(room) MiB 时再 PUT 1 MiB 到 /more"))
            try client.ask("POST", "/list", most).expect(
                507, say("POST /list, 1 MiB, when \(room) are kept", "已存 \(room) MiB 时再 POST 1 MiB 到 /list"))
            // To replace is not to add; what is deleted makes room.
            let again = try client.put("/0", most)
            do { try again.expect([200, 204], "PUT /0") } catch var failure as Failure {
                if again.status == 507 { failure.cause = "replacing-counts-twice" }
                throw failure
            }
            try client.ask("DELETE", "/1").expect([200, 204], "DELETE /1")
            try client.put("/more", plain).expect(201, say("PUT /more, when there is room again", "又有空间时 PUT /more"))
            try client.expectStored("/more", plain)
        },
        Check("store-slow-body", suspects: Cause.http) { trial in
            let server = try trial.serve(entry)
            let other = try server.connect()
            try other.put("/hello.txt", hello, type: "text/plain").expect(201, "PUT /hello.txt")
            // Slow, and it keeps coming.
            let part = trial.random.bytes(1024)
            try other.send("PUT /slow HTTP/1.1\r\nHost: a\r\nContent-Length: \(12 * part.count)\r\n\r\n")
            do {
                for _ in 0..<12 {
                    try other.send(part)
                    poll(nil, 0, 400)  // a slow client is what is played here
                }
                try other.answer(to: "PUT /slow").expect(
                    201, say("PUT /slow, 1,024 bytes every 400 ms", "PUT /slow，每 400 毫秒 1,024 字节"))
            } catch var failure as Failure {
                failure.cause = failure.cause ?? "given-up-in-time"
                throw failure
            }
            try other.expectStored("/slow", (0..<12).flatMap { _ in part })
            let start = "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this"
            do {
                try server.expectClosed((0..<3).map { _ in try server.connect() }, after: start, trickling: "")
            } catch var failure as Failure {
                // 201 or 204, as for a body that is whole.
                if failure.got.contains("HTTP/1.1 20") { failure.cause = "half-stored" }
                throw failure
            }
            let stored = try server.connect().ask("GET", "/a")
            do { try stored.expect(404, say("GET /a, of which only a part has come", "GET /a，它只到了一部分")) } catch var
                failure as Failure
            {
                if stored.status == 200 { failure.cause = "half-stored" }
                throw failure
            }
        },
        Check("store-url-session", suspects: Cause.http) { trial in
            let server = try trial.serve(entry)
            try trial.withURLSession { session in
                let bytes = trial.random.bytes(100_000)
                let put = try session.ask(server, "PUT", "/%E7%B2%98", body: Data(bytes), type: "image/png")
                try trial.expect(put.status, equals: 201, say("URLSession: the status of PUT", "URLSession：PUT 的状态码"))
                let get = try session.ask(server, "GET", "/%E7%B2%98")
                try trial.expect(get.body, equals: bytes, say("URLSession: the body of GET", "URLSession：GET 的消息体"))
                try trial.expect(
                    get.type, equals: "image/png", say("URLSession: the type of GET", "URLSession：GET 的类型"))
                let post = try session.ask(server, "POST", "/list", body: Data(hello), type: "text/plain")
                try trial.expect(
                    post.status, equals: 201, say("URLSession: the status of POST", "URLSession：POST 的状态码"))
                _ = try session.ask(server, "DELETE", "/%E7%B2%98")
                let gone = try session.ask(server, "GET", "/%E7%B2%98")
                try trial.expect(
                    gone.status, equals: 404,
                    say("URLSession: the status of GET, once deleted", "URLSession：删除之后 GET 的状态码"))
            }
        },
    ]

private let sharedStoreChecks =
    concurrentServerChecks(entry, prefix: "store", exchange: putExchange, clients: 100, suspects: Cause.keptHTTP)
    + streamServerChecks(entry, prefix: "store", exchange: putExchange, suspects: Cause.keptHTTP)

private let putExchange = Exchange(
    question: Array("PUT /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: \(hello.count)\r\n\r\n".utf8) + hello
) { client in
    try client.answer(to: "PUT /hello").expect([200, 201, 204], "PUT /hello")
}

extension StreamPeer {
    fileprivate func ask(_ method: String, _ target: String, _ body: [UInt8]? = nil, type: String? = nil) throws
        -> HTTPAnswer
    {
        let length = body.map { "Content-Length: \($0.count)\r\n" } ?? ""
        let type = type.map { "Content-Type: \($0)\r\n" } ?? ""
        try send(Array("\(method) \(target) HTTP/1.1\r\nHost: localhost\r\n\(type)\(length)\r\n".utf8) + (body ?? []))
        return try answer(to: "\(method) \(target)")
    }

    fileprivate func put(_ target: String, _ body: [UInt8], type: String? = nil) throws -> HTTPAnswer {
        try ask("PUT", target, body, type: type)
    }

    fileprivate func expectStored(_ target: String, _ content: [UInt8], type: String? = nil) throws {
        let answer = try ask("GET", target)
        try answer.expect(200, "GET \(target)")
        try answer.expectBody(content, "GET \(target)")
        guard let type, answer["Content-Type"] != type else { return }
        throw Failure(
            expected: say(
                "Content-Type: \(type) for GET \(target), as it was put", "GET \(target) 的 Content-Type: \(type)，和存入时一样"
            ),
            got: answer["Content-Type"] ?? say("none", "没有"), cause: "type-not-kept")
    }
}

extension Cause {
    /// The head came, with Expect, and it waits for a body that waits for it.
    static let waitsForBody = Cause("continue-not-sent") { evidence in
        let hasSaidSo = evidence.timeline.calls.contains {
            $0.isSend && $0.data.starts(with: "HTTP/1.1 100".utf8)
        }
        guard !hasSaidSo else { return nil }
        let silent = [say("nothing", "什么也没有"), say("the connection was closed", "连接被关闭")]
        return silent.contains(evidence.failure.got) || evidence.failure.got.hasPrefix("408") ? "" : nil
    }
}

extension Timeline {
    /// Between a request, which came in one piece, and its answer a connection was ended on which a send had stood still:
    /// its time was over.
    fileprivate func endsSomebody(before request: String) -> Bool {
        guard let asked = calls.last(where: { $0.isReceive && $0.data.starts(with: request.utf8) }) else {
            return false
        }
        let answer = calls.first { $0.isSend && $0.descriptor == asked.descriptor && $0.entered > asked.entered }
        let deaf = Set(calls.filter { $0.isSend && ($0.error == EAGAIN || $0.result < $0.length) }.map(\.descriptor))
        return calls.contains {
            ["close", "shutdown"].contains($0.name) && deaf.contains($0.descriptor)
                && $0.descriptor != asked.descriptor && $0.entered > asked.entered
                && $0.entered < answer?.entered ?? 0
        }
    }
}
