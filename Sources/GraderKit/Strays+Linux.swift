// Processes that have lost their supervisor, found by their environment: proc(5), /proc/PID/environ.
#if os(Linux)
import Foundation
import Glibc

/// Ends every process that was started with `LAB_RUN=run` in its environment, until there is none. A program that kills
/// its supervisor leaves behind what it had forked.
func endProcesses(ofRun run: String) {
    let mark = Data("LAB_RUN=\(run)\0".utf8)
    for _ in 0..<1000 {
        let folders = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        let found = folders.compactMap { Int32($0) }.filter { process in
            // Those of other users cannot be read, and are not ours. A process that has ended has no environment.
            let environment = try? Data(contentsOf: URL(fileURLWithPath: "/proc/\(process)/environ"))
            return environment?.range(of: mark) != nil
        }
        if found.isEmpty { return }
        for process in found { kill(process, SIGKILL) }
    }
}
#endif
