import Course
import Foundation
import LabCore
import Sockets

extension Command {
    static let run = Command(
        name: "run",
        usage: [
            "DEMO", "DEMO --serve [--host HOST] [--port PORT] [--mine]", "DEMO --client HOST:PORT",
            "ping|traceroute HOST",
        ],
        summary: Text(en: "show a demo: server and client side by side", zh: "演示：服务器与客户端并排展示"),
        details: Text(
            en:
                "On a terminal it starts the server and a prompt that is its client, and draws what both sides did for each "
                + "line: their calls at the left and right, the bytes between them. In a pipe it answers each line with "
                + "one, and prints nothing else.",
            zh: "在终端上，它启动服务器，并给出作为客户端的提示符，每输入一行就画出两边做了什么：左右是各自的调用，中间是字节。"
                + "在管道中，每行输入对应一行回答，不输出别的。"),
        options: DemoOptions.specifications,
        examples: [
            Example("lab run udp-echo", "type lines and watch", "输入几行，看看发生什么"),
            Example("echo hello | lab run tcp-echo", "prints HELLO", "输出 HELLO"),
            Example("lab run tcp-threads --serve --port 0", "only the server, on any free port", "只运行服务器，端口任选"),
            Example("lab run ping 127.0.0.1", "until Ctrl-C, as ping(8)", "像 ping(8) 一样，直到 Ctrl-C"),
            Example("lab run tcp-echo --mine", "your server of lesson 04", "运行你写的第 04 课服务器"),
        ],
        words: 0...2
    ) { invocation in
        guard let name = invocation.words.first else {
            throw CommandError.usage(
                say(
                    "Which demo? For example: lab run udp-echo. `lab demos` lists them.",
                    "哪个演示？例如：lab run udp-echo。`lab demos` 列出所有演示。"))
        }
        let demo = try Demo.find(name)
        var options = try DemoOptions(invocation.arguments, of: demo)
        if invocation.words.count == 2 { try options.speak(to: invocation.words[1], in: demo) }
        guard let executable = executablePath() else {
            throw CommandError.failure(say("This program does not find its own file.", "程序找不到自己的可执行文件。"))
        }
        let console = invocation.console
        let screen = DemoScreen(
            columns: console.columns, color: console.color, inputIsTerminal: console.inputIsTerminal,
            outputIsTerminal: console.isTerminal)
        // Outside the package there is no catalogue, and a demo needs none.
        let catalogue = (try? invocation.workspace()).flatMap { try? $0.catalogue() }
        var mine: String?
        if options.mine {
            mine = try invocation.builtExercise(of: demo)
            guard mine != nil else { return .notPassed }
        }
        return try demo.run(options, on: screen, executable: executable, mine: mine, catalogue: catalogue)
    }
}

extension Invocation {
    /// The student's program, built anew: what is shown is what stands in the file. Nil if it does not compile, which has
    /// been said.
    fileprivate func builtExercise(of demo: Demo) throws -> String? {
        let workspace = try workspace()
        let lesson = try workspace.catalogue().find(lesson: demo.lesson)
        let activity = Activity(console)
        activity.now(say("building Lesson\(lesson.number)", "正在构建 Lesson\(lesson.number)"))
        defer { activity.end() }
        switch try Build(workspace).lesson(lesson) {
        case .built: return workspace.root.appendingPathComponent(".build/debug/Lesson\(lesson.number)").path
        case .broken(let errors):
            let lines = BuildText(workspace: workspace, width: console.width).lines(errors, in: lesson)
            activity.around { console.complain(lines.map(\.plain).joined(separator: "\n")) }
            return nil
        case .stopped: throw CommandError.failure(say("The build was stopped.", "构建被中断了。"))
        }
    }
}
