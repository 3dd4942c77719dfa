import Course
import Foundation
import LabCore
import Sockets

extension Command {
    static let watch = Command(
        name: "watch",
        usage: ["LESSON [CHECK or EXERCISE]..."],
        summary: Text(en: "check again whenever a file of the lesson is saved", zh: "每次保存就重新检查"),
        details: Text(
            en:
                "Runs `lab check` at once and after every save, until Ctrl-C. A save while checks are running begins them anew.",
            zh: "立即运行一次 `lab check`，之后每次保存都再运行，直到 Ctrl-C。运行中再保存则重新开始。"),
        examples: [
            Example("lab watch 04", "the whole lesson at every save", "每次保存检查整课"),
            Example("lab watch 04 send-all", "one exercise", "只看一个练习"),
        ],
        words: 1...99
    ) { invocation in
        let (workspace, catalogue, lesson) = try invocation.lesson()
        _ = try catalogue.select(invocation.words)
        let watch = try FileWatch([workspace.exercises(lesson)])
        var check = CheckInBackground(
            words: invocation.words + (invocation.has("--no-color") ? ["--no-color"] : []))
        try check.restart()
        while true {
            var event = pollfd(fd: watch.descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&event, 1, -1) > 0 else { continue }
            guard let file = watch.saved().first(where: { $0.pathExtension == "swift" }) else { continue }
            let line = StyledText("── \(say("saved", "已保存")) \(workspace.relative(file)) ", .quiet)
            let rest = StyledText(String(repeating: "─", count: max(0, invocation.console.width - line.width)), .quiet)
            try check.restart { invocation.console.print([StyledText(), line + rest, StyledText()]) }
        }
    }
}

/// `lab check`, on this terminal, replaced by another whenever it is started again.
private struct CheckInBackground {
    let words: [String]
    private var stop: Stop?
    private var ended: DispatchSemaphore?

    init(words: [String]) { self.words = words }

    /// - Parameter between: called when the old one is gone and the new one has not begun.
    mutating func restart(between: () -> Void = {}) throws(CommandError) {
        stop?.stop()
        ended?.wait()
        between()
        guard let lab = executablePath() else { throw .failure("/proc/self/exe") }
        let stop = Stop()
        let ended = DispatchSemaphore(value: 0)
        self.stop = stop
        self.ended = ended
        let line = ["check"] + words + ["--lang", Language.current.rawValue]
        Thread.detachNewThread {
            // What it has to say it says on the terminal itself.
            do throws(CommandError) { try Subprocess.runBeside(lab, line, stop: stop) } catch {
                Console(noColor: false).complain(error.description)
            }
            ended.signal()
        }
    }
}
