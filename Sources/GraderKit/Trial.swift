/// One run of one check: the programs it starts, the peers it plays, and what it noted on the way. Everything that it
/// made is gone when it ends, whichever way it ends.
import Course
import Foundation
import Sockets
import Wire

public final class Trial {
    /// Random data for this check: from the printed seed, so that a failure can be replayed.
    public var random: SeededGenerator
    /// An empty folder that the program starts in; removed afterwards.
    public let folder: String

    let program: Program
    let start = now()
    private(set) var subjects: [Subject] = []
    private(set) var notes: [TraceLine] = []
    private var functions: Subject?
    private(set) var connections = 0
    private var leftOpen: [Int32] = []
    private var endings: [() -> Void] = []
    private let leaving = NSLock()
    /// The longest time (seconds) that a client of ours said nothing before it spoke; under `leaving`.
    private var longestSilence = 0.0

    init(program: Program, seed: UInt64) throws {
        self.program = program
        random = SeededGenerator(seed: seed)
        folder = NSTemporaryDirectory() + "/lab-" + UUID().uuidString.prefix(8)
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    deinit { for descriptor in leftOpen { close(descriptor) } }

    /// A connection that the check let go without closing it: what the program does must not change before it is looked at.
    public func closeAtTheEnd(_ descriptor: Int32) { leaving.withLock { leftOpen.append(descriptor) } }

    func noteSilence(_ seconds: Double) { leaving.withLock { longestSilence = max(longestSilence, seconds) } }

    /// Of the time since it was asked last.
    func takeLongestSilence() -> Double {
        leaving.withLock {
            defer { longestSilence = 0 }
            return longestSilence
        }
    }

    func stopPrograms() {
        for subject in subjects { subject.stop() }
        for end in endings.reversed() { end() }
        endings = []
    }

    /// What the check has started beside the program is ended after it, whichever way the check ends.
    public func atTheEnd(_ end: @escaping () -> Void) { endings.append(end) }

    func removeFolder() {
        do { try FileManager.default.removeItem(atPath: folder) } catch {
            FileHandle.standardError.write(Data("lab: cannot remove \(folder): \(error)\n".utf8))
        }
    }

    /// Starts a process of the program. Most checks want `serve` or `call`, which do this themselves.
    ///
    /// - Parameter descriptorLimit: how many it may have open; 1,024 unless told otherwise, whatever this machine's own
    ///   limit is. Skips the check where the machine does not permit as many.
    /// - Parameter memoryLimit: in bytes, of the process and its children together; 1 GiB unless told otherwise.
    /// - Parameter folder: where it starts; the trial's own folder unless told otherwise.
    public func launch(
        plan: FaultPlan = .none, descriptorLimit: Int? = nil, memoryLimit: Int? = nil, folder: String? = nil
    ) throws -> Subject {
        if let descriptorLimit { try needsDescriptors(descriptorLimit) }
        let subject = try Subject(
            program, plan: plan, descriptorLimit: descriptorLimit, memoryLimit: memoryLimit,
            folder: folder ?? self.folder)
        subjects.append(subject)
        return subject
    }

    // MARK: Servers

    /// Starts a server of the contract and waits until it can be reached.
    ///
    /// - Parameter port: 0 lets the kernel choose; the tap tells which it was.
    /// - Parameter folder: where the program starts; the trial's own folder unless told otherwise.
    public func serve(
        _ entry: String, host: String = "127.0.0.1", port: UInt16 = 0, plan: FaultPlan = .none,
        descriptorLimit: Int? = nil, folder: String? = nil
    ) throws -> Server {
        let subject = try launch(plan: plan, descriptorLimit: descriptorLimit, folder: folder)
        return try start(entry, in: subject, host: host, port: port)
    }

    /// The same for a server of the Unix domain.
    ///
    /// - Parameter path: where its socket's file is.
    public func serve(
        _ entry: String, path: String, plan: FaultPlan = .none, descriptorLimit: Int? = nil
    ) throws -> Server {
        try start(entry, in: try launch(plan: plan, descriptorLimit: descriptorLimit), host: path, port: nil)
    }

    private func start(_ entry: String, in subject: Subject, host: String, port: UInt16?) throws -> Server {
        note(startText(entry, host, port))
        try subject.serve(entry, host: host, port: port ?? 0)
        let expected =
            port.map { say("a server on \(host), port \($0)", "在 \(host) 端口 \($0) 上的服务器") }
            ?? say("a server at \(host)", "在 \(host) 上的服务器")
        do {
            guard let address = try subject.waitUntilServing(until: Deadline()) else {
                throw Failure(expected: expected, got: say("none: it was never bound", "没有：始终没有绑定"))
            }
            return Server(trial: self, subject: subject, address: try Server.overLoopback(address, asked: host))
        } catch is ProgramEnded { throw ProgramEnded(expected: expected) }
    }

    /// Starts a server that cannot serve there.
    ///
    /// - Returns: what its function came back with, or nil if it goes on regardless, waiting for clients.
    public func serveInVain(
        _ entry: String, host: String = "127.0.0.1", port: UInt16, plan: FaultPlan = .none
    ) throws -> PendingCall.Outcome? {
        try startInVain(entry, host: host, port: port, plan: plan)
    }

    public func serveInVain(_ entry: String, path: String) throws -> PendingCall.Outcome? {
        try startInVain(entry, host: path, port: nil, plan: .none)
    }

    private func startText(_ entry: String, _ host: String, _ port: UInt16?) -> String {
        guard let port else { return say("start \(entry) at \(host)", "启动 \(entry)，路径 \(host)") }
        return say("start \(entry) on \(host), port \(port)", "启动 \(entry)，地址 \(host)，端口 \(port)")
    }

    private func startInVain(
        _ entry: String, host: String, port: UInt16?, plan: FaultPlan
    ) throws -> PendingCall.Outcome? {
        let subject = try launch(plan: plan)
        note(startText(entry, host, port))
        try subject.serve(entry, host: host, port: port ?? 0)
        do { return try subject.waitUntilRefused(until: Deadline())?.outcome } catch is ProgramEnded {
            throw ProgramEnded(expected: say("\(entry) throws", "\(entry) 抛出错误"))
        }
    }

    // MARK: Functions

    /// Calls a function of the contract and returns what it returned; that it throws is a failure.
    @discardableResult
    public func call(_ entry: String, _ arguments: Value...) throws -> Value {
        try begin(entry, arguments).value()
    }

    /// Starts a call of a function, so that the check can play the other end of its socket meanwhile. All calls without
    /// a plan of their own go to one process, one after another.
    ///
    /// - Parameter process: one that `launch` started, for several calls under one plan or limit.
    public func begin(
        _ entry: String, _ arguments: [Value], plan: FaultPlan? = nil, in process: Subject? = nil
    ) throws -> PendingCall {
        let subject: Subject
        if let process {
            subject = process
        } else if let plan {
            subject = try launch(plan: plan)
        } else {
            subject = try functions ?? launch()
            functions = subject
        }
        note(say("call \(entry)", "调用 \(entry)"))
        let asked = now()
        try subject.call(entry, arguments)
        return PendingCall(trial: self, subject: subject, entry: entry, asked: asked)
    }

    // MARK: Notes

    /// A line on the grader's side of the trace. What the grader does is noted before it does it, or with the time when it
    /// began: what the program makes of it comes after it.
    ///
    /// - Parameter time: in nanoseconds, as `now()` counts.
    public func note(_ text: String, at time: UInt64 = now()) {
        notes.append(TraceLine(at: Double(time - start) / 1_000_000, side: .grader, text: text))
    }

    /// `connection 2`
    func nextConnectionName() -> String {
        connections += 1
        return say("connection \(connections)", "第 \(connections) 个连接")
    }
}

/// A server of the program under trial.
public struct Server {
    let trial: Trial
    public let subject: Subject
    /// Where it can be reached: its first socket that could be.
    public let address: SocketAddress

