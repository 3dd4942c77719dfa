// A lesson's checks judged by a process of its own (`lab judge`), watched from outside. One that gives no news for too
// long is looked at while it hangs, and then ended with all that it started.
//
// For those who judge many programs, or one program many times: soaks, the bank of mistakes, mutants.
import Course
import Foundation
import GraderKit
import Sockets

/// What makes a run harder than usual.
public struct GraderConditions: Codable, Equatable, Sendable {
    /// The most descriptors that the grader may have open; nil: as many as here.
    public var descriptors: Int?
    /// The grader and its programs give way to everybody else: 1 to 19, as in nice(1); nil: as here.
    public var nice: Int?
    /// The only version of IP on the host that the graders see; nil: the machine's own network.
    public var network: Network?

    /// A network namespace (network_namespaces(7)) with nothing but a loopback interface in it.
    public enum Network: String, Codable, Sendable {
        case ipv4Only = "ipv4-only"
        case ipv6Only = "ipv6-only"
    }

    public init() {}
}

/// A line of `lab judge` besides verdicts: the turn of a check has come.
public struct CheckBegan: Codable {
    public var event = "began"
    public var check: String

    public init(check: String) { self.check = check }
}

struct GraderProcess {
    enum Ending: Equatable, Sendable {
        case exited(Int32)
        case signal(Int32)
        case hung
        /// We had heard enough.
        case stopped

        var text: String {
            switch self {
            case .exited(let code): return "exited with code \(code)"
            case .signal(let number): return "was ended by signal \(number)"
            case .hung: return "hung"
            case .stopped: return "was stopped"
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

    /// `lab`.
    var lab: String
    var lesson: Catalogue.Lesson
    var checks: [String]
    var seed: UInt64
    /// The program that is judged, in place of the reference.
    var program: String?
    var language: Language?
    var conditions = GraderConditions()
    /// How much longer than usual its waits are; nil: as ours.
    var timeScale: Double?
    /// Checks at a time.
    var width = 4
    /// Seconds without news after which it hangs.
    var patience = 300.0

    /// - Parameter interrupted: called when an interrupt ends it.
    /// - Parameter isEnough: asked after each verdict whether to stop here.
    func run(
        interrupted: @escaping @Sendable () -> Void = {}, isEnough: (Verdict) -> Bool = { _ in false }
    ) throws(CommandError) -> Outcome {
        let output = try Pipe.make()
        let errors: Pipe
        do { errors = try Pipe.make() } catch {
            close(output.reader)
            close(output.writer)
            throw error
        }
        var actions = SpawnActions()
        actions.open(STDIN_FILENO, "/dev/null", O_RDONLY)
        actions.duplicate(output.writer, to: STDOUT_FILENO)
        actions.duplicate(errors.writer, to: STDERR_FILENO)
        defer {
            close(output.reader)
            close(errors.reader)
        }
        var environment = ProcessInfo.processInfo.environment
        if let timeScale { environment["LAB_TIME_SCALE"] = "\(timeScale)" }
        // References attack nobody: if their grader hangs, a debugger may look into it.
        if program == nil { environment["LAB_INSPECTABLE"] = "1" }
        actions.environment = environment
        let words = commandLine
        let process: pid_t
        do { process = try actions.spawn(words[0], Array(words.dropFirst()), group: true) } catch {
            close(output.writer)
            close(errors.writer)
            throw error
        }
        close(output.writer)
        close(errors.writer)
        let cleanup = Interrupts.add {
            interrupted()
            kill(-process, SIGTERM)
        }
        defer { Interrupts.remove(cleanup) }
        var outcome = Outcome()
        switch watch(output.reader, errors.reader, &outcome, isEnough) {
        case .ended: outcome.ending = wait(for: process)
        case .enough:
            outcome.ending = .stopped
            kill(-process, SIGKILL)
            _ = wait(for: process)
        case .silent:
            outcome.autopsy = Autopsy.text(of: process)
            kill(-process, SIGKILL)
            _ = wait(for: process)
        }
        return outcome
    }

    private enum Watched { case ended, enough, silent }

    /// Reads both lines to their ends.
    private func watch(
        _ output: Int32, _ errors: Int32, _ outcome: inout Outcome, _ isEnough: (Verdict) -> Bool
    ) -> Watched {
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
                let silence = DispatchTime.now().uptimeNanoseconds - last.uptimeNanoseconds
                if Double(silence) / 1e9 > patience { return .silent }
                continue
            }
            for event in events where event.revents != 0 {
                let count = read(event.fd, &buffer, buffer.count)
                if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
                if count <= 0 {
                    open.removeAll { $0 == event.fd }
                } else if event.fd == output {
                    last = DispatchTime.now()
                    // What has come before has no newline in it. A line may have the megabytes of a timeline.
                    var looked = line.count
                    line += buffer.prefix(count)
                    while let end = line[looked...].firstIndex(of: 0x0a) {
                        let verdict = take(String(decoding: line[..<end], as: UTF8.self), &outcome, &complaint)
                        line.removeSubrange(...end)
                        looked = 0
                        if let verdict, isEnough(verdict) { return .enough }
                    }
                } else {
                    complaint += buffer.prefix(count)
                }
            }
        }
        return .ended
    }

    private func take(_ line: String, _ outcome: inout Outcome, _ complaint: inout [UInt8]) -> Verdict? {
        if let began = try? JSONDecoder().decode(CheckBegan.self, from: Data(line.utf8)), began.event == "began" {
            outcome.began.insert(began.check)
        } else if case .verdict(let verdict)? = try? Event(json: line) {
            outcome.verdicts[verdict.check] = verdict
            return verdict
        } else {
            complaint += Array((line + "\n").utf8)
        }
        return nil
    }

    private func wait(for process: pid_t) -> Ending {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
        return processExited(status) != 0 ? .exited(processExitCode(status)) : .signal(processSignal(status))
    }

    private var commandLine: [String] {
        var words = [lab, "judge", lesson.number] + checks + ["--seed", "\(seed)", "--width", "\(width)"]
        if let program { words += ["--program", program] }
        if let language { words += ["--lang", language.rawValue] }
        if let descriptors = conditions.descriptors { words += ["--descriptors", "\(descriptors)"] }
        if let nice = conditions.nice { words += ["--priority", "\(nice)"] }
        guard let network = conditions.network else { return words }
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
