// The folder that the checks of lesson 08 have served, what lies beside it, and the clients that ask for it.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

let hello = Array("Hello, 世界\n".utf8)
let plain = Array("plain\n".utf8)
let helloRequest = "GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"

/// What large.bin repeats: no power of two, so that a piece that is sent twice or left out shows.
let pattern: [UInt8] = {
    var random = SeededGenerator(seed: 8)
    return random.bytes(100_003)
}()

/// When the files were changed last: 2024-02-29 12:34:56 UTC.
let siteTime: time_t = 1_709_210_096

/// Names, the types that are right, and whether they are text, which has a charset.
let siteTypes: [(name: String, types: [String], isText: Bool)] = [
    ("a.html", ["text/html"], true), ("a.htm", ["text/html"], true), ("a.css", ["text/css"], true),
    ("a.js", ["text/javascript", "application/javascript"], true), ("a.txt", ["text/plain"], true),
    ("a.json", ["application/json"], false), ("a.png", ["image/png"], false), ("a.jpg", ["image/jpeg"], false),
    ("a.gif", ["image/gif"], false), ("a.svg", ["image/svg+xml"], false), ("a.pdf", ["application/pdf"], false),
    ("A.HTML", ["text/html"], true), ("a.b.css", ["text/css"], true), ("a", ["application/octet-stream"], false),
    ("a.xyz", ["application/octet-stream"], false),
]

let helloExchange = Exchange(question: Array(helloRequest.utf8)) { client in
    let answer = try client.answer(to: "GET /hello.txt")
    try answer.expect(200, "GET /hello.txt")
    try answer.expectBody(hello, "GET /hello.txt")
}

private let secret = "TOP SECRET: not for clients\n"

/// Targets that lead out of a folder, if one lets them.
func escapes(from folder: String) -> [String] {
    let up = [
        "..", "%2e%2e", ".%2e", "%2E.", "..%2f..", "%2e%2e%2f", "%252e%252e", "..%5c", "..\\", "%c0%ae%c0%ae", "..%00",
        "....",
    ]
    return up.flatMap { ["/\($0)/secret.txt", "/docs/\($0)/\($0)/secret.txt", "/\($0)/site-secret/secret.txt"] } + [
        "/../secret.txt?x", "/docs/../../secret.txt", "/docs/..//../secret.txt", "/./../secret.txt",
        "/docs/%2e%2e/%2e%2e/secret.txt",
        "/..%2fsecret.txt", "/docs%2f..%2f..%2fsecret.txt", "/%2e%2e%2fsecret.txt%00.html",
        "http://localhost/../secret.txt",
        "http://localhost/%2e%2e/secret.txt", "/\(folder)/secret.txt", "//\(folder)/secret.txt",
        "/%2f\(folder)/secret.txt",
        "\(folder)/secret.txt", "/file:\(folder)/secret.txt", "file://\(folder)/secret.txt",
        "/docs/" + String(repeating: "../", count: 20) + "etc/passwd",
        "/" + String(repeating: "%2e%2e/", count: 30) + "etc/passwd", "/%2fetc%2fpasswd", "//etc/passwd",
        "/..;/secret.txt", "../secret.txt", "..",
    ]
}

extension Trial {
    /// The folder that is served. What must not come out lies beside it.
    var site: String { folder + "/site" }

    func siteBytes() throws -> [UInt8] { Array(pattern.prefix(70_001)) }

    /// Starts the file server in a folder with everything that the checks ask for.
    func serveSite(plan: FaultPlan = .none, descriptorLimit: Int? = nil) throws -> Server {
        // A check that begins again begins with all that it may have changed as it was.
        for left in [site, folder + "/site-secret", folder + "/secret.txt"]
        where FileManager.default.fileExists(atPath: left) {
            try FileManager.default.removeItem(atPath: left)
        }
        try makeSite(in: site)
        return try serve("file-server", plan: plan, descriptorLimit: descriptorLimit, folder: site)
    }

    /// A small file in the site, with this time.
    func makeSiteFile(_ target: String, modified time: time_t) throws {
        guard FileManager.default.createFile(atPath: site + target, contents: Data("dated\n".utf8)) else {
            throw LabError("cannot write \(site + target)")
        }
        var times = [timeval(tv_sec: time, tv_usec: 0), timeval(tv_sec: time, tv_usec: 0)]
        try check("utimes", utimes(site + target, &times))
    }