    /// Where a client of this type finds it. A program may have bound a helper's socket before the one that serves; then
    /// that one is waited for.
    private func address(for type: Int32) throws -> SocketAddress {
        let asked = subject.asked?.host ?? ""
        if let found = subject.timeline.served(type) { return try Server.overLoopback(found, asked: asked) }
        do {
            guard let found = try subject.waitForTimeline({ $0.served(type) }) else { return address }
            return try Server.overLoopback(found, asked: asked)
        } catch is ProgramEnded { return address }  // to connect to it in vain says more
    }

    /// A server that is bound to every address is reached over loopback.
    fileprivate static func overLoopback(_ address: SocketAddress, asked host: String) throws -> SocketAddress {
        switch address.host {
        case "0.0.0.0": return try SocketAddress(host: "127.0.0.1", port: address.port)
        case "::": return try SocketAddress(host: host.contains(":") ? "::1" : "127.0.0.1", port: address.port)
        default: return address
        }
    }

    /// A TCP client that is connected to it.
    ///
    /// - Parameter smallBuffers: the server's send has to wait after about 100 KB that the client does not read.
    /// - Parameter network: what is between the client and the server.
    public func connect(smallBuffers: Bool = false, through network: StreamNetwork? = nil) throws -> StreamPeer {
        let direct = try address(for: SOCK_STREAM)
        return try StreamPeer.connect(
            to: network?.address ?? direct, smallBuffers: smallBuffers, name: trial.nextConnectionName(),
            trial: trial, subject: subject)
    }

