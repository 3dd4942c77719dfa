// Lesson 08: the file server in use: large files, slow and leaving clients, files that change, parts of files, other clients.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

private let entry = "file-server"

/// How long the servers of this lesson wait for a client that says nothing, in seconds.
let clientPatience = Double(Lesson08.clientTimeout) / 1000

/// The server gives up clients that say nothing for three seconds, and ours may not be let run for as long.
let fileServerChecks: [Check] =
    (fileAnswerChecks + fileUseChecks + sharedFileChecks).map { $0.whereSilenceEnds(after: clientPatience) }

private let sharedFileChecks =
    (concurrentServerChecks(entry, prefix: "file", exchange: helloExchange, clients: 100, suspects: Cause.keptHTTP)
    + streamServerChecks(entry, prefix: "file", exchange: helloExchange, suspects: Cause.keptHTTP))
    .map { $0.after { try $0.makeSite(in: $0.folder) } }

private let fileUseChecks: [Check] =
    [
        Check("file-large", suspects: Cause.keptHTTP) { trial in
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
            // Not to wait for something: this is longer than a request may take, and much less than an answer may. One of
            // them goes on then, and misses nothing.
            poll(nil, 0, Int32(Lesson08.clientTimeout + 1000))
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
            // This one has begun to ask for more, which changes nothing.
            let asking = try server.connect(smallBuffers: true)
            try asking.send("GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hello.txt HT")
            // And this one asks for as much as goes in: what is left unread must not keep the server busy.
            let flooding = try server.connect(smallBuffers: true)
            try flooding.send("GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
            _ = try flooding.sendUntilStuck(Array(String(repeating: helloRequest, count: 200_000).utf8))
            let before = now()
            try trial.expectRestBesideDeafClient(server)
            // Not to wait for something: this silence is what the server has to end.
            poll(nil, 0, Int32(Lesson08.answerTimeout + 3000) - Int32((now() - before) / 1_000_000))
            for client in [deaf, asking] where try client.takeUntilEnd() >= largeSize {
                let isLimited = server.subject.timeline.calls("setsockopt").contains { $0.optionName == "SO_SNDTIMEO" }
                throw Failure(
                    expected: say(
                        "a client that has taken nothing for 10 s is closed; this one took nothing for 13 s",
                        "客户端 10 秒什么也不取就关闭它；这个客户端 13 秒没有取"),
                    got: say("it could go on, and got everything", "它还能继续，而且取到了全部"),
                    cause: isLimited ? "send-limit-twice" : "waits-for-deaf-client")
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
        Check("file-patience", suspects: Cause.keptHTTP) { trial in
            // Late, and in time: their seconds begin with the connection, and anew behind each answer.
            let server = try trial.serveSite()
            let first = try server.connect()
            poll(nil, 0, 900)  // a late client is what is played here, and below
            let second = try server.connect()
            for (client, pause) in [(first, 1000), (second, 900), (first, 1000), (second, 900)] {
                poll(nil, 0, Int32(pause))
                do {
                    try client.send(helloRequest)
                    try client.answer(to: "GET /hello.txt").expectBody(hello, "GET /hello.txt")
                } catch var failure as Failure {
                    failure.expected += say(
                        ", asked for after 1.9 s without a word", "，在沉默 1.9 秒之后请求")
                    failure.cause = failure.cause ?? "given-up-in-time"
                    throw failure
                }
            }
            // They have been looked at by then, and there is nothing to do until somebody's time is up.
            try trial.expectQuiet(server)
        },
        Check("file-leavers", suspects: [.connectionLeak, .clientEndedServer] + Cause.http) { trial in
            let server = try trial.serveSite(descriptorLimit: 64)
            do {
                for number in 0..<100 {
                    let client = try server.connect(smallBuffers: number % 2 == 0)
                    try client.send("GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    try client.answerHead(to: "GET /large.bin").expect(200, "GET /large.bin")
                    client.reset()
                    if number % 10 == 9 { try server.expectHello() }
                }
                try server.expectHello()
            } catch var failure as Failure {
                if server.isFullOfFiles { failure.cause = "leavers-file-open" }
                throw failure
            }
        },
        Check("file-opened", suspects: [.connectionLeak] + Cause.http) { trial in
            let server = try trial.serveSite(descriptorLimit: 64)
            // The pipe last: a server may close behind a 400.
            let asked = [
                ("/docs/more/deep.txt", [200]), ("/docs/", [200]), ("/docs/more", [301, 302, 307, 308, 403, 404]),
                ("/docs/none", [404]), ("/bare/", [403, 404]), ("/pipe", [400, 403, 404]),
            ]
            for _ in 0..<100 {
                let client = try server.connect()
                defer { client.close() }
                do {
                    for (target, statuses) in asked {
                        try client.send("GET \(target) HTTP/1.1\r\nHost: localhost\r\n\r\n")
                        try client.answer(to: "GET \(target)").expect(statuses, "GET \(target)")
                    }
                } catch var failure as Failure {
                    if server.isFullOfFiles { failure.cause = "folder-left-open" }
                    throw failure
                }
            }
            try server.expectHello()
        },
        Check(
            "file-full-table",
            suspects: [.crashAtFullTable, .throwsOutTheQueue, .spinsOnFullTable, .acceptErrorEndedServer] + Cause.http
        ) { trial in
            // How many clients find room is the server's own business: files need descriptors, too.
            let server = try trial.serveSite(descriptorLimit: 80)
            let clients = try (0..<82).map { _ in try server.connect() }
            var accepted = 0
            while let more = try server.subject.waitForTimeline(
                until: Deadline(in: 0.2),
                { timeline in
                    let count = timeline.calls.count { $0.isAccept && $0.result >= 0 }
                    return count > accepted ? count : nil
                })
            {
                accepted = more
            }
            try trial.expectRest(server.subject, say("a second with no room for another client", "没有空闲描述符的一秒内"))
            for client in clients.prefix(52) { client.close() }
            // Those who waited in the queue get their turn.
            for client in clients.suffix(30) {
                try client.send(helloRequest)
                try client.answer(to: "GET /hello.txt").expectBody(hello, "GET /hello.txt")
            }
            try server.expectHello()
        },
        Check("file-changes", suspects: Cause.http) { trial in
            // The length was promised, and the file has become shorter: the connection ends, nothing is made up. A wait that
            // was interrupted leaves an errno behind, which the end of a file does not touch.
            let server = try trial.serveSite(plan: .fail(.waitReady, every: 2, with: EINTR))
            let client = try server.connect(smallBuffers: true)
            try client.send("GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
            let answer = try client.answerHead(to: "GET /large.bin")
            try answer.expect(200, "GET /large.bin")
            try check("truncate", truncate(trial.site + "/large.bin", 8 << 20))
            let count = try client.takeUntilEnd(causeIfLate: "waits-for-the-file")
            if case .length = answer.ending, count >= largeSize {
                throw Failure(
                    expected: say("at most 8 MiB, and the end of the connection", "最多 8 MiB，然后连接结束"),
                    got: byteCount(count),
                    cause: "made-up-bytes")
            }
            try server.expectHello()
        },
        Check("file-bad-day", suspects: [.interruptedCall] + Cause.keptHTTP) { trial in
            let plan =
                FaultPlan.most(100, each: .send) + .most(7, each: .receive) + .fail(.send, every: 3, with: EINTR)
                + .fail(.receive, every: 4, with: EINTR) + .fail(.waitReady, every: 2, with: EINTR)
            let server = try trial.serveSite(plan: plan)
            let client = try server.connect()
            for _ in 0..<3 {
                try client.send("GET /bytes.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
                let answer = try client.answer(to: "GET /bytes.bin")
                try answer.expect(200, "GET /bytes.bin")
                try answer.expectBody(try trial.siteBytes(), "GET /bytes.bin")
            }
        },
        Check("file-not-modified", suspects: Cause.keptHTTP) { trial in
            let server = try trial.serveSite()
            let first = try server.get("/hello.txt")
            try first.expectDate("Last-Modified", "GET /hello.txt", near: siteTime, within: 1)
            let date = first["Last-Modified"] ?? ""
            for (since, status) in [
                (date, 304), ("Sun, 06 Nov 1994 08:49:37 GMT", 200), ("Thu, 01 Jan 2037 00:00:00 GMT", 304),
                // Old forms of a date before it; who does not know them takes them for none.
                ("Sun Nov  6 08:49:37 1994", 200), ("Sunday, 06-Nov-94 08:49:37 GMT", 200), ("nonsense", 200),
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
            // Other conditions are passed over, or understood (RFC 9110, 13.1): in both cases this is the answer.
            for (condition, statuses) in [
                ("If-None-Match: \"x\"", [200]), ("If-None-Match: *", [200, 304]), ("If-Match: *", [200]),
                ("If-Match: \"x\"", [200, 412]), ("If-Unmodified-Since: \(date)", [200]),
                ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT", [200, 412]),
            ] {
                try server.ask("GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\(condition)\r\n\r\n")
                    .expect(statuses, "GET /hello.txt, \(condition)")
            }
            // Two digits everywhere, a leap day, the first of each month, the last of some: 2000, 2010, 2023.
            let firsts = [1, 32, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335].map {
                1_672_531_200 + ($0 - 1) * 86_400
            }
            for time in [951_827_696, 1_262_304_000, 1_267_401_600, 1_696_932_610, 1_704_067_199] + firsts {
                let target = "/at-\(time).txt"
                try trial.makeSiteFile(target, modified: time_t(time))
                let answer = try server.get(target)
                try answer.expectDate("Last-Modified", "GET \(target)", near: time_t(time), within: 0)
                let since = answer["Last-Modified"] ?? ""
                try server.ask("GET \(target) HTTP/1.1\r\nHost: localhost\r\nIf-Modified-Since: \(since)\r\n\r\n")
                    .expect(304, "GET \(target), If-Modified-Since: \(since)")
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
                        got: answer["Content-Range"] ?? say("none", "没有"),
                        cause: answer["Content-Range"] == "bytes \(part.lowerBound)-\(part.upperBound - 2)/\(size)"
                            ? "range-end-left-out" : nil)
                }
                try answer.expectBody(Array(bytes[part]), request)
            }
            let whole = try server.ask("GET /one.txt HTTP/1.1\r\nHost: localhost\r\nRange: bytes=-7\r\n\r\n")
            try whole.expect(206, "GET /one.txt, Range: bytes=-7")
            try whole.expectBody([0x31], "GET /one.txt, Range: bytes=-7")
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