    func makeSite(in site: String) throws {
        let isOwn = site != folder
        func write(_ name: String, _ content: [UInt8]) throws {
            let path = site + "/" + name
            try makeFolders(String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)]))
            guard FileManager.default.createFile(atPath: path, contents: Data(content)) else {
                throw LabError("cannot write \(path)")
            }
            var times = [timeval(tv_sec: siteTime, tv_usec: 0), timeval(tv_sec: siteTime, tv_usec: 0)]
            try check("utimes", utimes(path, &times))
        }
        try write("hello.txt", hello)
        guard isOwn else { return }
        try write("index.html", Array("<h1>Home</h1>\n".utf8))
        try write("docs/index.html", Array("<h1>Docs</h1>\n".utf8))
        try write("one.txt", [0x31])
        for name in ["docs/plain.txt", "docs/more/deep.txt", "a b.txt", "粘包.txt", "a+b.txt", "100%.txt"] {
            try write(name, plain)
        }
        try write("empty.txt", [])
        try write("bytes.bin", try siteBytes())
        for type in siteTypes { try write("types/" + type.name, plain) }
        try makeFolders(site + "/bare")
        try makeFolders(site + "/front")
        try makeLarge(site + "/large.bin")
        try check("mkfifo", mkfifo(site + "/pipe", 0o600))

        // Beside it: a file, and a folder whose name begins like that of the site.
        for path in [folder + "/secret.txt", folder + "/site-secret/secret.txt"] {
            try makeFolders(String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)]))
            guard FileManager.default.createFile(atPath: path, contents: Data(secret.utf8)) else {
                throw LabError("cannot write \(path)")
            }
        }
        for (link, target) in [
            ("link.txt", "../secret.txt"), ("link", folder), ("sibling.txt", "../site-secret/secret.txt"),
            ("sibling", "../site-secret"), ("chain.txt", "link.txt"), ("docs/up", "../.."),
            // What is given for a folder may be a link, too.
            ("front/index.html", "../../secret.txt"),
        ] {
            try check("symlink", symlink(target, site + "/" + link))
        }
    }

    private func makeFolders(_ path: String) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    private func makeLarge(_ path: String) throws {
        let descriptor = try check("open", open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600))
        defer { close(descriptor) }
        let piece = repeatElement(pattern, count: 10).flatMap { $0 }
        var written = 0
        while written < largeSize {
            let count = min(piece.count, largeSize - written)
            try check("write", Int32(truncatingIfNeeded: write(descriptor, piece, count)))
            written += count
        }
    }

    func expectMemory(of server: Server, since before: Int, _ what: String, _ mistake: String) throws {
        let grown = (server.subject.peakMemory - before) >> 20
        guard grown > 32 else { return }
        throw Failure(
            expected: say("at most 32 MiB more memory \(what)", "\(what)，最多多用 32 MiB 内存"),
            got: say("\(grown) MiB more", "多用了 \(grown) MiB"),
            cause: mistake)
    }
}

extension Server {
    /// Of a table of 64: what it is full of are no connections.
    var isFullOfFiles: Bool { subject.descriptorCount - openSockets.count > 40 }

    /// One request on a connection of its own, which is closed then: a server has so many descriptors.
    func ask(_ request: String) throws -> HTTPAnswer {
        let client = try connect()
        defer { client.close() }
        try client.send(request)
        let line = request.prefix { $0 != "\r\n" }
        return try client.answer(to: String(line.hasSuffix(" HTTP/1.1") ? line.dropLast(9) : line))
    }

    func get(_ target: String) throws -> HTTPAnswer {
        try ask("GET \(target) HTTP/1.1\r\nHost: localhost\r\n\r\n")
    }

    /// It lives, and serves everybody else.
    func expectHello() throws {
        let answer = try get("/hello.txt")
        try answer.expect(200, "GET /hello.txt")
        try answer.expectBody(hello, "GET /hello.txt")
    }

