// What the lab needs of the machine, tried rather than assumed; and what to do where something is missing.
import Course
import Foundation
import Sockets

/// One thing that was looked at.
public struct Finding: Codable, Equatable, Sendable {
    public enum State: String, Codable, Sendable {
        case good
        /// Some lesson will skip something, or be less comfortable.
        case limited
        /// The lab does not work.
        case bad
    }

    public var subject: String
    public var state: State
    /// What was found.
    public var found: String
    /// What to do about it.
    public var advice: String?

    public init(_ subject: String, _ state: State, _ found: String, advice: String? = nil) {
        self.subject = subject
        self.state = state
        self.found = found
        self.advice = advice
    }
}

public struct Doctor: Sendable {
    public var workspace: Workspace

    public init(_ workspace: Workspace) { self.workspace = workspace }

    /// All findings, in the order of their importance. Each probe takes milliseconds, but for the toolchain's.
    public func examine(_ found: (Finding) -> Void) {
        found(toolchain())
        found(folder())
        found(backtraces())
        found(descriptors())
        found(backlog())
        found(ipv6())
        found(Probe.broadcast())
        found(Probe.multicast())
        found(Probe.rawSockets())
        found(ports())
        found(tools())
        found(nginx())
        found(locale())
        found(onPath())
    }

    // MARK: The lab itself

    private func toolchain() -> Finding {
        let subject = say("Swift", "Swift")
        let advice = say(
            "Install Swift 6.0 or newer from swift.org/install, and put it in PATH.",
            "从 swift.org/install 安装 Swift 6.0 或更新版本，并加入 PATH。")
        guard let result = try? Subprocess.run("swift", ["--version"], mergesErrors: true), result.succeeded else {
            return Finding(subject, .bad, say("`swift` does not run", "运行不了 `swift`"), advice: advice)
        }
        guard let match = result.output.firstMatch(of: /Swift version (\d+)\.(\d+)[^ ]*/), let major = Int(match.1)
        else {
            return Finding(subject, .limited, result.output.split(separator: "\n").first.map(String.init) ?? "")
        }
        let version = match.0.dropFirst("Swift version ".count)
        return major >= 6
            ? Finding(subject, .good, String(version))
            : Finding(subject, .bad, say("\(version) is too old", "\(version) 太旧"), advice: advice)
    }

    private func folder() -> Finding {
        let subject = say("folder", "目录")
        let isWritable = [workspace.root, workspace.root.appendingPathComponent(".build"), workspace.state].allSatisfy {
            !FileManager.default.fileExists(atPath: $0.path) || access($0.path, W_OK) == 0
        }
        if isWritable { return Finding(subject, .good, workspace.root.path) }
        return Finding(
            subject, .bad, say("\(workspace.root.path) is not writable", "\(workspace.root.path) 不可写"),
            advice: say("Copy SocketLab to a folder of your own.", "请把 SocketLab 复制到你自己的目录里。"))
    }

    private func backtraces() -> Finding {
        let subject = say("crash lines", "崩溃定位")
        guard let swift = which("swift") else {
            return Finding(subject, .limited, say("no toolchain", "没有工具链"))
        }
        let tool = URL(fileURLWithPath: swift).resolvingSymlinksInPath().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("libexec/swift/linux/swift-backtrace")
        if !FileManager.default.fileExists(atPath: "/proc") || FileManager.default.isExecutableFile(atPath: tool.path) {
            return Finding(subject, .good, say("a crash shows your own line", "崩溃时能指出你代码的行号"))
        }
        return Finding(
            subject, .limited, say("swift-backtrace is missing", "缺少 swift-backtrace"),
            advice: say(
                "Crashes are reported without their line. A complete toolchain from swift.org has it.",
                "崩溃时报不出行号。swift.org 的完整工具链带有它。"))
    }

    // MARK: Limits

    private func descriptors() -> Finding {
        let subject = say("descriptors", "描述符")
        let limit = Probe.descriptorLimit()
        let text = say("\(limit.soft), at most \(limit.hard)", "\(limit.soft)，最多 \(limit.hard)")
        if limit.hard >= 6000 { return Finding(subject, .good, text) }
        return Finding(
            subject, .limited, text,
            advice: say(
                "Lesson 07 serves 5,000 clients. Raise the hard limit: `ulimit -Hn 8192` as root, or LimitNOFILE of the "
                    + "service or container.",
                "第 07 课要服务 5,000 个客户端。请提高硬上限：以 root 运行 `ulimit -Hn 8192`，或设置服务、容器的 LimitNOFILE。"))
    }

