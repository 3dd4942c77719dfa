// Programs that the lab runs: swift, git, less, an editor. In a process group of its own where the lab must be able to
// end it with all its children; in the terminal's where a person works in it.
import Course
import Foundation
import Sockets

/// A program that runs to its end, its output collected.
public struct Subprocess {
    public struct Result: Sendable {
        /// The exit code, or 128 + the signal that ended it, as a shell has it.
        public var status: Int32
        /// Standard output; with `mergesErrors` both.
        public var output: String
        public var errors: String

        public var succeeded: Bool { status == 0 }
    }

    /// Runs `program`, found in PATH, in a process group of its own, which an interrupt or `stop` ends.
    ///
    /// - Parameter mergesErrors: standard error goes where standard output goes.
    /// - Parameter folder: its current folder; nil: ours.
    /// - Parameter environment: its environment; nil: ours.
    /// - Parameter line: called with each line of the output as it comes.
    /// - Throws: a failure if the program is not there.
    public static func run(
        _ program: String, _ arguments: [String], mergesErrors: Bool = false,
        folder: URL? = nil, environment: [String: String]? = nil, stop: Stop? = nil, line: ((String) -> Void)? = nil
    ) throws(CommandError) -> Result {
        var (program, arguments) = (program, arguments)
        if let folder {
            // posix_spawn has no portable way to change it.
            arguments = ["-c", "cd \"$0\" && exec \"$@\"", folder.path, program] + arguments
            program = "sh"
        }
        let output = try Pipe.make()
        let errors = mergesErrors ? nil : try Pipe.make()
        var actions = SpawnActions()
        actions.environment = environment
        actions.open(STDIN_FILENO, "/dev/null", O_RDONLY)
        actions.duplicate(output.writer, to: STDOUT_FILENO)
        actions.duplicate(errors?.writer ?? output.writer, to: STDERR_FILENO)
        defer {
            close(output.reader)
            if let errors { close(errors.reader) }
        }
        let process: pid_t
        do { process = try actions.spawn(program, arguments, group: true) } catch {
            close(output.writer)
            if let errors { close(errors.writer) }
            throw error
        }
        close(output.writer)
        if let errors { close(errors.writer) }

        let endings = DispatchSemaphore(value: 0)
        let cleanup = Interrupts.add {
            kill(-process, SIGTERM)
            // It may have something to put in order, too. We are asked to end, so not for long.
            _ = endings.wait(timeout: .now() + 3)
        }
        defer {
            Interrupts.remove(cleanup)
            endings.signal()
        }
        stop?.attach(process)
        defer { stop?.detach() }
        var collector = Collector(line: line)
        collector.drain(output.reader, errors?.reader)
        return Result(status: wait(for: process), output: collector.output, errors: collector.errors)
    }

    /// Runs a program to its end, its output where ours goes, in a process group of its own: it cannot read the keyboard.
    public static func runBeside(_ program: String, _ arguments: [String], stop: Stop) throws(CommandError) {
        var actions = SpawnActions()
        actions.open(STDIN_FILENO, "/dev/null", O_RDONLY)
        let process = try actions.spawn(program, arguments, group: true)
        let endings = DispatchSemaphore(value: 0)
        let cleanup = Interrupts.add {
            kill(-process, SIGTERM)
            // It may have something to put in order, too. We are asked to end, so not for long.
            _ = endings.wait(timeout: .now() + 3)
        }
        defer {
            Interrupts.remove(cleanup)
            endings.signal()
        }
        stop.attach(process)
        defer { stop.detach() }
        _ = wait(for: process)
    }