    /// Whatever it answers, it is not the file beside the folder, and no file of the system.
    func expectNoSecret(_ target: String, cause: String = "left-the-root") throws {
        let client = try connect()
        let name = target.utf8.count > 70 ? String(target.prefix(60)) + "…" : target
        try client.send("GET \(target) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        let answer = try client.answer(to: "GET \(name)")
        let text = String(decoding: answer.body, as: UTF8.self)
        let leaked = text.contains("TOP SECRET") || text.contains("root:")
        guard leaked || ![400, 403, 404, 414].contains(answer.status) else { return }
        throw Failure(
            expected: say("400, 403, 404 or 414 to GET \(name)", "对 GET \(name) 回答 400、403、404 或 414"),
            got: leaked
                ? say("a file from outside the folder: \(quoted(answer.body))", "文件夹之外的文件：\(quoted(answer.body))")
                : answer.text,
            cause: leaked ? cause : nil)
    }

    /// Clients that are too slow are closed, a 408 before that or not; all others are served meanwhile.
    ///
    /// - Parameter trickle: sent again and again, a byte at a time; nothing if it is empty.
    func expectClosed(_ clients: [StreamPeer], after start: String, trickling trickle: String) throws {
        for client in clients where !start.isEmpty { try client.send(start) }
        let limit = Double(Lesson08.clientTimeout) / 1000
        // The server's limit does not shrink with the scale, so the wait must not.
        let patience = (2 * limit + 4) * max(1, Deadline.scale)
        let deadline = Deadline(in: patience / Deadline.scale)
        var open = clients
        var refused: Set<Int32> = []
        var sent = 0
        while !open.isEmpty {
            try expectHello()
            // Whoever is open then is looked at once more, however late we are.
            let isLate = deadline.hasPassed
            open = try open.filter { client in
                let byte = Array(trickle.utf8)
                if !byte.isEmpty, client.isBroken(sending: [byte[sent % byte.count]]) { return false }
                switch try client.receive(1024, until: Deadline(in: 0.05), expected: "") {
                case .bytes(let bytes):
                    guard refused.contains(client.descriptor) || bytes.starts(with: Array("HTTP/1.1 408".utf8)) else {
                        throw Failure(
                            expected: say("the end of the connection, or 408 before it", "连接结束，或者先回答 408"),
                            got: quoted(bytes, most: 60))
                    }
                    // The end is still to come.
                    refused.insert(client.descriptor)
                    return true
                case .end, .broken: return false
                case .late: return true
                }
            }
            if isLate, !open.isEmpty {
                throw Failure(
                    expected: say(
                        "a client that does not complete a request is closed after \(Int(limit)) s",
                        "\(Int(limit)) 秒内没有发完请求的客户端被关闭"),
                    got: refused.isSuperset(of: open.map(\.descriptor))
                        ? say(
                            "408, and after \(Int(patience)) s it is still open", "408，而且 \(Int(patience)) 秒后仍然开着")
                        : say("after \(Int(patience)) s it is still open", "\(Int(patience)) 秒后仍然开着"),
                    cause: trickle.isEmpty ? "silent-client-kept" : "slow-client-kept")
            }
            sent += 1
            // Not to wait for something: it is a slow client.
            poll(nil, 0, 200)
        }
    }
}

extension StreamPeer {
    func isBroken(sending bytes: [UInt8]) -> Bool {
        do { return try sendWhatFits(bytes) < 0 } catch { return true }
    }

    /// Sends as much as the program takes, and does not mind if it closes: it is right to.
    func sendInVain(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        let deadline = Deadline(in: 5)
        while !rest.isEmpty && !deadline.hasPassed {
            let part = Array(rest.prefix(1 << 20))
            guard let count = try? sendWhatFits(part) else { return }
            rest = rest.dropFirst(count)
            if count == 0 { poll(nil, 0, 10) }
        }
    }

    /// One of these statuses, and the end of the connection; nothing that stands behind the request is answered. A
    /// server that closes while bytes are unread resets the connection, and the answer may be lost with it.
    ///
    /// - Parameter mistake: of who answers it as if it were good.
    func expectRefusal(_ statuses: [Int], _ request: String, accepted mistake: String? = nil) throws {
        let list = statuses.map { "\($0)" }.joined(separator: say(" or ", " 或 "))
        let answer: HTTPAnswer
        do { answer = try self.answer(to: request) } catch let failure as Failure {
            if case .broken? = try? receive(1, until: Deadline(in: 0.1), expected: "") { return }
            guard wasReset(failure) else { throw failure }
            return
        }
        // What may be said of a request that was understood.
        let isAccepted = [200, 204, 404, 405].contains(answer.status)
        do { try answer.expect(statuses, request) } catch var failure as Failure {
            if isAccepted { failure.cause = mistake ?? failure.cause }
            throw failure
        }
        let expected = say("the connection is closed after \(list) for \(request)", "对 \(request) 回答 \(list) 之后关闭连接")
        if case .close = answer.ending { return }
        do { try expectDeaf(cause: "kept-after-refusal") } catch var failure as Failure {
            failure.expected = expected
            throw failure
        }
    }

