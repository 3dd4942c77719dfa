// Servers that speak HTTP: http-server, http-select.
import Course
import Foundation
import GraderKit
import Sockets

extension Demo {
    static let httpServer = Demo(
        "http-server", Lesson08.slug, "the files of a folder over HTTP", "用 HTTP 提供一个文件夹里的文件", port: 8000,
        [.serve, .client, .mine, .root]
    ) { play in
        let seconds = Lesson08.clientTimeout / 1000
        try play.converseOverHTTP(
            (play.subject, "file-server"),
            say(
                "Type a path (/, /hello.txt, /nothing), or a method and a path (HEAD /). The connection stays open for the "
                    + "next request, for \(seconds) s: look at where it is accepted.",
                "输入路径（/、/hello.txt、/nothing），或者方法加路径（HEAD /）。连接会为下一个请求保持打开 \(seconds) 秒：注意它是在哪里被接受的。"))
    }

    static let httpSelect = Demo(
        "http-select", Lesson08.slug, "the server of lesson 06 speaks HTTP", "第 06 课的服务器会说 HTTP 了", port: 8888,
        [.serve, .client, .root]
    ) { play in
        try play.converseOverHTTP(
            (play.helper, "http-select-server"),
            say(
                "The loop is lesson 06's: one thread, one select. Only what is done with the bytes is new. "
                    + "Type a path (/, /hello.txt), or a method and a path (HEAD /).",
                "循环还是第 06 课的：一个线程，一个 select。新的只是怎样处理收到的字节。输入路径（/、/hello.txt），或者方法加路径（HEAD /）。"))
    }
}

extension Play {
    fileprivate func converseOverHTTP(_ server: (program: Program, entry: String), _ hint: String) throws {
        try converse(
            .init(
                clientName: say("client", "客户端"),
                serverName: say("server (\(author))", "服务器（\(author)）"),
                server: server,
                folder: try options.client == nil ? options.root ?? exampleSite() : nil,
                makeClient: { HTTPLineClient(self, $0) },
                hint: hint,
                example: "/hello.txt",
                others: { ["curl -v http://\($0.written)/", say("a browser: ", "浏览器：") + "http://\($0.written)/"] }))
    }

    /// Something to serve where nobody has named a folder.
    private func exampleSite() throws -> String {
        let folder = stage.folder + "/site"
        let page = """
            <!doctype html><meta charset="utf-8"><title>SocketLab</title>
            <h1>\(say("It works.", "成功了。"))</h1>
            <p><a href="hello.txt">hello.txt</a></p>

            """
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Data(page.utf8).write(to: URL(fileURLWithPath: folder + "/index.html"))
        try Data("hello\n".utf8).write(to: URL(fileURLWithPath: folder + "/hello.txt"))
        return folder
    }
}

/// A request for each line, over one connection: `/hello.txt`, or `HEAD /hello.txt`.
final class HTTPLineClient: DemoClient {
    private let caller: Caller
    private let server: Endpoint

    init(_ play: Play, _ server: Endpoint) {
        caller = Caller(play, play.helper)
        self.server = server
    }

    func ask(_ line: [UInt8]) throws -> [[UInt8]] {
        let words = String(decoding: line, as: UTF8.self).split(separator: " ").map(String.init)
        guard let last = words.last, words.count <= 2 else {
            throw NoAnswer(text: say("Type a path, such as /hello.txt.", "请输入路径，例如 /hello.txt。"), exit: .usage)
        }
        let path = last.hasPrefix("/") ? last : "/" + last
        let value = try caller.call(
            "http-exchange",
            [.string(words.count == 2 ? words[0] : "GET"), .string("http://\(server.written)\(path)")],
            server: server, within: 10)
        let parts = try [value].list(0)
        let fields = try parts.list(1)
        let head = [try parts.string(0)] + (try fields.indices.map { try fields.string($0) })
        let body = try parts.bytes(2)
        var lines = head.map { Array($0.utf8) }
        if !body.isEmpty {
            let text = body.last == UInt8(ascii: "\n") ? body.dropLast() : body[...]
            lines += [[]] + text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map(Array.init)
        }
        return lines
    }
}
