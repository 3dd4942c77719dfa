// Lesson 08, client: against a server that nobody here wrote, Python's http.server.
import Course
import Foundation
import GraderKit
import Sockets

let lesson08ClientPython: [Check] = [
    Check("client-python", suspects: [.awaitsTheEnd]) { trial in
        let server = try PythonServer(trial)
        defer { server.stop() }
        let text = "你好, sockets\n"
        let large = trial.random.bytes(300_000)
        _ = try trial.writeFile("hello.txt", Array(text.utf8))
        _ = try trial.writeFile("large.bin", large)
        try trial.makeFolder("folder")
        _ = try trial.writeFile("folder/index.html", Array("<p>index".utf8))
        let listener = try trial.listen()
        let form = [("name", "Ada & Bob"), ("city", "北京"), ("empty", ""), ("plus", "1+1=2%")]
        let asked = [
            Asked(url: server.url("/hello.txt")), Asked(url: server.url("/large.bin")),
            Asked(url: server.url("/missing")),
            Asked(method: "HEAD", url: server.url("/large.bin")),
            // A folder without its slash: 301 to the one with it.
            Asked(url: server.url("/folder")), .form(server.url("/form"), form),
            .json(server.url("/json"), #"{"n":[1,2]}"#),
            Asked(url: server.url("/chunks")),
        ]
        let fetching = try trial.fetch(asked, at: listener)
        let replies = try fetching.replies()
        try fetching.expect(replies[0], 200, Array(text.utf8))
        try fetching.expect(replies[1], 200, large)
        guard replies[2].status == 404 else {
            throw Failure(
                expected: say("it returns 404 for a missing file", "文件不存在时返回 404"), got: replies[2].text,
                cause: replies[2].mistakeOfThrowing(instead: 404))
        }
        try fetching.expect(replies[3], 200, [])
        try fetching.expect(replies[4], 200, Array("<p>index".utf8))
        let expected = form.map { "\($0.0)=\($0.1)\n" }.joined()
        try fetching.expect(replies[5], 200, Array(expected.utf8))
        try fetching.expect(replies[6], 200, Array("[1, 2]".utf8))
        try fetching.expect(replies[7], 200, Array("onetwothree".utf8))
    }
]

/// Ends when its standard input does, which is when we stop it, or are gone ourselves.
private final class PythonServer {
    private let process = Process()
    private let input = Pipe()
    private let port: Int

    init(_ trial: Trial) throws {
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", "-u", "-c", script]
        process.currentDirectoryURL = URL(fileURLWithPath: trial.folder)
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        // Python takes a moment to begin; one that never says anything is no Python.
        var entry = pollfd(fd: output.fileHandleForReading.fileDescriptor, events: Int16(POLLIN), revents: 0)
        let hasSpoken = poll(&entry, 1, Int32(scaled(30_000))) > 0
        let line = hasSpoken ? output.fileHandleForReading.availableData : Data()
        guard let port = Int(String(decoding: line, as: UTF8.self).split(separator: "\n").first ?? "") else {
            try? input.fileHandleForWriting.close()
            process.waitUntilExit()
            throw Unavailable(
                say(
                    "it needs Python 3: sudo apt-get install python3", "需要 Python 3：sudo apt-get install python3"))
        }
        self.port = port
    }

    func url(_ target: String) -> String { "http://127.0.0.1:\(port)" + target }

    func stop() {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }
}

private let script = #"""
    import http.server, json, os, sys, threading, urllib.parse

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments):
            pass

        def answer(self, text):
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            if self.path != "/chunks":
                return super().do_GET()
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for word in (b"one", b"two", b"three"):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(word), word))
            self.wfile.write(b"0\r\n\r\n")

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if self.path == "/json":
                assert self.headers["Content-Type"].startswith("application/json")
                return self.answer(json.dumps(json.loads(body)["n"]))
            pairs = urllib.parse.parse_qsl(body, keep_blank_values=True, strict_parsing=True)
            self.answer("".join(f"{name}={value}\n" for name, value in pairs))

    def end_with_input():
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end_with_input, daemon=True).start()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
    """#
