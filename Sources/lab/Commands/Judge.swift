import Course
import Foundation
import GraderKit
import LabCore
import Sockets

extension Command {
    /// A process for `GraderProcess`: judges, and says what it finds as JSON lines.
    static let judge = Command(
        name: "judge",
        usage: ["LESSON CHECK..."],
        summary: Text(en: "judge for another lab, which watches", zh: "替另一个 lab 评判，由它监视"),
        options: [
            OptionSpecification("--seed", value: "N", "random data", "随机数据"),
            OptionSpecification("--program", value: "FILE", "in place of the reference", "代替参考实现的程序"),
            OptionSpecification("--width", value: "N", "checks at a time", "同时进行几项检查"),
            OptionSpecification("--descriptors", value: "N", "at most so many descriptors", "最多几个描述符"),
            OptionSpecification("--priority", value: "N", "as in nice(1)", "同 nice(1)"),
        ],
        words: 1...999,
        isHidden: true
    ) { invocation in
        if let descriptors = try invocation.count("--descriptors") {
            guard limitDescriptors(to: descriptors) == 0 else {
                let code = errno
                throw CommandError.failure("setrlimit: \(errorText(code))")
            }
        }
        if let priority = try invocation.count("--priority") {
            errno = 0
            if nice(Int32(priority)) == -1 && errno != 0 {
                let code = errno
                throw CommandError.failure("nice: \(errorText(code))")
            }
        }
        let (workspace, _, lesson) = try invocation.lesson()
        let selection = try lesson.select(Array(invocation.words.dropFirst()))
        let removeTemporaries = TemporaryFolder.install()
        defer { removeTemporaries() }
        let seed = try invocation.seed() ?? Judge.environmentSeed
        var checker = Checker(workspace: workspace, reference: true, seed: seed)
        checker.width = try invocation.count("--width") ?? checker.width
        checker.program = invocation.arguments.options["--program"].map { Program(executable: $0, arguments: []) }

        // Checks begin on threads of their own; a line longer than the pipe's buffer must not be broken up by another.
        let line = NSLock()
        let console = invocation.console
        var summary = Summary(seed: seed)
        var trouble: (any Error)?
        try checker.run(
            selection,
            began: { id in
                guard let text = try? JSONEncoder().encode(CheckBegan(check: id)) else { return }
                line.withLock { console.print(String(decoding: text, as: UTF8.self)) }
            }
        ) { event in
            do {
                let text = try event.json()
                line.withLock { console.print(text) }
            } catch { trouble = error }
            if case .verdict(let verdict) = event { summary.count(verdict, of: nil) }
        }
        if let trouble { throw trouble }
        return summary.exit
    }
}
