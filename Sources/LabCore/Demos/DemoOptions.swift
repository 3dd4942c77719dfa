// What a person asked a demo for, checked: `lab run tcp-echo --serve --port 0`.
import Course
import Foundation
import Sockets

public struct DemoOptions: Equatable, Sendable {
    /// Only the server.
    public var serve = false
    /// Only the client, of this server.
    public var client: Endpoint?
    /// Numeric.
    public var host = "127.0.0.1"
    /// Nil: the demo's own.
    public var port: UInt16?
    /// The student's exercise in place of the reference.
    public var mine = false
    /// No drawing.
    public var quiet = false
    /// The folder whose files are served; nil: the demo's own example.
    public var root: String?
    /// What was measured, and nothing else.
    public var json = false
    /// Without being asked, one that has much to show at once: of the first line the first attempt is lost, the answer to
    /// the second is late, the third is lost; the second line is repeated, and one of its two answers is lost.
    public var seed: UInt64 = 126_547

    public init() {}

    /// The options of `lab run`.
    public static let specifications = [
        OptionSpecification("--serve", "only the server, until Ctrl-C", "只运行服务器，按 Ctrl-C 停止"),
        OptionSpecification("--client", value: "HOST:PORT", "only the client, of that server", "只运行客户端，连接这个服务器"),
        OptionSpecification("--host", value: "HOST", "where the server is (127.0.0.1)", "服务器的地址（127.0.0.1）"),
        OptionSpecification("--port", value: "PORT", "its port; 0: the system chooses", "服务器的端口；0 表示由系统选择"),
        OptionSpecification("--path", value: "PATH", "the socket's file (unix-echo)", "套接字文件的路径（unix-echo）"),
        OptionSpecification("--mine", "your exercise instead of the reference", "用你写的练习代替参考实现"),
        OptionSpecification("--quiet", "only the answers, no drawing", "只输出回答，不画图"),
        OptionSpecification("--root", value: "DIR", "the folder that is served", "提供其中文件的文件夹"),
        OptionSpecification("--json", "what was measured, as JSON", "以 JSON 输出测量结果"),
        OptionSpecification("--seed", value: "NUMBER", "another weather for udp-lossy", "udp-lossy 用另一个随机种子"),
    ]

    public init(_ arguments: Arguments, of demo: Demo) throws(CommandError) {
        serve = arguments.has("--serve")
        mine = arguments.has("--mine")
        quiet = arguments.has("--quiet")
        json = arguments.has("--json")
        if let text = arguments.options["--port"] { port = try DemoOptions.port(text) }
        if let text = arguments.options["--host"] { host = try DemoOptions.address(text) }
        if let text = arguments.options["--client"] { client = try DemoOptions.endpoint(text) }
        if let text = arguments.options["--root"] { root = try DemoOptions.folder(text) }
        if let text = arguments.options["--seed"] {
            guard let number = UInt64(text) else {
                throw .usage(say("--seed takes a whole number, not \(text).", "--seed 要一个非负整数，而不是 \(text)。"))
            }
            seed = number
        }
        if demo.abilities.contains(.path) {
            // Absolute: the server starts somewhere else.
            host = URL(fileURLWithPath: arguments.options["--path"] ?? "/tmp/socketlab.sock").path
        }
        guard !serve || client == nil else {
            throw .usage(
                say(
                    "--serve and --client are two programs: run each in a window of its own.",
                    "--serve 和 --client 是两个程序：请分别在两个窗口中运行。"))
        }
        try check(arguments, demo)
    }

    /// `lab run ping HOST`
    public mutating func speak(to target: String, in demo: Demo) throws(CommandError) {
        guard demo.abilities.contains(.target) else {
            throw .usage(say("\(demo.id) takes no \(target).", "\(demo.id) 后面不能有 \(target)。"))
        }
        host = try DemoOptions.address(target)
    }

