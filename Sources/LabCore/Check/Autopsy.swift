// Where a process that hangs is: its threads and those of its children, from proc(5), and its stacks, if a debugger is
// installed.
import Course
import Foundation
import Sockets

enum Autopsy {
    static func text(of process: pid_t) -> String {
        var lines: [String] = []
        for member in family(of: process) {
            let command = content("/proc/\(member)/cmdline").split(separator: "\0").joined(separator: " ")
            lines.append("process \(member)   \(command.prefix(200))")
            let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(member)/task")) ?? []
            // A server with a thread for each client: the first say it.
            for task in tasks.compactMap({ Int($0) }).sorted().prefix(64) {
                let folder = "/proc/\(member)/task/\(task)"
                let name = content("\(folder)/comm")
                let state = content("\(folder)/status").split(separator: "\n").first { $0.hasPrefix("State:") } ?? ""
                let call = content("\(folder)/syscall").split(separator: " ").prefix(2).joined(separator: " ")
                lines.append("  thread \(task) \(name)   \(state)   \(content("\(folder)/wchan"))   call \(call)")
            }
            if tasks.count > 64 { lines.append("  … \(tasks.count) threads in all") }
        }
        return (lines + ["", stacks(of: process)]).joined(separator: "\n")
    }

    /// The process, its children, theirs, and so on.
    private static func family(of process: pid_t) -> [pid_t] {
        var all = [process]
        var next = 0
        while next < all.count {
            let member = all[next]
            for task in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(member)/task")) ?? [] {
                let children = content("/proc/\(member)/task/\(task)/children").split(separator: " ")
                all += children.compactMap { pid_t($0) }
            }
            next += 1
        }
        return all
    }

    private static func stacks(of process: pid_t) -> String {
        // A debugger that hangs in its turn is ended.
        let stop = Stop()
        DispatchQueue.global().asyncAfter(deadline: .now() + 60) { stop.stop() }
        let number = "\(process)"
        let debuggers = [
            ("gdb", ["--batch", "--nx", "-p", number, "-ex", "thread apply all backtrace 24"]),
            ("lldb", ["--batch", "--no-lldbinit", "-p", number, "-o", "thread backtrace all --count 24"]),
        ]
        for (program, arguments) in debuggers where which(program) != nil {
            if let result = try? Subprocess.run(program, arguments, mergesErrors: true, stop: stop) {
                return result.output
            }
        }
        return "no debugger (gdb, lldb) to ask for stacks"
    }

    private static func content(_ path: String) -> String {
        ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
