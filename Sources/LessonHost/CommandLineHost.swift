// A lesson process on a terminal: `swift run Lesson04 uppercase-server --port 12000` serves for real.
import Course
import Foundation
import Sockets

struct CommandLineHost {
    let lesson: any LessonContract

    func run(_ arguments: [String]) -> Never {
        var host = "127.0.0.1"
        var port: UInt16 = 12000
        var path = "/tmp/socketlab.sock"
        var name: String?
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            switch argument {
            case "--host":
                guard let value = rest.popFirst() else { wrong(say("--host needs an address", "--host 后面要有地址")) }
                host = value
            case "--port":
                guard let value = rest.popFirst().flatMap(UInt16.init) else {
                    wrong(say("--port needs a number from 0 to 65535", "--port 后面要有 0 到 65535 的数"))
                }
                port = value
            case "--path":
                guard let value = rest.popFirst() else { wrong(say("--path needs a path", "--path 后面要有路径")) }
                path = value
            case "--root":
                guard let folder = rest.popFirst() else { wrong(say("--root needs a folder", "--root 后面要有文件夹")) }
                guard chdir(folder) == 0 else { wrong("\(SocketError("chdir(\(folder))", errno))") }
            case "--help", "-h":
                print(usage)
                exit(0)
            default:
                guard name == nil, !argument.hasPrefix("-") else {
                    wrong(say("\"\(argument)\" is not understood", "看不懂 \"\(argument)\""))
                }
                name = argument
            }
        }
        guard let name else {
            print(usage)
            exit(0)
        }
        let serve: () throws -> Void
        switch lesson.entries.first(where: { $0.name == name })?.kind {
        case .server(let body)?:
            complain(
                say(
                    "\(name): started on \(host), port \(port). Ctrl-C ends it.",
                    "\(name)：已在 \(host) 端口 \(port) 启动，按 Ctrl-C 结束。"))
            serve = { try body(host, port) }
        case .unixServer(let body)?:
            complain(say("\(name): started at \(path). Ctrl-C ends it.", "\(name)：已在 \(path) 启动，按 Ctrl-C 结束。"))
            serve = { try body(path) }
        case .function?, nil:
            wrong(say("\"\(name)\" is not a server of this lesson", "本课没有名为 \"\(name)\" 的服务器"))
        }
        do {
            try serve()
            exit(0)
        } catch {
            complain("\(name): \(error)")
            exit(1)
        }
    }

    private var usage: String {
        var example = "--host 127.0.0.1 --port 12000"
        let servers = lesson.entries.compactMap { entry -> String? in
            switch entry.kind {
            case .server: return "  " + entry.name
            case .unixServer:
                example = "--path /tmp/socketlab.sock"
                return "  " + entry.name
            case .function: return nil
            }
        }
        let slug = type(of: lesson).slug
        let number = slug.prefix(2)
        if servers.isEmpty {
            return say(
                "Lesson \(slug) has functions only: `lab check \(number)` runs them.",
                "第 \(slug) 课只有函数：用 `lab check \(number)` 运行。")
        }
        return say("Your servers of lesson \(slug):", "第 \(slug) 课中你写的服务器：") + "\n"
            + servers.joined(separator: "\n") + "\n\n"
            + "swift run Lesson\(number) \(servers[0].trimmingCharacters(in: .whitespaces)) \(example)"
    }

    private func wrong(_ message: String) -> Never {
        complain(message + "\n" + usage)
        exit(2)
    }

    private func complain(_ message: String) {
        FileHandle.standardError.write(Data((message + "\n").utf8))
    }
}
