// Clients that nobody here wrote: URLSession (libcurl, on Linux, behind Foundation's rules) and the program curl.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// What URLSession made of one exchange.
struct SessionAnswer: Sendable {
    var status: Int
    var body: [UInt8]
    var type: String
}

/// URLSession would ask the proxy that the environment names, also for this machine.
private let noProxy: Void = {
    let names = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
    if names.contains(where: { getenv($0) != nil }) { setenv("no_proxy", "*", 1) }
}()

extension Trial {
    /// A session that keeps nothing and goes through no proxy.
    func withURLSession<Result>(_ body: (URLSession) throws -> Result) rethrows -> Result {
        _ = noProxy
        let configuration = URLSessionConfiguration.ephemeral
        configuration.connectionProxyDictionary = [:]
        configuration.timeoutIntervalForRequest = 3 * Deadline.patience * Deadline.scale
        configuration.urlCache = nil
        let session = URLSession(configuration: configuration)
        defer { session.invalidateAndCancel() }
        return try body(session)
    }

    func askWithURLSession(_ server: Server) throws {
        try withURLSession { session in
            for (target, status, content) in [
                ("/hello.txt", 200, hello), ("/docs/", 200, Array("<h1>Docs</h1>\n".utf8)), ("/missing", 404, nil),
                ("/a%20b.txt", 200, plain), ("/%E7%B2%98%E5%8C%85.txt", 200, plain),
                ("/bytes.bin", 200, try siteBytes()),
                ("/hello.txt", 200, hello),
            ] {
                let answer = try session.ask(server, "GET", target)
                try expect(
                    answer.status, equals: status,
                    say("URLSession: the status of GET \(target)", "URLSession：GET \(target) 的状态码"))
                if let content {
                    try expect(
                        answer.body, equals: content,
                        say("URLSession: the body of GET \(target)", "URLSession：GET \(target) 的消息体"))
                }
            }
            let head = try session.ask(server, "HEAD", "/hello.txt")
            try expect(
                head.status, equals: 200,
                say("URLSession: the status of HEAD /hello.txt", "URLSession：HEAD /hello.txt 的状态码"))
            try expect(
                head.body.count, equals: 0,
                say("URLSession: bytes of body of HEAD /hello.txt", "URLSession：HEAD /hello.txt 的消息体字节数"))
            let large = try session.ask(server, "GET", "/large.bin")
            try expect(
                large.body.count, equals: largeSize,
                say("URLSession: bytes of GET /large.bin", "URLSession：GET /large.bin 的字节数"))
        }
    }

    /// Runs curl; skips the check where there is none.
    func curl(_ arguments: [String]) throws -> (status: Int32, output: [UInt8]) {
        let places = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":")
        let programs = places.map { String($0) + "/curl" }
        guard let program = programs.first(where: { (path: String) in access(path, X_OK) == 0 }) else {
            throw Unavailable(say("curl is missing: sudo apt-get install curl", "没有 curl：sudo apt-get install curl"))
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        // -q: nobody's ~/.curlrc; no proxy of the environment; it gives up by itself.
        let patience = Int(30 * Deadline.scale)
        process.arguments =
            ["-q", "--noproxy", "*", "-sS", "--max-time", "\(patience)", "--path-as-is"] + arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        process.standardInput = FileHandle.nullDevice
        note("curl " + arguments.joined(separator: " "))
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, Array(data))
    }

    func askWithCurl(_ server: Server) throws {
        let base = "http://\(server.address)"
        // One connection for all: curl says how many it made, and what came of each.
        let targets = ["/hello.txt", "/missing", "/docs/", "/a%20b.txt", "/../secret.txt", "/%2e%2e/secret.txt"]
        var arguments: [String] = []
        for target in targets {
            if !arguments.isEmpty { arguments.append("--next") }
            arguments += [
                "-q", "--noproxy", "*", "--path-as-is", "-s", "-o", "/dev/null", "-w",
                "%{http_code} %{num_connects}\\n", base + target,
            ]
        }
        let (status, output) = try curl(arguments)
        let lines = String(decoding: output, as: UTF8.self).split(separator: "\n").map(String.init)
        guard status == 0, lines.count == targets.count else {
            throw Failure(
                expected: say("curl is served \(targets.count) times", "curl 得到 \(targets.count) 次服务"),
                got: say("curl ended with \(status): ", "curl 以 \(status) 结束：") + quoted(output, most: 200))
        }
        for (target, line) in zip(targets, lines) {
            let code = Int(line.prefix(3)) ?? 0
            let right = target == "/missing" ? [404] : target.contains("secret") ? [400, 403, 404] : [200]
            guard right.contains(code) else {
                throw Failure(
                    expected: say("curl: \(right[0]) for \(target)", "curl：\(target) 得到 \(right[0])"), got: "\(code)")
            }
        }
        let connections = lines.prefix(4).compactMap { Int($0.split(separator: " ").last ?? "") }.reduce(0, +)
        guard connections == 1 else {
            throw Failure(
                expected: say("curl needs one connection for four requests", "curl 用一个连接发四个请求"),
                got: say("it made \(connections)", "它建立了 \(connections) 个"), cause: "keep-alive-ignored")
        }
        let (_, body) = try curl(["--http1.0", base + "/bytes.bin"])
        try expect(
            body.count, equals: try siteBytes().count,
            say("curl --http1.0: bytes of /bytes.bin", "curl --http1.0：/bytes.bin 的字节数"))
    }
}

extension URLSession {
    /// - Throws: a `Failure` if the session has no answer to give.
    func ask(_ server: Server, _ method: String, _ target: String, body: Data? = nil, type: String? = nil) throws
        -> SessionAnswer
    {
        guard let url = URL(string: "http://\(server.address)\(target)") else { throw LabError("no URL: \(target)") }
        var request = URLRequest(url: url)
        request.httpMethod = method
        request.httpBody = body
        if let type { request.setValue(type, forHTTPHeaderField: "Content-Type") }
        let done = DispatchSemaphore(value: 0)
        let result = SessionResult()
        let task = dataTask(with: request) { data, response, error in
            if let response = response as? HTTPURLResponse {
                result.answer = SessionAnswer(
                    status: response.statusCode, body: data.map { Array($0) } ?? [],
                    type: response.value(forHTTPHeaderField: "Content-Type") ?? "")
            }
            result.error = error.map { "\($0.localizedDescription)" }
            done.signal()
        }
        task.resume()
        done.wait()
        guard let answer = result.answer, result.error == nil else {
            // Its own mistake, but one that a server can spare it.
            let lacksSpace = (try? server.get("/hello.txt"))?.lacksSpace ?? false
            throw Failure(
                expected: say(
                    "URLSession gets an answer to \(method) \(target)", "URLSession 得到对 \(method) \(target) 的回答"),
                got: result.error ?? say("nothing", "什么也没有"),
                cause: lacksSpace ? "no-space-behind-colon" : nil)
        }
        return answer
    }
}

/// Written before the semaphore is signalled, read behind it.
private final class SessionResult: @unchecked Sendable {
    var answer: SessionAnswer?
    var error: String?
}