    /// Runs a shell command on the terminal, for a person: a pager, an editor. Ctrl-C is for it meanwhile, not for the lab.
    ///
    /// - Parameter input: its standard input; nil: ours.
    public static func runOnTerminal(_ command: String, arguments: [String] = [], input: String? = nil)
        throws(CommandError)
    {
        let pipe = input == nil ? nil : try Pipe.make()
        var actions = SpawnActions()
        if let pipe { actions.duplicate(pipe.reader, to: STDIN_FILENO) }
        let keyboard = [SIGINT, SIGQUIT].map { ($0, signal($0, SIG_IGN)) }
        defer { for (number, before) in keyboard { signal(number, before) } }
        let process: pid_t
        do {
            process = try actions.spawn("sh", ["-c", command, "sh"] + arguments, group: false)
        } catch {
            if let pipe {
                close(pipe.reader)
                close(pipe.writer)
            }
            throw error
        }
        if let pipe, let input {
            close(pipe.reader)
            // The reader may leave before it has read everything.
            let before = signal(SIGPIPE, SIG_IGN)
            _ = writeAll(pipe.writer, Array(input.utf8))
            close(pipe.writer)
            signal(SIGPIPE, before)
        }
        _ = wait(for: process)
    }

    static func wait(for process: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
        return processExited(status) != 0 ? processExitCode(status) : 128 + processSignal(status)
    }
}

/// Ends a running program from another thread.
public final class Stop: @unchecked Sendable {
    private let condition = NSCondition()
    private var process: pid_t?
    private var stopped = false
    private var expected = false

    public init() {}

    public var isStopped: Bool { condition.withLock { stopped } }

    public func stop() {
        condition.withLock {
            stopped = true
            if let process { kill(-process, SIGTERM) }
        }
    }

    /// A program is about to be started with this: `waitForEnd` waits for it from now on.
    public func expect() { condition.withLock { expected = true } }

    /// The program that was expected has ended, or could not be started.
    public func ended() {
        condition.withLock {
            expected = false
            condition.broadcast()
        }
    }

    /// Waits until an expected program has ended, but not for ever.
    public func waitForEnd(atMost seconds: Double) {
        let last = Date(timeIntervalSinceNow: seconds)
        condition.withLock { while expected && condition.wait(until: last) {} }
    }

    func attach(_ process: pid_t) {
        condition.withLock {
            self.process = process
            if stopped { kill(-process, SIGTERM) }
        }
    }

    func detach() { condition.withLock { process = nil } }
}

/// Both ends of a pipe, close-on-exec.
struct Pipe {
    var reader: Int32
    var writer: Int32

    static func make() throws(CommandError) -> Pipe {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            let code = errno
            throw .failure(say("pipe: \(errorText(code))", "pipe：\(errorText(code))"))
        }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return Pipe(reader: ends[0], writer: ends[1])
    }
}

/// Writes all of it; false if the reader is gone.
@discardableResult
func writeAll(_ descriptor: Int32, _ bytes: [UInt8]) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count < 0 && errno == EINTR { continue }
        if count < 0 && errno == EAGAIN {
            var event = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            _ = poll(&event, 1, -1)
            continue
        }
        guard count > 0 else { return false }
        rest = rest.dropFirst(count)
    }
    return true
}

/// Reads two pipes to their ends at once, so that neither fills up.
private struct Collector {
    let line: ((String) -> Void)?
    private var outputBytes: [UInt8] = []
    private var errorBytes: [UInt8] = []
    private var lineStart = 0

    init(line: ((String) -> Void)?) { self.line = line }

    var output: String { String(decoding: outputBytes, as: UTF8.self) }
    var errors: String { String(decoding: errorBytes, as: UTF8.self) }

    mutating func drain(_ output: Int32, _ errors: Int32?) {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var open = [output] + (errors.map { [$0] } ?? [])
        while !open.isEmpty {
            var events = open.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            guard poll(&events, nfds_t(events.count), -1) > 0 else { continue }
            for event in events where event.revents != 0 {
                let count = read(event.fd, &buffer, buffer.count)
                if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
                if count <= 0 {
                    open.removeAll { $0 == event.fd }
                } else if event.fd == output {
                    outputBytes += buffer.prefix(count)
                    reportLines()
                } else {
                    errorBytes += buffer.prefix(count)
                }
            }
        }
    }

    private mutating func reportLines() {
        guard let line else { return }
        while let end = outputBytes[lineStart...].firstIndex(of: 0x0a) {
            line(String(decoding: outputBytes[lineStart..<end], as: UTF8.self))
            lineStart = end + 1
        }
    }
}
