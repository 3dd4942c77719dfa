/// A lesson process and the lines to it: control (calls and answers), tap (what it did), output (what it printed),
/// lifeline (its supervisor: which process it is, how it ended). One thread reads them all; everything else asks under
/// the lock.
///
/// Owns the process: `stop()` ends it and all that it started, and every way out of a trial calls it.
import CTapRecord
import Course
import Foundation
import Sockets
import Wire

public final class Subject: @unchecked Sendable {
    /// What was asked of it, for those who explain what it did instead.
    public private(set) var asked: (entry: String, host: String, port: UInt16)?

    private let supervisor: pid_t
    /// In the environment of the process and of those that it starts, so that they can be told from all others.
    let run = UUID().uuidString
    private let control: Int32
    private let tap: Int32
    private let printed: Int32
    private let lifeline: Int32
    let interruption: Interruption
    /// Fired once for each of `answers`.
    let answered: Interruption
    private let changed = NSCondition()
    private let stopping = NSLock()
    private var supervisorIsReaped = false  // under `stopping`
    private let onCall: (@Sendable (Call) -> Void)?
    private let starvation = Starvation()

    // Under `changed`:
    private var timelineSoFar: Timeline
    private var controlBytes: [UInt8] = []
    private var tapBytes: [UInt8] = []
    /// All that was read from these lines.
    private var (tapCount, controlCount) = (0, 0)
    private var lifelineBytes: [UInt8] = []
    private var answers: [HostReply] = []
    /// What a server's function came back with, though it should not come back.
    private var stopped: HostReply?
    private var isServing = false
    private var process: Int32 = 0
    private var place: Place?
    private var ending: Ending?
    private var wroteToLab = false
    private var outputSoFar = Output()
    private var supervisorIsGone = false
    private var readerIsDone = false
    private var isAbandoned = false
    private var cpuSeen: UInt64 = 0
    /// It was ended by us, not by itself.
    private var isStopped = false
    private var stopAskedAt: UInt64?

