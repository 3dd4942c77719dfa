// Lesson 08: the file server. Its folder is one of the trial's, and so is what lies beside it and must not come out.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

private let entry = "file-server"

let fileServerChecks: [Check] =
    [
        Check("file-content", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            for (name, content) in [("hello.txt", hello), ("empty.txt", []), ("bytes.bin", try trial.siteBytes())] {
                let answer = try server.get("/\(name)")
                try answer.expect(200, "GET /\(name)")
                try answer.expectBody(content, "GET /\(name)")
            }
        },
        Check("file-date", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            for (target, status) in [("/hello.txt", 200), ("/missing", 404)] {
                let answer = try server.get(target)
                try answer.expect(status, "GET \(target)")
                try answer.expectDate("Date", "GET \(target)", near: time(nil))
            }
        },
        Check("file-types", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            for (name, types, isText) in siteTypes {
                let request = "GET /types/\(name)"
                let answer = try server.get("/types/\(name)")
                try answer.expect(200, request)
                try answer.expectType(types, request, isText: isText)
            }
        },
        Check("file-index", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            for (target, content) in [("/", Array("<h1>Home</h1>\n".utf8)), ("/docs/", Array("<h1>Docs</h1>\n".utf8))] {
                let answer = try server.get(target)
                try answer.expect(200, "GET \(target)")
                try answer.expectBody(content, "GET \(target)")
                try answer.expectType(["text/html"], "GET \(target)", isText: true)
            }
            // Without the slash: the page itself, or the way to it.
            let answer = try server.get("/docs")
            if [301, 302, 307, 308].contains(answer.status) {
                let place = answer["Location"] ?? ""
                guard place.hasSuffix("/docs/") || place == "docs/" else {
                    throw Failure(
                        expected: say(
                            "Location: /docs/ in the answer to GET /docs", "对 GET /docs 的回答里有 Location: /docs/"),
                        got: place.isEmpty ? say("no Location", "没有 Location") : place)
                }
            } else {
                try answer.expect(200, "GET /docs")
                try answer.expectBody(Array("<h1>Docs</h1>\n".utf8), "GET /docs")
            }
        },
        Check("file-missing", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            let client = try server.connect()
            for target in [
                "/missing", "/docs/missing.html", "/no/such/folder/", "/hello.txt/more", "/bare/", "/hello.tx",
            ] {
                try client.send("GET \(target) HTTP/1.1\r\nHost: localhost\r\n\r\n")
                let answer = try client.answer(to: "GET \(target)")
                try answer.expect(404, "GET \(target)")
            }
            try server.expectHello()
        },
        Check("file-names", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            for target in [
                "/a%20b.txt", "/%61%20b%2Etxt", "/%E7%B2%98%E5%8C%85.txt", "/%e7%b2%98%e5%8c%85.txt?version=2",
                "/a+b.txt",
                "/100%25.txt", "//docs/.//../docs/plain.txt".replacing("/../docs", with: ""),
                "http://localhost/docs/plain.txt",
                "/docs/plain.txt?/../../hello.txt",
            ] {
                let answer = try server.get(target)
                try answer.expect(200, "GET \(target)")
                try answer.expectBody(plain, "GET \(target)")
            }
        },
        Check("file-head", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            let client = try server.connect()
            for (target, status) in [("/hello.txt", 200), ("/", 200), ("/missing", 404), ("/empty.txt", 200)] {
                try client.send("GET \(target) HTTP/1.1\r\nHost: localhost\r\n\r\n")
                let get = try behindHead { try client.answer(to: "GET \(target)") }
                try client.send("HEAD \(target) HTTP/1.1\r\nHost: localhost\r\n\r\n")
                let head = try client.answer(to: "HEAD \(target)")
                try head.expect(status, "HEAD \(target)")
                for name in ["Content-Length", "Content-Type"] where head[name] != get[name] {
                    // A length may be left out, but must not be another one (RFC 9110, 9.3.2).
                    if name == "Content-Length" && head[name] == nil { continue }
                    throw Failure(
                        expected: say("\(name) of HEAD \(target) as for GET: ", "HEAD \(target) 的 \(name) 和 GET 一样：")
                            + (get[name] ?? "-"),
                        got: head[name] ?? say("none", "没有"))
                }
            }
            // Had a body been sent, it would stand before this answer.
            try client.send(helloRequest)
            try behindHead { try client.answer(to: "GET /hello.txt").expect(200, "GET /hello.txt") }
        },
        Check("file-methods", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            for method in ["POST", "PUT", "DELETE", "PATCH"] {
                let request = "\(method) /hello.txt"
                let client = try server.connect()
                try client.send("\(request) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello")
                let answer = try client.answer(to: request)
                try answer.expect(405, request)
                try answer.expectAllow(["GET", "HEAD"], request)
            }
            for method in ["BREW", "get"] {
                let answer = try server.ask("\(method) /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
                try answer.expect([405, 501], "\(method) /hello.txt")
            }
            for target in ["/hello.txt", "*"] {
                let answer = try server.ask("OPTIONS \(target) HTTP/1.1\r\nHost: localhost\r\n\r\n")
                try answer.expect([200, 204], "OPTIONS \(target)")
                try answer.expectAllow(["GET", "HEAD", "OPTIONS"], "OPTIONS \(target)")
            }
            try server.expectHello()
        },
        Check("file-keep-alive", suspects: [.closedAfterAnswer] + Cause.http) { trial in
            let client = try trial.serveSite().connect()
            for target in ["/hello.txt", "/missing", "/docs/plain.txt", "/empty.txt", "/hello.txt"] {
                try client.send("GET \(target) HTTP/1.1\r\nHost: localhost\r\n\r\n")
                let answer = try client.answer(to: "GET \(target)")
                try answer.expect(target == "/missing" ? 404 : 200, "GET \(target)")
                if case .close = answer.ending {
                    throw Failure(
                        expected: say(
                            "the connection stays open behind the answer to GET \(target)", "回答 GET \(target) 之后连接保持打开"),
                        got: say("no length: the connection was closed to end the body", "没有长度：靠关闭连接来结束消息体"),
                        cause: "body-without-length")
                }
            }
        },
        Check("file-pipelined", suspects: [.closedAfterAnswer] + Cause.http) { trial in
            let client = try trial.serveSite().connect()
            let targets = ["/hello.txt", "/missing", "/docs/plain.txt", "/empty.txt", "/docs/", "/hello.txt"]
            let requests = (targets + targets).map { "GET \($0) HTTP/1.1\r\nHost: localhost\r\n\r\n" }
            try client.send(requests.joined())
            for (number, target) in (targets + targets).enumerated() {
                let answer: HTTPAnswer
                do { answer = try client.answer(to: "GET \(target)") } catch var failure as Failure {
                    let isSilent = failure.got == say("nothing", "什么也没有")
                    if number > 0 && isSilent { failure.cause = "pipelined-request-lost" }
                    throw failure
                }
                try answer.expect(
                    target == "/missing" ? 404 : 200,
                    say("request \(number + 1), ", "第 \(number + 1) 个请求，") + "GET \(target)")
                if target == "/docs/plain.txt" { try answer.expectBody(plain, "GET \(target)") }
            }
        },
        Check("file-cut", suspects: [.half] + Cause.http) { trial in
            let server = try trial.serveSite()
            let client = try server.connect()
            let other = try server.connect()
            let request = Array(helloRequest.utf8)
            for cut in [1, 9, 26, request.count - 3, request.count - 1] {
                try client.send(Array(request[..<cut]))
                // By the time that this one is answered, the half has surely been received.
                try other.send(helloRequest)
                try other.answer(to: "GET /hello.txt").expect(200, "GET /hello.txt")
                try client.send(Array(request[cut...]))
                try client.answer(to: "GET /hello.txt").expect(200, "GET /hello.txt")
            }
        },
        Check("file-close", suspects: [.keptAfterClose] + Cause.http) { trial in
            let server = try trial.serveSite()
            for line in ["Connection: close", "connection: Close", "Connection: x-other, close"] {
                let client = try server.connect()
                try client.send("GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\(line)\r\n\r\n")
                let answer = try client.answer(to: "GET /hello.txt")
                try answer.expect(200, "GET /hello.txt")
                try answer.expectBody(hello, "GET /hello.txt")
                if case .close = answer.ending { continue }
                try client.expectEnd()
            }
        },
        Check("file-http10", suspects: [.keptAfterClose] + Cause.http) { trial in
            let server = try trial.serveSite()
            let client = try server.connect()
            try client.send("GET /hello.txt HTTP/1.0\r\n\r\n")
            let answer = try client.answer(to: "GET /hello.txt HTTP/1.0")
            try answer.expect(200, "GET /hello.txt HTTP/1.0")
            try answer.expectBody(hello, "GET /hello.txt HTTP/1.0")
            if case .chunked = answer.ending {
                throw Failure(
                    expected: say("an answer that HTTP/1.0 knows", "HTTP/1.0 认识的回答"),
                    got: say("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), cause: "chunks-for-http10")
            }
            if case .close = answer.ending { return }
            try client.expectEnd()
        },
        Check("file-body-skipped", suspects: Cause.http) { trial in
            // A body that looks like a request is a body.
            let server = try trial.serveSite()
            let hidden = "GET /docs/plain.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"
            for (field, body) in [
                ("Content-Length: \(hidden.utf8.count)", hidden),
                ("Transfer-Encoding: chunked", "\(String(hidden.utf8.count, radix: 16))\r\n\(hidden)\r\n0\r\n\r\n"),
            ] {
                for method in ["GET", "POST"] {
                    let client = try server.connect()
                    try client.send(
                        "\(method) /missing HTTP/1.1\r\nHost: localhost\r\n\(field)\r\n\r\n\(body)" + helloRequest)
                    let request = "\(method) /missing, \(field)"
                    let first = try client.answer(to: request)
                    try first.expect(method == "GET" ? [404, 400] : [405], request)
                    try client.expectHelloOrEnd(behind: request, cause: "body-as-request")
                }
            }
        },
        Check("file-refused", suspects: [.keptAfterRefusal] + Cause.http) { trial in
            let server = try trial.serveSite()
            let hidden = helloRequest
            for (request, statuses) in [
                (
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    [400]
                ),
                ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", [400]),
                ("GET / HTTP/1.1\nHost: a\n\n", [400]), ("GET / HTTP/1.1\r\n\r\n", [400]),
                ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", [400]), ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", [505]),
                ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", [501]),
                ("nonsense\r\n\r\n", [400]), ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\r\n\r\n", [400]),
            ] {
                let client = try server.connect()
                try client.send(request + hidden)
                let text = quoted(Array(request.utf8), most: 100)
                try client.expectRefusal(statuses, text)
            }
            try server.expectHello()
        },
        Check("file-limits", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            for (request, statuses) in [
                ("GET /" + String(repeating: "a", count: 9000) + " HTTP/1.1\r\nHost: a\r\n\r\n", [414]),
                ("GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "a", count: 20_000) + "\r\n\r\n", [431]),
                ("GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "X: 1\r\n", count: 150) + "\r\n", [431]),
                ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n", [413]),
            ] {
                let client = try server.connect()
                try client.send(request)
                try client.expectRefusal(statuses, quoted(Array(request.utf8), most: 50))
            }
            // One that never ends: it is not kept.
            let before = server.subject.peakMemory
            let endless = try server.connect()
            try endless.sendInVain(
                Array("GET / HTTP/1.1\r\nHost: a\r\nX: ".utf8) + [UInt8](repeating: 0x61, count: 64 << 20))
            try trial.expectMemory(
                of: server, since: before, say("for a head that never ends", "面对没有尽头的首部"), "endless-head-kept")
            try server.expectHello()
        },
        Check("file-escape", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            for target in escapes(from: trial.folder) { try server.expectNoSecret(target) }
            try server.expectHello()
        },
        Check("file-symlinks", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            for target in [
                "/link.txt", "/link/secret.txt", "/sibling.txt", "/sibling/secret.txt", "/chain.txt",
                "/docs/up/secret.txt",
            ] {
                try server.expectNoSecret(target, cause: "followed-link")
            }
            try server.expectHello()
        },
        Check("file-odd", suspects: [.openedPipe] + Cause.http) { trial in
            // What is no file, and names that no file can have.
            let server = try trial.serveSite()
            let client = try server.connect()
            for target in [
                "/pipe", "/" + String(repeating: "n", count: 300), "/" + String(repeating: "d/", count: 2500), "/%00",
                "/hello.txt%00",
                "/hello.txt%00.html", "/%", "/%zz", "/%ff%fe",
            ] {
                try client.send("GET \(target) HTTP/1.1\r\nHost: localhost\r\nX: y\r\n\r\n")
                let request = "GET \(target.utf8.count > 60 ? String(target.prefix(40)) + "…" : target)"
                let answer = try client.answer(to: request)
                try answer.expect([400, 403, 404, 414], request)
                if answer.tokens("Connection").contains("close") {
                    return try server.expectHello()
                }
            }
            try server.expectHello()
        },
        Check("file-large", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            try server.expectHello()
            let before = server.subject.peakMemory
            let client = try server.connect()
            try client.send("GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
            try client.expectLarge(trial)
            try trial.expectMemory(
                of: server, since: before, say("for a file of 64 MiB", "发送 64 MiB 的文件"), "whole-file-kept")
            // And the connection goes on behind it.
            try client.send(helloRequest)
            try client.answer(to: "GET /hello.txt").expectBody(hello, "GET /hello.txt")
        },
        Check("file-slow-reader", suspects: Cause.http + [.blockedInSend]) { trial in
            let server = try trial.serveSite()
            try server.expectHello()
            let before = server.subject.peakMemory
            // They take a little, and then nothing for a while.
            let slow = try (0..<4).map { _ in try server.connect(smallBuffers: true) }
            for client in slow {
                try client.send(String(repeating: "GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n", count: 100))
                try client.answerHead(to: "GET /large.bin").expect(200, "GET /large.bin")
            }
            for _ in 0..<20 { try server.expectHello() }
            try trial.expectMemory(
                of: server, since: before, say("for four clients who do not take their 64 MiB", "四个客户端不取走各自的 64 MiB"),
                "whole-file-kept")
            // One of them goes on, and misses nothing.
            var rest = HTTPAnswer()
            rest.ending = .length(3 * pattern.count)
            var seen: [UInt8] = []
            try slow[2].takeBody(of: &rest, to: "GET /large.bin", until: Deadline(in: 30)) { seen += $0 }
            let right = (0..<3).flatMap { _ in pattern }
            if seen != right {
                throw Failure(
                    expected: say("the bytes of the file, in their order", "文件的字节，按顺序"),
                    got: say("other bytes", "别的字节"), difference: byteDifference(expected: right, got: seen))
            }
        },
        Check("file-deaf-closed", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            let deaf = try server.connect(smallBuffers: true)
            try deaf.send("GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
            // Not to wait for something: this silence is what the server has to end.
            poll(nil, 0, Int32(Lesson08.answerTimeout + 3000))
            let count = try deaf.takeUntilEnd()
            if count >= largeSize {
                throw Failure(
                    expected: say(
                        "a client that takes nothing for 13 s is not waited for: 10 s are enough",
                        "客户端 13 秒什么也不取：等 10 秒就够了，不再等它"),
                    got: say("it could go on, and got everything", "它还能继续，而且取到了全部"), cause: "waits-for-deaf-client")
            }
            try server.expectHello()
        },
        Check("file-slow-head", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            // Slow, and in time.
            let patient = try server.connect()
            let request = Array(helloRequest.utf8)
            try patient.send(Array(request.prefix(20)))
            poll(nil, 0, 1000)
            try patient.send(Array(request.dropFirst(20)))
            try patient.answer(to: "GET /hello.txt").expect(200, "GET /hello.txt")
            // A byte now and then, for ever: there is always something new, and never a request.
            let lorises = try (0..<3).map { _ in try server.connect() }
            try server.expectClosed(lorises, after: "GET / HTTP/1.1\r\nHost: a\r\n", trickling: "X: ")
        },
        Check("file-idle-closed", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            let silent = try server.connect()
            let asked = try server.connect()
            try asked.send(helloRequest)
            try asked.answer(to: "GET /hello.txt").expect(200, "GET /hello.txt")
            try server.expectClosed([silent, asked], after: "", trickling: "")
        },
        Check("file-leavers", suspects: [.connectionLeak, .clientEndedServer] + Cause.http) { trial in
            let server = try trial.serveSite(descriptorLimit: 64)
            for number in 0..<100 {
                let client = try server.connect(smallBuffers: number % 2 == 0)
                try client.send("GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
                try client.answerHead(to: "GET /large.bin").expect(200, "GET /large.bin")
                client.reset()
                if number % 10 == 9 { try server.expectHello() }
            }
            try server.expectHello()
        },
        Check("file-changes", suspects: Cause.http) { trial in
            // The length was promised, and the file has become shorter: the connection ends, nothing is made up.
            let server = try trial.serveSite()
            let client = try server.connect(smallBuffers: true)
            try client.send("GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
            let answer = try client.answerHead(to: "GET /large.bin")
            try answer.expect(200, "GET /large.bin")
            try check("truncate", truncate(trial.site + "/large.bin", 8 << 20))
            let count = try client.takeUntilEnd()
            if case .length = answer.ending, count >= largeSize {
                throw Failure(
                    expected: say("at most 8 MiB, and the end of the connection", "最多 8 MiB，然后连接结束"),
                    got: byteCount(count),
                    cause: "made-up-bytes")
            }
            try server.expectHello()
        },
        Check("file-bad-day", suspects: [.interruptedCall] + Cause.http) { trial in
            let plan =
                FaultPlan.most(100, each: .send) + .most(7, each: .receive) + .fail(.send, every: 3, with: EINTR)
                + .fail(.receive, every: 4, with: EINTR)
            let server = try trial.serveSite(plan: plan)
            let client = try server.connect()
            for _ in 0..<3 {
                try client.send("GET /bytes.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
                let answer = try client.answer(to: "GET /bytes.bin")
                try answer.expect(200, "GET /bytes.bin")
                try answer.expectBody(try trial.siteBytes(), "GET /bytes.bin")
            }
        },
        Check("file-not-modified", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            let first = try server.get("/hello.txt")
            try first.expectDate("Last-Modified", "GET /hello.txt", near: siteTime, within: 1)
            let date = first["Last-Modified"] ?? ""
            for (since, status) in [
                (date, 304), ("Sun, 06 Nov 1994 08:49:37 GMT", 200), ("Thu, 01 Jan 2037 00:00:00 GMT", 304),
                ("nonsense", 200),
            ] {
                let request = "GET /hello.txt, If-Modified-Since: \(since)"
                let client = try server.connect()
                try client.send("GET /hello.txt HTTP/1.1\r\nHost: localhost\r\nIf-Modified-Since: \(since)\r\n\r\n")
                let answer = try client.answer(to: request)
                // A date in the future is not one (RFC 9110, 13.1.3 leaves it to the server whether it counts).
                if since.contains("2037") {
                    try answer.expect([200, 304], request)
                } else {
                    try answer.expect(status, request)
                }
                if answer.status == 304 {
                    try client.send(helloRequest)
                    try client.answer(to: "GET /hello.txt").expectBody(hello, "GET /hello.txt")
                }
            }
        },
        Check("file-range", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            let bytes = try trial.siteBytes()
            let size = bytes.count
            for (range, part) in [
                ("0-0", 0..<1), ("10-19", 10..<20), ("\(size - 5)-", size - 5..<size), ("-7", size - 7..<size),
                ("100-999999", 100..<size), ("0-", 0..<size), ("-999999", 0..<size),
            ] {
                let request = "GET /bytes.bin, Range: bytes=\(range)"
                let answer = try server.ask(
                    "GET /bytes.bin HTTP/1.1\r\nHost: localhost\r\nRange: bytes=\(range)\r\n\r\n")
                try answer.expect(206, request)
                let expected = "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(size)"
                guard answer["Content-Range"] == expected else {
                    throw Failure(
                        expected: say(
                            "Content-Range: \(expected), for \(request)", "\(request)：Content-Range: \(expected)"),
                        got: answer["Content-Range"] ?? say("none", "没有"))
                }
                try answer.expectBody(Array(bytes[part]), request)
            }
            for range in ["\(size)-", "999999-9999999", "-0"] {
                let request = "GET /bytes.bin, Range: bytes=\(range)"
                let answer = try server.ask(
                    "GET /bytes.bin HTTP/1.1\r\nHost: localhost\r\nRange: bytes=\(range)\r\n\r\n")
                try answer.expect(416, request)
            }
            // What is no range is not there (RFC 9110, 14.2).
            for range in ["bytes=20-10", "bytes=a-b", "lines=1-2", "bytes=", "bytes"] {
                let request = "GET /bytes.bin, Range: \(range)"
                let answer = try server.ask("GET /bytes.bin HTTP/1.1\r\nHost: localhost\r\nRange: \(range)\r\n\r\n")
                try answer.expect([200, 400, 416], request)
                if answer.status == 200 { try answer.expectBody(bytes, request) }
            }
        },
        Check("file-url-session", suspects: Cause.http) { trial in try trial.askWithURLSession(try trial.serveSite()) },
        Check("file-curl", suspects: Cause.http) { trial in try trial.askWithCurl(try trial.serveSite()) },
    ]
    + concurrentServerChecks(entry, prefix: "file", exchange: helloExchange, clients: 100, suspects: Cause.http)
    .map { $0.after { try $0.makeSite(in: $0.folder) } }
    + streamServerChecks(entry, prefix: "file", exchange: helloExchange, suspects: Cause.http)
    .map { $0.after { try $0.makeSite(in: $0.folder) } }

/// What is read here stands behind the answer to HEAD: bytes that are no answer are its body.
private func behindHead<Result>(_ read: () throws -> Result) throws -> Result {
    do { return try read() } catch var failure as Failure {
        if ["bad-status-line", "bare-newline-sent"].contains(failure.cause) { failure.cause = "body-after-head" }
        throw failure
    }
}