    private func backlog() -> Finding {
        let subject = say("backlog", "等待队列")
        guard let text = contents("/proc/sys/net/core/somaxconn"), let most = Int(text) else {
            return Finding(subject, .good, say("the system's default", "系统默认值"))
        }
        if most >= 1024 { return Finding(subject, .good, say("\(most) connections", "\(most) 个连接")) }
        return Finding(
            subject, .limited, say("\(most) connections", "\(most) 个连接"),
            advice: say(
                "Many clients at once may wait for a second or more: sudo sysctl net.core.somaxconn=4096",
                "很多客户端同时连接时可能要等一秒以上：sudo sysctl net.core.somaxconn=4096"))
    }

    private func ports() -> Finding {
        let subject = say("client ports", "客户端端口")
        guard let text = contents("/proc/sys/net/ipv4/ip_local_port_range") else {
            return Finding(subject, .good, say("the system's default", "系统默认值"))
        }
        let ends = text.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
        guard ends.count == 2 else { return Finding(subject, .limited, text) }
        let range = "\(ends[0])–\(ends[1])"
        if ends[1] - ends[0] >= 10_000 { return Finding(subject, .good, range) }
        return Finding(
            subject, .limited, range,
            advice: say(
                "Few: lessons with thousands of clients may run out of them. sudo sysctl "
                    + "net.ipv4.ip_local_port_range=\"32768 60999\"",
                "太少：有几千个客户端的课可能会用完。sudo sysctl net.ipv4.ip_local_port_range=\"32768 60999\""))
    }

    private func ipv6() -> Finding {
        if Probe.canBind("::1") { return Finding("IPv6", .good, "::1") }
        return Finding(
            "IPv6", .limited, say("::1 cannot be bound", "无法绑定 ::1"),
            advice: say(
                "Checks over IPv6 are skipped. sudo sysctl net.ipv6.conf.lo.disable_ipv6=0; in Docker, enable IPv6.",
                "IPv6 的检查会跳过。sudo sysctl net.ipv6.conf.lo.disable_ipv6=0；Docker 里请启用 IPv6。"))
    }

    // MARK: Comfort

    private func tools() -> Finding {
        let subject = say("tools", "工具")
        let wanted = ["nc", "ss", "tcpdump", "curl", "git"]
        let missing = wanted.filter { which($0) == nil }
        if missing.isEmpty { return Finding(subject, .good, wanted.joined(separator: ", ")) }
        return Finding(
            subject, .limited,
            say("missing: ", "缺少：") + missing.joined(separator: ", "),
            advice: say(
                "Only for the experiments in the lessons: sudo apt-get install netcat-openbsd iproute2 tcpdump curl git",
                "只有课文里的实验要用：sudo apt-get install netcat-openbsd iproute2 tcpdump curl git"))
    }

    /// What lesson 16 puts in front of servers, and what makes its certificate.
    private func nginx() -> Finding {
        // Debian keeps nginx where a user's PATH may not lead.
        let nginx = which("nginx") ?? (access("/usr/sbin/nginx", X_OK) == 0 ? "/usr/sbin/nginx" : nil)
        if let nginx, let openssl = which("openssl") { return Finding("nginx", .good, "\(nginx), \(openssl)") }
        return Finding(
            "nginx", .limited,
            nginx == nil ? say("not installed", "没有安装") : say("openssl is not installed", "没有安装 openssl"),
            advice: say(
                "Only lesson 16 needs nginx and openssl: sudo apt-get install nginx-light openssl",
                "只有第 16 课需要 nginx 和 openssl：sudo apt-get install nginx-light openssl"))
    }

    private func locale() -> Finding {
        let subject = say("characters", "字符")
        let environment = ProcessInfo.processInfo.environment
        let name = ["LC_ALL", "LC_CTYPE", "LANG"].compactMap { environment[$0] }.first { !$0.isEmpty } ?? ""
        let lower = name.lowercased()
        if lower.contains("utf-8") || lower.contains("utf8") { return Finding(subject, .good, name) }
        return Finding(
            subject, .limited, name.isEmpty ? say("LANG is not set", "没有设置 LANG") : name,
            advice: say(
                "If marks like ✔ look wrong: export LANG=C.UTF-8", "如果 ✔ 等符号显示不正常：export LANG=C.UTF-8"))
    }

    private func onPath() -> Finding {
        let lab = workspace.root.appendingPathComponent(".build/debug/lab").path
        if let path = which("lab") { return Finding("lab", .good, path) }
        return Finding(
            "lab", .limited, say("not in PATH", "不在 PATH 中"),
            advice: say(
                "To call it from anywhere: sudo ln -s \(lab) /usr/local/bin/lab",
                "要在任何地方调用：sudo ln -s \(lab) /usr/local/bin/lab"))
    }

    private func contents(_ path: String) -> String? {
        (try? String(contentsOfFile: path, encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

/// Where in PATH a program is.
public func which(_ program: String) -> String? {
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    return folders.map { "\($0)/\(program)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
}
