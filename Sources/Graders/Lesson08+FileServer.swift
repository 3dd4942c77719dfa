// Lesson 08: the file server. Its folder is one of the trial's, and so is what lies beside it and must not come out.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

private let entry = "file-server"

let fileAnswerChecks: [Check] =
    [
        Check("file-content", suspects: Cause.keptHTTP) { trial in
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
        Check("file-missing", suspects: Cause.keptHTTP) { trial in
            let server = try trial.serveSite()
            let client = try server.connect()
            for target in [
                "/missing", "/docs/missing.html", "/no/such/folder/", "/hello.txt/more", "/bare/", "/hello.tx",
                "/docs/none/plain.txt",
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
                "/a%20b.txt", "/%61%20b%2Etxt", "/%E7%B2%98%E5%8C%85.txt", "/%e7%b2%98%e5%8c%85.txt",
                "/%e7%b2%98%e5%8c%85.txt?version=2", "/a+b.txt",
                "/100%25.txt", "//docs/.//../docs/plain.txt".replacing("/../docs", with: ""),
                "http://localhost/docs/plain.txt",
                "/docs/plain.txt", "/docs/more/deep.txt", "/docs/plain.txt?/../../hello.txt",
            ] {
                let answer = try server.get(target)
                do { try answer.expect(200, "GET \(target)") } catch var failure as Failure {
                    // Without the query it was found just before.
                    if answer.status == 404, target.contains("?") { failure.cause = "query-in-name" }
                    throw failure
                }
                try answer.expectBody(plain, "GET \(target)")
            }
        },
        Check("file-head", suspects: Cause.keptHTTP) { trial in
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
        Check("file-keep-alive", suspects: Cause.keptHTTP) { trial in
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
        Check("file-pipelined", suspects: Cause.keptHTTP) { trial in
            let client = try trial.serveSite().connect()
            let targets = ["/hello.txt", "/missing", "/docs/plain.txt", "/empty.txt", "/docs/", "/hello.txt"]
            let requests = (targets + targets).map { "GET \($0) HTTP/1.1\r\nHost: localhost\r\n\r\n" }
            try client.send(requests.joined())
            for (number, target) in (targets + targets).enumerated() {
                let answer = try client.pipelinedAnswer(to: "GET \(target)", isFirst: number == 0)
                try answer.expect(
                    target == "/missing" ? 404 : 200,
                    say("request \(number + 1), ", "第 \(number + 1) 个请求，") + "GET \(target)")
                if target == "/docs/plain.txt" { try answer.expectBody(plain, "GET \(target)") }
            }
        },
        Check("file-cut", suspects: [.closedAfterAnswer, .half] + Cause.http) { trial in
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
        Check("file-close", suspects: Cause.http) { trial in
            let server = try trial.serveSite()
            for line in ["Connection: close", "connection: Close", "Connection: x-other, close"] {
                let client = try server.connect()
                try client.send("GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\(line)\r\n\r\n")
                let answer = try client.answer(to: "GET /hello.txt")
                try answer.expect(200, "GET /hello.txt")
                try answer.expectBody(hello, "GET /hello.txt")
                if case .close = answer.ending { continue }
                try client.expectDeaf(cause: "close-ignored")
            }
        },
        Check("file-http10", suspects: Cause.http) { trial in
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
            try client.expectDeaf(cause: "close-ignored")
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
        Check("file-refused", suspects: Cause.http) { trial in
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
                var mistake: String?
                if request == "GET / HTTP/1.1\r\n\r\n" { mistake = "host-unchecked" }
                if request.contains("gzip") { mistake = "coding-ignored" }
                try client.expectRefusal(statuses, text, accepted: mistake)
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
                try client.expectRefusal(
                    statuses, quoted(Array(request.utf8), most: 50), accepted: "no-limit")
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
                "/docs/up/secret.txt", "/front/",
            ] {
                try server.expectNoSecret(target, cause: "followed-link")
            }
            try server.expectHello()
        },
        Check("file-odd", suspects: [.openedPipe] + Cause.keptHTTP) { trial in
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
    ]

/// What is read here stands behind the answer to HEAD: bytes that are no answer are its body.
func behindHead<Result>(_ read: () throws -> Result) throws -> Result {
    do { return try read() } catch var failure as Failure {
        if ["bad-status-line", "bare-newline-sent"].contains(failure.cause) { failure.cause = "body-after-head" }
        throw failure
    }
}
