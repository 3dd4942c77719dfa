// What a lesson process holds and uses, from libproc. Not run on macOS yet.
#if canImport(Darwin)
import Course
import Darwin
import Foundation

/// Nanoseconds that the process has stood in line for a processor: when it was runnable, less when it ran.
func runQueueTime(of process: Int32) -> UInt64 {
    var usage = rusage_info_v4()
    let failure = withUnsafeMutablePointer(to: &usage) {
        $0.withMemoryRebound(to: rusage_info_t?.self, capacity: 1) { proc_pid_rusage(process, RUSAGE_INFO_V4, $0) }
    }
    guard failure == 0 else { return 0 }
    let ran = usage.ri_user_time + usage.ri_system_time
    return usage.ri_runnable_time > ran ? usage.ri_runnable_time - ran : 0
}

extension Subject {
    /// Nanoseconds of CPU that the process has used so far. It never goes back: after the end it stays at what was known.
    public var cpuTime: UInt64 {
        let process = processSoFar
        // Number 0 would be the kernel.
        guard process > 0, let task = task(process) else { return cpuTimeSoFar(atLeast: 0) }
        var base = mach_timebase_info_data_t()
        mach_timebase_info(&base)
        let ticks = task.pti_total_user + task.pti_total_system
        return cpuTimeSoFar(atLeast: ticks * UInt64(base.numer) / UInt64(base.denom))
    }

    /// How many descriptors it has open, the lab's own two among them.
    public var descriptorCount: Int {
        let most = Int(descriptorTableSize())
        var list = [proc_fdinfo](repeating: proc_fdinfo(), count: most)
        let size = MemoryLayout<proc_fdinfo>.stride
        let used = proc_pidinfo(processNumber, PROC_PIDLISTFDS, 0, &list, Int32(most * size))
        return max(0, Int(used) / size)
    }

    /// Of these descriptors those that are open, and are sockets: the kernel's own word, whoever closed the others.
    public func sockets(among descriptors: Set<Int32>) -> Set<Int32> {
        descriptors.filter {
            var info = socket_fdinfo()
            let size = Int32(MemoryLayout<socket_fdinfo>.size)
            return proc_pidfdinfo(processNumber, $0, PROC_PIDFDSOCKETINFO, &info, size) == size
        }
    }

    /// Nobody can write into a pipe of another process here.
    public func fillPipe(_ descriptor: Int32) -> Bool { false }

    public var threadCount: Int { task(processNumber).map { Int($0.pti_threadnum) } ?? 0 }

    /// The most memory that it ever had resident, in bytes.
    public var peakMemory: Int {
        var usage = rusage_info_v4()
        let failure = withUnsafeMutablePointer(to: &usage) {
            $0.withMemoryRebound(to: rusage_info_t?.self, capacity: 1) {
                proc_pid_rusage(processNumber, RUSAGE_INFO_V4, $0)
            }
        }
        return failure == 0 ? Int(usage.ri_lifetime_max_phys_footprint) : 0
    }

    /// None of its threads runs, or is to run.
    public var isAtRest: Bool { task(processNumber)?.pti_numrunning ?? 0 == 0 }

    /// What it and its children have in memory now, in bytes.
    public var memoryWithChildren: Int {
        ([processNumber] + children.all).reduce(0) { $0 + (task($1).map { Int($0.pti_resident_size) } ?? 0) }
    }

    /// The system keeps no record of the most that a process ever had a claim on: what it has now, in bytes.
    public var peakAddressSpace: Int { task(processNumber).map { Int($0.pti_virtual_size) } ?? 0 }

    /// Its child processes, and which of them are zombies: ended, but not waited for.
    public var children: (all: [Int32], zombies: [Int32]) {
        var list = [pid_t](repeating: 0, count: 4096)
        let count = proc_listchildpids(processNumber, &list, Int32(list.count * MemoryLayout<pid_t>.stride))
        let all = Array(list.prefix(max(0, Int(count))))
        return (all, all.filter { state($0) == UInt32(SZOMB) })
    }

    /// Stops the process, as Ctrl-Z would, until `resume`: what its clients do meanwhile is there when it goes on.
    public func pause() throws {
        signal(SIGSTOP)
        let deadline = Deadline()
        while state(processNumber) != UInt32(SSTOP) {
            if hasEnded != nil { throw ProgramEnded(expected: say("the program lives on", "程序继续运行")) }
            if deadline.hasPassed { throw LabError("process \(processNumber) did not stop") }
            poll(nil, 0, 1)
        }
    }

    public func resume() { signal(SIGCONT) }

    /// Is this process there, and no zombie?
    public func isRunning(_ process: Int32) -> Bool {
        let state = state(process)
        return state != nil && state != UInt32(SZOMB)
    }

    private func task(_ process: Int32) -> proc_taskinfo? {
        var info = proc_taskinfo()
        let size = Int32(MemoryLayout<proc_taskinfo>.size)
        return proc_pidinfo(process, PROC_PIDTASKINFO, 0, &info, size) == size ? info : nil
    }

    /// `SSLEEP`, `SSTOP`, `SZOMB`… (sys/proc.h); nil is gone.
    private func state(_ process: Int32) -> UInt32? {
        var info = proc_bsdinfo()
        let size = Int32(MemoryLayout<proc_bsdinfo>.size)
        return proc_pidinfo(process, PROC_PIDTBSDINFO, 0, &info, size) == size ? info.pbi_status : nil
    }
}
#endif