    private func check(_ arguments: Arguments, _ demo: Demo) throws(CommandError) {
        let needs: [(option: String, ability: Demo.Ability)] = [
            ("--serve", .serve), ("--client", .client), ("--mine", .mine), ("--seed", .seed), ("--root", .root),
            ("--path", .path),
            ("--host", .address),
            ("--port", .address), ("--json", .json),
        ]
        for (option, ability) in needs where arguments.has(option) && !demo.abilities.contains(ability) {
            throw .usage(
                say(
                    "\(demo.id) has no \(option): \(Text.whyNot(ability).en)",
                    "\(demo.id) 没有 \(option)：\(Text.whyNot(ability).zh)"))
        }
    }

    static func port(_ text: String) throws(CommandError) -> UInt16 {
        guard let port = UInt16(text) else {
            throw .usage(say("A port is a number from 0 to 65535, not \(text).", "端口是 0 到 65535 的数，而不是 \(text)。"))
        }
        return port
    }

    /// An absolute path: the program that serves it starts somewhere else.
    static func folder(_ text: String) throws(CommandError) -> String {
        var isFolder: ObjCBool = false
        let path = URL(fileURLWithPath: text).path
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
            throw .usage(say("There is no folder \(path).", "没有文件夹 \(path)。"))
        }
        return path
    }

    /// A numeric address; a name is looked up, and the first IPv4 address taken, as the demos' servers are there.
    static func address(_ text: String) throws(CommandError) -> String {
        if (try? SocketAddress(host: text, port: 0)) != nil { return text }
        let found = numericAddresses(of: text)
        if let address = found.first(where: { !$0.contains(":") }) ?? found.first { return address }
        throw .usage(
            say(
                "\(text) is no address, and no host of that name is known: write 127.0.0.1, ::1 or a name.",
                "\(text) 不是地址，也查不到叫这个名字的主机：请写 127.0.0.1、::1 或主机名。"))
    }

    /// `127.0.0.1:12000`, `[::1]:12000`, `name:12000`.
    static func endpoint(_ text: String) throws(CommandError) -> Endpoint {
        guard let colon = text.lastIndex(of: ":") else { throw notAnEndpoint(text) }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = String(host.dropFirst().dropLast())
        } else if host.contains(":") {
            throw notAnEndpoint(text)
        }
        let port = try port(String(text[text.index(after: colon)...]))
        guard !host.isEmpty, port != 0 else { throw notAnEndpoint(text) }
        return Endpoint(host: try address(host), port: port)
    }

    private static func notAnEndpoint(_ text: String) -> CommandError {
        .usage(
            say(
                "--client takes a host and a port, as in 127.0.0.1:12000 or [::1]:12000, not \(text).",
                "--client 要主机和端口，例如 127.0.0.1:12000 或 [::1]:12000，而不是 \(text)。"))
    }
}

/// getaddrinfo(3); empty if the name is not known.
private func numericAddresses(of name: String) -> [String] {
    var hints = addrinfo()
    hints.ai_socktype = SOCK_STREAM
    var first: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(name, nil, &hints, &first) == 0 else { return [] }
    defer { freeaddrinfo(first) }
    var found: [String] = []
    var next = first
    while let entry = next?.pointee {
        let bytes = UnsafeRawBufferPointer(start: entry.ai_addr, count: Int(entry.ai_addrlen))
        if let host = SocketAddress(bytes: Array(bytes))?.host { found.append(host) }
        next = entry.ai_next
    }
    return found
}

extension Text {
    fileprivate static func whyNot(_ ability: Demo.Ability) -> Text {
        switch ability {
        case .serve: return Text(en: "it has no server of its own.", zh: "它自己没有服务器。")
        case .client: return Text(en: "it plays both sides itself.", zh: "它自己扮演两边。")
        case .mine: return Text(en: "there is no exercise for what it shows.", zh: "它演示的内容没有对应的练习。")
        case .seed: return Text(en: "nothing in it is left to chance.", zh: "其中没有随机的成分。")
        case .root: return Text(en: "it serves no files.", zh: "它不提供文件。")
        case .address: return Text(en: "it needs no port.", zh: "它不需要端口。")
        case .path: return Text(en: "it uses no path.", zh: "它不使用路径。")
        case .target: return Text(en: "it speaks to nobody else.", zh: "它不和别的主机通信。")
        case .json: return Text(en: "it measures nothing.", zh: "它不测量什么。")
        }
    }
}
