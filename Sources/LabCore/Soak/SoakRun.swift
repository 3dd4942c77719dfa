// One run of a lesson's checks as a process of its own, watched from outside. A run that gives no news for too long is
// looked at while it hangs, and then ended with all that it started.
import Course
import Foundation
import GraderKit
import Sockets

/// A line of `lab soak-run` besides verdicts: the turn of a check has come.
public struct CheckBegan: Codable {
    public var event = "began"
    public var check: String

    public init(check: String) { self.check = check }
}

struct SoakRun {
    enum Ending: Equatable, Sendable {
        case exited(Int32)
        case signal(Int32)
        case hung

        var text: String {
            switch self {
            case .exited(let code): return "exited with code \(code)"
            case .signal(let number): return "was ended by signal \(number)"
            case .hung: return "hung"
            }
        }
    }

    struct Outcome: Sendable {
        var began: Set<String> = []
        var verdicts: [String: Verdict] = [:]
        var ending = Ending.hung
        var errors = ""
        /// Where its threads and programs were, if it hung.
        var autopsy: String?
    }

    let soak: Soak
    let selection: Selection
    let seed: UInt64

    func run() throws(CommandError) -> Outcome {
        let output = try Pipe.make()
        let errors = try Pipe.make()
        var actions = SpawnActions()
        actions.open(STDIN_FILENO, "/dev/null", O_RDONLY)
        actions.duplicate(output.writer, to: STDOUT_FILENO)
        actions.duplicate(errors.writer, to: STDERR_FILENO)
        defer {
            close(output.reader)
            close(errors.reader)
        }
        let words = commandLine
        let process: pid_t
        do { process = try actions.spawn(words[0], Array(words.dropFirst()), group: true) } catch {
            close(output.writer)
            close(errors.writer)
            throw error
        }
        close(output.writer)
        close(errors.writer)
        let cleanup = Interrupts.add { [soak] in
            soak.stopping()
            kill(-process, SIGTERM)
        }
        defer { Interrupts.remove(cleanup) }
        var outcome = Outcome()
        if watch(output.reader, errors.reader, &outcome) {
            outcome.ending = wait(for: process)
        } else {
            outcome.autopsy = Autopsy.text(of: process)
            kill(-process, SIGKILL)
            _ = wait(for: process)
        }
        return outcome
    }

    /// Reads both lines to their ends.
    ///
    /// - Returns: false if there was no news for too long.
    private func watch(_ output: Int32, _ errors: Int32, _ outcome: inout Outcome) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var line: [UInt8] = []
        var complaint: [UInt8] = []
        var open = [output, errors]
        defer { outcome.errors = String(decoding: complaint.suffix(100_000), as: UTF8.self) }
        var last = DispatchTime.now()
        while !open.isEmpty {
            var events = open.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            let ready = poll(&events, nfds_t(events.count), 1000)
            if ready <= 0 {
                if Double(DispatchTime.now().uptimeNanoseconds - last.uptimeNanoseconds) / 1e9 > soak.patience {
                    return false
                }
                continue
            }
            for event in events where event.revents != 0 {
                let count = read(event.fd, &buffer, buffer.count)
                if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
                if count <= 0 {
                    open.removeAll { $0 == event.fd }
                } else if event.fd == output {
                    last = DispatchTime.now()
                    line += buffer.prefix(count)
                    while let end = line.firstIndex(of: 0x0a) {
                        take(String(decoding: line[..<end], as: UTF8.self), &outcome, &complaint)
                        line.removeSubrange(...end)
                    }
                } else {
                    complaint += buffer.prefix(count)
                }
            }
        }
        return true
    }

    private func take(_ line: String, _ outcome: inout Outcome, _ complaint: inout [UInt8]) {
        if let began = try? JSONDecoder().decode(CheckBegan.self, from: Data(line.utf8)), began.event == "began" {
            outcome.began.insert(began.check)
        } else if case .verdict(let verdict)? = try? Event(json: line) {
            outcome.verdicts[verdict.check] = verdict
        } else {
            complaint += Array((line + "\n").utf8)
        }
    }

    private func wait(for process: pid_t) -> Ending {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
        return processExited(status) != 0 ? .exited(processExitCode(status)) : .signal(processSignal(status))
    }

    private var commandLine: [String] {
        var words = [soak.executable, "soak-run", selection.lesson.number] + selection.checks.map(\.id)
        words += ["--seed", "\(seed)"]
        if let descriptors = soak.conditions.descriptors { words += ["--descriptors", "\(descriptors)"] }
        if let nice = soak.conditions.nice { words += ["--priority", "\(nice)"] }
        guard let network = soak.conditions.network else { return words }
        let setUp: String
        switch network {
        case .ipv4Only:
            setUp =
                "ip link set lo up && for i in all default lo; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done"
        case .ipv6Only: setUp = "ip link set lo up && ip -4 address flush dev lo"
        }
        return ["unshare", "--map-root-user", "--net", "sh", "-c", "{ \(setUp); } || exit 3; exec \"$@\"", "sh"] + words
    }
}