    /// The last answer was given: the connection ends, and one more request gets no answer. (To wait for the end alone would
    /// not do: sooner or later every connection is closed for being idle.)
    func expectDeaf(cause: String) throws {
        let expected = say(
            "\(name) is closed, and one more request on it is not answered", "\(name)被关闭，上面再来的请求不再回答")
        do { try send(helloRequest) } catch is Failure {
            return  // it is closed already
        }
        switch try receive(200, until: Deadline(), expected: expected) {
        case .end, .broken: return
        case .late: throw Failure(expected: expected, got: say("it is still open", "它仍然开着"), cause: cause)
        case .bytes(let bytes):
            throw Failure(
                expected: expected, got: say("another answer: ", "又一个回答：") + quoted(bytes, most: 60), cause: cause)
        }
    }

    private func wasReset(_ failure: Failure) -> Bool { failure.got.hasSuffix(errorText(ECONNRESET)) }

    /// The answer to one of several requests that were sent at once. Who gives the first answer, and then waits until its
    /// patience is over, has lost the others.
    func pipelinedAnswer(to request: String, isFirst: Bool) throws -> HTTPAnswer {
        let began = now()
        do {
            let answer = try answer(to: request)
            guard answer.status == 408, !isFirst else { return answer }
            throw Failure(expected: say("an answer to \(request)", "对 \(request) 的回答"), got: answer.text)
        } catch var failure as Failure {
            let isSilent = now() - began > UInt64(Lesson08.clientTimeout) * 700_000
            if !isFirst, isSilent { failure.cause = failure.cause ?? "pipelined-request-lost" }
            throw failure
        }
    }

    /// Behind a request with a body: the answer to the next request, or the end of the connection.
    func expectHelloOrEnd(behind request: String, cause: String) throws {
        let expected = say(
            "the answer to GET /hello.txt behind \(request), or the end", "\(request) 之后是对 GET /hello.txt 的回答，或者流结束")
        let answer: HTTPAnswer
        do { answer = try self.answer(to: "GET /hello.txt") } catch let failure as Failure {
            if wasReset(failure) || failure.got == say("the connection was closed", "连接被关闭") { return }
            throw Failure(expected: expected, got: failure.got, cause: failure.cause ?? cause)
        }
        guard answer.status == 200, answer.body == hello else {
            throw Failure(
                expected: expected, got: answer.text + ", " + quoted(answer.body),
                cause: answer.status == 408 ? "pipelined-request-lost" : cause)
        }
    }

    /// All of large.bin, byte for byte, without keeping it.
    func expectLarge(_ trial: Trial) throws {
        let deadline = Deadline(in: 60)
        var answer = try answerHead(to: "GET /large.bin", until: deadline)
        try answer.expect(200, "GET /large.bin")
        var count = 0
        try takeBody(of: &answer, to: "GET /large.bin", until: deadline) { piece in
            try comparePiece(piece, at: count)
            count += piece.count
        }
        try trial.expect(count, equals: largeSize, say("bytes of large.bin", "large.bin 的字节数"))
    }

    private func comparePiece(_ piece: [UInt8], at position: Int) throws {
        var start = 0
        while start < piece.count {
            let offset = (position + start) % pattern.count
            let length = min(piece.count - start, pattern.count - offset)
            let isSame = piece.withUnsafeBytes { piece in
                pattern.withUnsafeBytes { memcmp(piece.baseAddress! + start, $0.baseAddress! + offset, length) == 0 }
            }
            guard isSame else {
                throw Failure(
                    expected: say(
                        "the bytes of large.bin from \(position + start) on", "large.bin 从第 \(position + start) 字节起的内容"),
                    got: say("other bytes", "别的字节"),
                    difference: byteDifference(
                        expected: Array(pattern[offset..<offset + min(length, 64)]),
                        got: Array(piece[start...].prefix(64))))
            }
            start += length
        }
    }

    /// Takes what still comes, until the program has closed or reset the connection.
    func takeUntilEnd(causeIfLate: String? = nil) throws -> Int {
        var count = 0
        let deadline = Deadline(in: 30)
        let expected = say("the program sends, and closes \(name)", "程序发送，然后关闭\(name)")
        while true {
            switch try receive(1 << 18, until: deadline, expected: expected) {
            case .bytes(let bytes):
                count += bytes.count
                // All of it: a server that keeps the connection open has still done what it was asked.
                if count >= largeSize { return count }
            case .end, .broken: return count
            case .late:
                throw Failure(
                    expected: expected,
                    got: say("\(byteCount(count)), and it is still open", "收到 \(byteCount(count))，仍然开着"),
                    cause: causeIfLate)
            }
        }
    }
}
