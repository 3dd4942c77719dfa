// Processes that have lost their supervisor, found by their environment: proc(5), /proc/PID/environ.
#if os(Linux)
import Foundation
import Glibc

/// Ends every process that was started with `LAB_RUN=run` in its environment, until there is none. A program that kills
/// its supervisor leaves behind what it had forked.
func endProcesses(ofRun run: String) {
    for _ in 0..<1000 {
        let found = processes(ofRun: run)
        if found.isEmpty { return }
        for process in found { kill(process, SIGKILL) }
    }
}

func processes(ofRun run: String) -> [pid_t] {
    let mark = Data("LAB_RUN=\(run)\0".utf8)
    let folders = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return folders.compactMap { pid_t($0) }.filter { process in
        // Those of other users cannot be read, and are not ours. A process that has ended has no environment.
        let environment = try? Data(contentsOf: URL(fileURLWithPath: "/proc/\(process)/environ"))
        return environment?.range(of: mark) != nil
    }
}
#endif