    /// A TCP client that may still be on its way: see `StreamPeer.expectConnected`.
    public func beginConnect() throws -> StreamPeer {
        try StreamPeer.begin(
            to: try address(for: SOCK_STREAM), name: trial.nextConnectionName(), trial: trial, subject: subject)
    }

    /// A UDP client with a port of its own.
    public func datagramClient() throws -> DatagramPeer {
        let server = try address(for: SOCK_DGRAM)
        return try DatagramPeer(
            boundTo: server.family == AF_INET6 ? "::1" : "127.0.0.1", trial: trial, subject: subject, server: server)
    }

    /// Waits for the server's function to return, after it was asked to stop.
    public func expectReturn(within seconds: Double = Deadline.patience) throws {
        let expected = say("the server's function returns", "服务器函数返回")
        do {
            switch try subject.waitForReturn(until: Deadline(in: seconds))?.outcome {
            case .returned?: return
            case let outcome?: throw Failure(expected: expected, got: outcome.text)
            case nil: throw Failure(expected: expected, got: say("it is still running", "仍在运行"))
            }
        } catch is ProgramEnded { throw ProgramEnded(expected: expected) }
    }

    /// Ends it at once (SIGKILL), as a crash would.
    public func kill() { subject.stop() }
}

/// A call of the student's function that is under way.
public struct PendingCall {
    let trial: Trial
    public let subject: Subject
    let entry: String
    /// When it was asked for (ns): no clock of the function's began to run before.
    public let asked: UInt64

    public enum Outcome: Sendable {
        case returned(Value)
        /// `type` and `name` as in `HeaderError.truncated`; `code` is the errno of a `SocketError`, else 0.
        case threw(type: String, name: String, code: Int32, description: String)

        public var text: String {
            switch self {
            case .returned(let value): return say("returned \(value.text)", "返回 \(value.text)")
            case .threw(_, _, _, let description): return say("threw \(description)", "抛出 \(description)")
            }
        }
    }

    /// Waits for what the function does in the end.
    ///
    /// - Parameter sentence: what is expected of this call, for the report of one that crashes or does not come back.
    public func outcome(within seconds: Double = Deadline.patience, expecting sentence: String? = nil) throws
        -> Outcome
    {
        let expected =
            sentence
            ?? say("\(entry) returns within \(Deadline.text(seconds)) s", "\(entry) 在 \(Deadline.text(seconds)) 秒内返回")
        do {
            switch try subject.answer(until: Deadline(in: seconds)) {
            case .returned(let value)?:
                trial.note(say("\(entry) returned \(value.text)", "\(entry) 返回 \(value.text)"))
                return .returned(value)
            case .threw(let type, let name, let code, let description)?:
                trial.note(say("\(entry) threw \(description)", "\(entry) 抛出 \(description)"))
                return .threw(type: type, name: name, code: code, description: description)
            case .misused(let what)?: throw LabError(what)
            case .ready?, .todo?, nil:
                throw Failure(expected: expected, got: say("it is still running", "仍在运行"))
            }
        } catch is ProgramEnded { throw ProgramEnded(expected: expected) }
    }

    /// Whether the function has come back, or its program has ended: what came of it, `outcome` says.
    ///
    /// - Parameter seconds: so long it may take until then.
    public func isOver(within seconds: Double) throws -> Bool {
        do { return try subject.hasAnswered(until: Deadline(in: seconds)) } catch is ProgramEnded { return true }
    }

    /// What it returned; that it throws is a failure.
    public func value(within seconds: Double = Deadline.patience, expecting sentence: String? = nil) throws -> Value {
        let outcome = try outcome(within: seconds, expecting: sentence)
        if case .returned(let value) = outcome { return value }
        throw Failure(expected: sentence ?? say("\(entry) returns", "\(entry) 正常返回"), got: outcome.text)
    }
}

extension Value {
    /// As a person reads it.
    public var text: String {
        switch self {
        case .none: return say("nothing", "空")
        case .bool(let value): return "\(value)"
        case .int(let value): return "\(value)"
        case .unsigned(let value): return "\(value)"
        case .bytes(let value): return value.isEmpty ? say("no bytes", "零个字节") : hexText(value)
        case .string(let value): return "\"\(value)\""
        case .list(let values): return "[" + values.map(\.text).joined(separator: ", ") + "]"
        case .socket, .passed, .descriptor: return say("a socket", "套接字")
        }
    }
}

/// `00 35`, at most 16 bytes of it.
public func hexText(_ bytes: [UInt8]) -> String {
    bytes.prefix(16).map(hex).joined(separator: " ")
        + (bytes.count > 16 ? say(" … (\(bytes.count) bytes)", " ……（共 \(bytes.count) 字节）") : "")
}
