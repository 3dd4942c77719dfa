// What a lesson process holds and uses, from proc(5) and clock_getcpuclockid(3).
#if os(Linux)
import Course
import Foundation
import Glibc

/// Nanoseconds that the process and its children have stood in line for a processor: the second number of
/// /proc/PID/task/TID/schedstat. 0 where the kernel does not count it.
func runQueueTime(of process: Int32) -> UInt64 {
    func words(_ path: String) -> [Substring] {
        (try? String(contentsOfFile: path, encoding: .utf8))?.split(separator: " ") ?? []
    }
    let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task")) ?? []
    return threads.reduce(0) { sum, thread in
        let folder = "/proc/\(process)/task/\(thread)"
        let counts = words(folder + "/schedstat")
        let children = words(folder + "/children").compactMap { Int32($0) }
        return sum + (counts.count > 1 ? UInt64(counts[1]) ?? 0 : 0) + children.reduce(0) { $0 + runQueueTime(of: $1) }
    }
}

extension Subject {
    /// Nanoseconds of CPU that the process has used so far. It never goes back: after the end it stays at what was known.
    public var cpuTime: UInt64 {
        let process = processSoFar
        var clock = clockid_t()
        var time = timespec()
        // Number 0 would be the grader itself.
        guard process > 0, clock_getcpuclockid(process, &clock) == 0, clock_gettime(clock, &time) == 0 else {
            return cpuTimeSoFar(atLeast: 0)
        }
        return cpuTimeSoFar(atLeast: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    /// How many descriptors it has open, the lab's own two among them.
    public var descriptorCount: Int { entries("/proc/\(processNumber)/fd").count }

    /// Of these descriptors those that are open, and are sockets: the kernel's own word, whoever closed the others.
    public func sockets(among descriptors: Set<Int32>) -> Set<Int32> {
        descriptors.filter {
            let file = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(processNumber)/fd/\($0)")
            return file?.hasPrefix("socket:") ?? false
        }
    }

    /// Fills the pipe behind a descriptor of the program's, as a writer of its own would.
    ///
    /// - Returns: false if it is no pipe.
    public func fillPipe(_ descriptor: Int32) -> Bool {
        let name = "/proc/\(processNumber)/fd/\(descriptor)"
        let file = try? FileManager.default.destinationOfSymbolicLink(atPath: name)
        guard file?.hasPrefix("pipe:") ?? false else { return false }
        let pipe = open(name, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
        guard pipe >= 0 else { return false }
        defer { close(pipe) }
        // Pages first, then what is left of the last one.
        for size in [4096, 1] {
            let bytes = [UInt8](repeating: 0, count: size)
            while write(pipe, bytes, size) > 0 {}
        }
        return true
    }

    public var threadCount: Int { entries("/proc/\(processNumber)/task").count }

    /// None of its threads runs, or is to run.
    public var isAtRest: Bool {
        entries("/proc/\(processNumber)/task").allSatisfy { state("\(processNumber)/task/\($0)") != "R" }
    }

    /// The most memory that it ever had resident, in bytes.
    public var peakMemory: Int { statusBytes("VmHWM:") }

    /// The most memory that it ever had a claim on, used or not, in bytes.
    public var peakAddressSpace: Int { statusBytes("VmPeak:") }

    /// What it and its children have in memory now, in bytes; what several of them share is counted once.
    public var memoryWithChildren: Int {
        ([processNumber] + children.all).reduce(0) { sum, process in
            // Pss: the share of each page that is this process's.
            let rollup = (try? String(contentsOfFile: "/proc/\(process)/smaps_rollup", encoding: .utf8)) ?? ""
            let line = rollup.split(separator: "\n").first { $0.hasPrefix("Pss:") }
            return sum + (line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 1024
        }
    }

    /// A line of /proc/PID/status that is in kB; 0 once the process has ended.
    private func statusBytes(_ name: String) -> Int {
        guard let status = try? String(contentsOfFile: "/proc/\(processNumber)/status", encoding: .utf8),
            let line = status.split(separator: "\n").first(where: { $0.hasPrefix(name) }),
            let kilobytes = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        else { return 0 }
        return kilobytes * 1024
    }

    /// Its child processes, and which of them are zombies: ended, but not waited for.
    public var children: (all: [Int32], zombies: [Int32]) {
        var all: [Int32] = []
        for task in entries("/proc/\(processNumber)/task") {
            let list = try? String(contentsOfFile: "/proc/\(processNumber)/task/\(task)/children", encoding: .utf8)
            all += (list ?? "").split(separator: " ").compactMap { Int32($0) }
        }
        return (all, all.filter { state($0) == "Z" })
    }

    /// Stops the process, as Ctrl-Z would, until `resume`: what its clients do meanwhile is there when it goes on.
    public func pause() throws {
        signal(SIGSTOP)
        let deadline = Deadline()
        while state(processNumber) != "T" {
            if hasEnded != nil { throw ProgramEnded(expected: say("the program lives on", "程序继续运行")) }
            if deadline.hasPassed { throw LabError("process \(processNumber) did not stop") }
            poll(nil, 0, 1)
        }
    }

    public func resume() { signal(SIGCONT) }

    /// Is this process there, and no zombie?
    public func isRunning(_ process: Int32) -> Bool {
        let state = state(process)
        return state != nil && state != "Z"
    }

    /// `S` sleeps, `R` runs, `T` is stopped, `Z` is a zombie; nil is gone.
    private func state(_ process: Int32) -> Character? { state("\(process)") }

    private func state(_ process: String) -> Character? {
        // The state follows the name, which is in parentheses and may hold anything.
        guard let stat = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
            let close = stat.lastIndex(of: ")")
        else { return nil }
        return stat[close...].dropFirst(2).first
    }

    private func entries(_ folder: String) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    }
}
#endif
