import Course
import Foundation
import LabCore

extension Command {
    static let bench = Command(
        name: "bench",
        usage: ["[udp|tcp|select|epoll|pool|async|websocket|http|chat|crowd …]", "edit [LESSON [EXERCISE]]"],
        summary: Text(
            en: "how fast the reference servers are, and how long from a save to a verdict",
            zh: "参考服务器有多快；从保存到结果要多久"),
        details: Text(
            en:
                "`lab bench` runs the reference servers, built for release, beside plain C that does the same work, in turn and "
                + "on one CPU, and prints messages a second and the ratio to C. tcp is a thread for each client, pool a pool of "
                + "64 threads, async a task for each client; these, select and epoll are compared with an epoll server in C; "
                + "http with a server from memory, and with nginx if it is installed; chat, the chat room, with a room that "
                + "knows just so much JSON as the load writes. crowd is 5,000 connections at once. Every byte is checked, and "
                + "in the chat room the order of every message at every member. It ends with 1 if one is lost or wrong, or if "
                + "a ratio is below what is asked of it. Linux only. The first time it builds for about a minute, into "
                + ".lab/bench-servers.\n\n"
                + "`lab bench edit` saves a file, builds, and judges one check, and compares that with a bare swiftc on the same "
                + "file, in one run. It ends with 1 if the ratio is over 3. It works on a copy in .lab/bench; your files stay "
                + "as they are.",
            zh: "`lab bench` 以 release 方式编译参考服务器，让它们与做同样工作的 C 程序在同一个 CPU 上轮流运行，"
                + "给出每秒消息数和与 C 之比。tcp 是每个客户端一个线程，pool 是 64 个线程的线程池，async 是每个客户端一个任务；"
                + "它们和 select、epoll 都与 C 写的 epoll 服务器比较；"
                + "http 与直接从内存回答的 C 程序比较，装有 nginx 时也与它比较；chat 是聊天室，对手是只认得负载所写 JSON 的 C 聊天室。"
                + "crowd 是 5,000 个连接同时在线。每个字节都核对；聊天室核对每个成员收到的每条消息及其顺序。"
                + "有字节丢失或出错，或者比值低于要求，退出码为 1。只能在 Linux 上运行。第一次要编译一分钟左右，产物在 .lab/bench-servers。\n\n"
                + "`lab bench edit` 保存一个文件、编译并评一项检查，与同一次运行中单独用 swiftc 编译同一文件比较。比值超过 3 时退出码为 1。"
                + "它在 .lab/bench 的副本里进行，不动你的文件。"),
        options: [
            OptionSpecification("--json", "as JSON", "以 JSON 输出"),
            OptionSpecification("--rounds", value: "N", "how often; the medians count (default 7)", "轮数，取中位数（默认 7）"),
        ],
        examples: [
            Example("lab bench", "all reference servers", "测所有参考服务器"),
            Example("lab bench udp epoll", "two of them", "只测其中两个"),
            Example("lab bench edit", "lesson 03's upper-case server", "用第 03 课的大写服务器"),
        ],
        words: 0...9
    ) { invocation in
        guard let rounds = Int(invocation.arguments.options["--rounds"] ?? "7"), (1...1000).contains(rounds) else {
            throw CommandError.usage(say("--rounds takes a number from 1 to 1000.", "--rounds 要 1 到 1000 的数。"))
        }
        guard invocation.words.first == "edit" else { return try benchServers(invocation, rounds: rounds) }
        guard invocation.words.count <= 3 else {
            throw CommandError.usage(
                say(
                    "lab bench edit: \"\(invocation.words[3])\" is one word too many.",
                    "lab bench edit：多了 \"\(invocation.words[3])\"。"))
        }
        let workspace = try invocation.workspace()
        let catalogue = try workspace.catalogue()
        let lesson = try catalogue.find(lesson: invocation.words.dropFirst().first ?? "03")
        let exercise =
            try invocation.words.dropFirst(2).first.map { try lesson.find(exercise: $0) } ?? lesson.exercises.first
        guard let exercise, let check = exercise.checks.first, let executable = executablePath() else {
            throw CommandError.failure(say("Lesson \(lesson.slug) has no checks.", "\(lesson.slug) 没有检查。"))
        }

        let activity = Activity(invocation.console)
        defer { activity.end() }
        let copy = try workspace.copy(to: workspace.state.appendingPathComponent("bench"))
        let bench = EditBench(copy: copy, lesson: lesson, exercise: exercise, check: check, executable: executable)
        let result = try bench.run(rounds: rounds, stage: { activity.now($0) })
        activity.end()

        if invocation.has("--json") {
            let encoder = JSONEncoder()
            encoder.outputFormatting = .sortedKeys
            invocation.console.print(String(decoding: try encoder.encode(result), as: UTF8.self))
        } else {
            invocation.console.print(lines(result, "\(lesson.number) \(exercise.id) \(check.id)"))
        }
        return result.ratio <= result.most ? .success : .notPassed
    }

    private static func lines(_ result: EditBench.Result, _ what: String) -> [StyledText] {
        let good = result.ratio <= result.most
        let rows = [
            (say("save to verdict", "保存到结果"), hundredths(result.check) + " s", "lab check \(what)"),
            (
                say("bare swiftc", "单独 swiftc"), hundredths(result.compiler) + " s",
                say("compile and link the same file", "编译并链接同一文件")
            ),
            (
                say("ratio", "比值"), hundredths(result.ratio),
                say("at most \(hundredths(result.most))", "最多 \(hundredths(result.most))")
            ),
        ]
        return rows.enumerated().map { index, row in
            let mark = index < 2 ? StyledText("  ") : StyledText(good ? "✔ " : "✘ ", good ? .good : .bad)
            return mark + StyledText(row.0.padded(to: 18)) + StyledText(row.1.leftPadded(to: 8), .strong)
                + StyledText("   " + row.2, .quiet)
        }
    }
}