    /// - Parameter cpuLimit: in seconds; nil: as many as it likes.
    /// - Parameter isWatched: false: the tap ends when the program listens, so that what it does can be measured.
    /// - Parameter onCall: told each call twice, when it is entered and when it returns, as the tap told of it. Under the
    ///   subject's lock: it must not ask the subject anything.
    init(
        _ program: Program, plan: FaultPlan, descriptorLimit: Int?, memoryLimit: Int? = nil, cpuLimit: Int? = 300,
        folder: String, isWatched: Bool = true, onCall: (@Sendable (Call) -> Void)? = nil
    ) throws {
        guard access(program.executable, X_OK) == 0 else {
            throw LabError(say("\(program.executable) is not built", "\(program.executable) 还没有构建"))
        }
        _ = tracingIsForbidden
        self.onCall = onCall
        interruption = try Interruption { [starvation] in starvation.time }
        answered = try Interruption()
        timelineSoFar = Timeline(start: now())
        let lines = try Lines()
        (control, lifeline, tap, printed) = (lines.control, lines.lifeline, lines.tap, lines.printed)

        // High numbers, so that the program's own descriptors begin at 3, as they would alone.
        let top = Int32(min(descriptorTableSize(), 1024))
        var environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("LAB_") }
        environment["LAB_DESCRIPTORS"] = "\(top - 1),\(top - 2),\(top - 3)"
        environment["LAB_RUN"] = run
        environment["LAB_FAULT_PLAN"] = plan.rules.joined(separator: ";")
        environment["LAB_FOLDER"] = folder
        if let cpuLimit { environment["LAB_CPU_LIMIT"] = String(cpuLimit) }
        if !isWatched { environment["LAB_TAP"] = "until-listening" }
        environment["LAB_LANG"] = Language.current.rawValue
        environment["LAB_DESCRIPTOR_LIMIT"] = String(descriptorLimit ?? 1024)
        environment["LAB_MEMORY_LIMIT"] = String(memoryLimit ?? 1 << 30)
        // A crash then shows the student's own line, in about 20 ms.
        environment["SWIFT_BACKTRACE"] =
            "enable=yes,interactive=no,color=no,threads=crashed,limit=32,images=none,registers=none"
        do {
            supervisor = try lines.spawn(
                program, environment: environment.map { "\($0.key)=\($0.value)" }, top: top)
        } catch {
            lines.closeOurs()
            throw error
        }
        do { try startThread { [self] in read() } } catch {
            lines.closeOurs()  // the supervisor ends everything when the lifeline closes
            waitpid(supervisor, nil, 0)
            throw error
        }
    }

    // MARK: Asking

    /// Starts a server of the contract; `waitUntilServing` tells where.
    func serve(_ entry: String, host: String, port: UInt16) throws {
        asked = (entry, host, port)
        locked { isServing = true }
        try send(.serve(name: entry, host: host, port: port))
    }

    /// Starts a call of a function; `answer` waits for what it returns.
    func call(_ entry: String, _ arguments: [Value]) throws {
        if asked == nil { asked = (entry, "", 0) }
        let passed = arguments.compactMap { if case .passed(let descriptor) = $0 { descriptor } else { nil } }
        try send(.call(name: entry, arguments: arguments), passing: passed)
    }

    /// - Parameter passed: descriptors of ours that the program gets a copy of; they travel with the first byte.
    private func send(_ request: HostRequest, passing passed: [Int32] = []) throws {
        let body = try JSONEncoder().encode(request)
        var bytes = (withUnsafeBytes(of: UInt32(body.count).bigEndian) { Array($0) } + body)[...]
        let deadline = Deadline()
        var passed = passed
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { sendPassing(passed, $0, to: control) }
            if count > 0 {
                bytes = bytes.dropFirst(count)
                passed = []
                continue
            }
            if count < 0 && errno == EINTR { continue }
            guard count < 0, errno == EAGAIN else { return }  // it has ended: whoever waits for the answer will say so
            guard awaitReadiness(of: control, Int32(POLLOUT), until: deadline, or: interruption) == .ready else {
                return
            }
        }
    }

    /// The answer to the oldest call that is not answered yet; nil if none came in time.
    func answer(until deadline: Deadline) throws -> HostReply? {
        try wait(until: deadline) {
            guard !answers.isEmpty else { return nil }
            answered.clear()
            return answers.removeFirst()
        }
    }

    /// Whether there is an answer that nobody has taken yet, as soon as there is; false if none came in time.
    func hasAnswered(until deadline: Deadline) throws -> Bool {
        try wait(until: deadline) { answers.isEmpty ? nil : true } ?? false
    }

    /// The address that the server can be reached at, once `bind` (UDP) or `listen` (TCP) has succeeded; nil if that did
    /// not happen in time. The address of a wildcard bind is the loopback address.
    func waitUntilServing(until deadline: Deadline) throws -> SocketAddress? {
        try wait(until: deadline) { timelineSoFar.served }
    }

    /// Waits for a server that should not be able to serve: what its function came back with, or nil if it goes on
    /// regardless, waiting for clients.
    func waitUntilRefused(until deadline: Deadline) throws -> HostReply? {
        try wait(until: deadline) { () -> HostReply?? in
            if let stopped { return stopped }
            return timelineSoFar.goesOnToServe ? .some(nil) : nil
        } ?? nil
    }

    /// Waits for a server's function to come back, as one does that was asked to stop; nil if it did not in time.
    func waitForReturn(until deadline: Deadline) throws -> HostReply? { try wait(until: deadline) { stopped } }

    /// Waits until the tap shows what is asked for; nil if it did not in time.
    public func waitForTimeline<Found>(until deadline: Deadline = Deadline(), _ find: (Timeline) -> Found?) throws
        -> Found?
    {
        try wait(until: deadline) { find(timelineSoFar) }
    }

    /// Throws `NotStarted` or `ProgramEnded` if that is why the wait is in vain.
    func wait<Found>(until deadline: Deadline, for find: () -> Found?) throws -> Found? {
        changed.lock()
        defer { changed.unlock() }
        var latest = deadline
        while true {
            if let found = find() { return found }
            if let place { throw NotStarted(place: place) }
            if ending != nil || stopped != nil { throw ProgramEnded(expected: say("the program goes on", "程序继续运行")) }
            if latest.hasPassed { latest = deadline.extended(by: starvation.time) }
            let left = Double(latest.milliseconds) / 1000
            if left <= 0 { return nil }
            _ = changed.wait(until: Date(timeIntervalSinceNow: left))
        }
    }

    /// Waits for the end of the process; nil if it lives on.
    public func waitForEnding(until deadline: Deadline) -> Ending? {
        changed.lock()
        defer { changed.unlock() }
        while ending == nil {
            let left = Double(deadline.milliseconds) / 1000
            if left <= 0 { return nil }
            _ = changed.wait(until: Date(timeIntervalSinceNow: left))
        }
        return ending
    }

    // MARK: Looking

    /// Waits until everything that the program has told so far is known: the tap and the control line are lines of their
    /// own, and may be a moment behind the sockets. What it goes on to tell meanwhile is not waited for.
    public func catchUp() {
        let patience = Date(timeIntervalSinceNow: Deadline.patience)
        changed.lock()
        defer { changed.unlock() }
        guard !readerIsDone else { return }
        let told = (tap: tapCount + unread(tap), control: controlCount + unread(control))
        // Who writes to the control line himself is no longer heard there.
        while !readerIsDone && (tapCount < told.tap || controlCount < told.control && !wroteToLab) {
            guard changed.wait(until: patience) else { return }
        }
    }

    private func unread(_ line: Int32) -> Int {
        var waiting: Int32 = 0
        return ioctl(line, UInt(FIONREAD), &waiting) == 0 ? Int(waiting) : 0
    }

    /// What it has done so far, with everything that it did before this was asked.
    public var timeline: Timeline {
        catchUp()
        return locked { timelineSoFar }
    }
    public var output: Output { locked { outputSoFar } }
    public var reachedTodo: Place? { locked { place } }
    public var hasEnded: Ending? { locked { ending } }
    /// It ended before anybody ended it.
    var hasEndedByItself: Bool { locked { ending != nil && !isStopped } }
    /// The call that was begun has come back, and nobody has taken its answer yet.
    public var hasAnswered: Bool { locked { !answers.isEmpty } }
    /// The answer that nobody has taken yet.
    var nextAnswer: HostReply? { locked { answers.first } }
    /// When it was first sent SIGTERM (ns).
    var stopAsked: UInt64? { locked { stopAskedAt } }
    /// What a server's function returned or threw, if it came back.
    var serverStopped: HostReply? { locked { stopped } }
    /// Of the process that runs the student's code, as its supervisor says; 0 if it never came to that.
    public var processNumber: Int32 {
        locked {
            // A program that hosts no contract never says.
            let patience = Date(timeIntervalSinceNow: 5)
            while process == 0 && ending == nil && changed.wait(until: patience) {}
            return process
        }
    }

    /// As `processNumber`, or 0 while the supervisor has not said.
    var processSoFar: Int32 { locked { process } }

    /// The most that was measured yet, or the supervisor told.
    func cpuTimeSoFar(atLeast measured: UInt64) -> UInt64 {
        locked {
            cpuSeen = max(cpuSeen, measured, ending?.cpu ?? 0)
            return cpuSeen
        }
    }

    private func locked<Result>(_ body: () -> Result) -> Result {
        changed.lock()
        defer { changed.unlock() }
        return body()
    }

    /// Sends a signal to the process itself.
    public func signal(_ number: Int32) {
        let process = processNumber
        guard process > 0 && hasEnded == nil else { return }
        if number == SIGTERM { locked { stopAskedAt = stopAskedAt ?? now() } }
        kill(process, number)
    }

    // MARK: Reading

    private func read() {
        var open: Set<Int32> = [control, tap, printed, lifeline]
        var buffer = [UInt8](repeating: 0, count: 1 << 18)
        var fired = false
        while !open.isEmpty {
            var descriptors = open.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            if poll(&descriptors, nfds_t(descriptors.count), 1000) < 0 && errno == EINTR { continue }
            changed.lock()
            for ready in descriptors where ready.revents != 0 {
                let count = Sockets.read(ready.fd, &buffer, buffer.count)
                if count < 0 && errno == EINTR { continue }
                if count > 0 { take(buffer[..<count], from: ready.fd) } else { open.remove(ready.fd) }
            }
            if wroteToLab { open.remove(control) }
            supervisorIsGone = !open.contains(lifeline)
            // The supervisor speaks last; if it was killed, its silence is the end, and others may still hold the lines.
            let wasKilled = ending == nil && supervisorIsGone
            if wasKilled { ending = Ending(code: nil, signal: SIGKILL, wroteToLab: wroteToLab) }
            let isOver = ending != nil && (wasKilled || !open.contains(tap) && !open.contains(printed))
            if !fired && (isOver || isAbandoned || place != nil || stopped != nil) {
                interruption.fire()
                fired = true
            }
            if isAbandoned { open = [] }
            changed.broadcast()
            changed.unlock()
        }
        changed.lock()
        readerIsDone = true
        for descriptor in [control, tap, printed, lifeline] { close(descriptor) }
        changed.broadcast()
        changed.unlock()
    }

    private func take(_ bytes: ArraySlice<UInt8>, from descriptor: Int32) {
        switch descriptor {
        case tap:
            tapCount += bytes.count
            tapBytes += bytes
            let whole = tapBytes.count / Timeline.recordSize * Timeline.recordSize
            tapBytes.withUnsafeBytes { buffer in
                for start in stride(from: 0, to: whole, by: Timeline.recordSize) {
                    let record = UnsafeRawBufferPointer(rebasing: buffer[start..<start + Timeline.recordSize])
                    if let call = timelineSoFar.add(record) { onCall?(call) }
                }
            }
            tapBytes.removeFirst(whole)
        case control:
            controlCount += bytes.count
            controlBytes += bytes
            while let reply = nextReply() {
                switch reply {
                case .ready: starvation.hasBegun()
                case .todo(let file, let line, let step): place = Place(file: file, line: line, step: step)
                default:
                    if isServing {
                        stopped = reply
                    } else {
                        answers.append(reply)
                        answered.fire()
                    }
                }
            }
        case lifeline:
            lifelineBytes += bytes
            if process == 0, let told = nextFromSupervisor(tap_beginning.self) {
                process = told.process
                starvation.isProcess(process)
            }
            if process != 0, let told = nextFromSupervisor(tap_ending.self) {
                ending = Ending(told)
                timelineSoFar.noteDropped(Int(told.dropped))
            }
        default:
            outputSoFar.add(bytes)
            if outputSoFar.count > Output.most { shutdown(lifeline, SHUT_RDWR) }
        }
    }

    private func nextFromSupervisor<Message>(_ type: Message.Type) -> Message? {
        let size = MemoryLayout<Message>.size
        guard lifelineBytes.count >= size else { return nil }
        defer { lifelineBytes.removeFirst(size) }
        return lifelineBytes.withUnsafeBytes { $0.loadUnaligned(as: type) }
    }

    /// No reply is longer.
    private static let mostReply = 1 << 29

    /// A whole message from the control line, or nil. What is not one was written by the program itself, which has no
    /// business there: it is ended.
    private func nextReply() -> HostReply? {
        guard controlBytes.count >= 4 else { return nil }
        let length = controlBytes.prefix(4).reduce(0) { $0 << 8 | Int($1) }
        if length <= Subject.mostReply {
            guard controlBytes.count >= 4 + length else { return nil }
            let body = Data(controlBytes[4..<4 + length])
            controlBytes.removeFirst(4 + length)
            if let reply = try? JSONDecoder().decode(HostReply.self, from: body) { return reply }
        }
        wroteToLab = true
        controlBytes = []
        shutdown(lifeline, SHUT_RDWR)
        return nil
    }

    // MARK: Ending

    /// Ends the process and everything that it started, and waits until they are gone.
    public func stop() {
        stopping.lock()
        defer { stopping.unlock() }
        // Once waited for, the supervisor's number may be another process's.
        guard !supervisorIsReaped else { return }
        changed.lock()
        if ending == nil { isStopped = true }
        if !readerIsDone { shutdown(lifeline, SHUT_WR) }
        kill(supervisor, SIGCONT)  // the program may have stopped it
        let patience = Date(timeIntervalSinceNow: process == 0 ? 1 : 5)
        while !supervisorIsGone && !readerIsDone && changed.wait(until: patience) {}
        if !supervisorIsGone && !readerIsDone { kill(supervisor, SIGKILL) }
        changed.unlock()
        var status: Int32 = 0
        while waitpid(supervisor, &status, 0) == -1 && errno == EINTR { continue }
        supervisorIsReaped = true
        // It ended all others unless it was killed itself, by the program or by us.
        if processWasSignaled(status) != 0 { endProcesses(ofRun: run) }
        changed.lock()
        let last = Date(timeIntervalSinceNow: 5)
        while !readerIsDone && changed.wait(until: last) {}
        isAbandoned = true  // whoever still holds the lines open cannot be found: the reader does not wait for it
        changed.unlock()
    }
}
