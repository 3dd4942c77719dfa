// The clients of demos: what a line that was typed is made of. Each runs in a process of its own, so that its calls are
// seen as the server's are.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

/// Speaks to one server, a line at a time.
protocol DemoClient: AnyObject {
    /// The prompt for the next line.
    var prompt: String { get }
    func start() throws
    /// The answers to a line, one to be printed a line.
    func ask(_ line: [UInt8]) throws -> [[UInt8]]
    /// There are no more lines.
    func finish() throws
}

extension DemoClient {
    var prompt: String { "> " }
    func start() throws {}
    func finish() throws {}
}

/// A line had no answer: said, and then the next line may come.
struct NoAnswer: Error {
    var text: String
    /// What `lab` ends with, where nobody is there to type another line.
    var exit = ExitCode.failure
}

/// A process that calls functions of a contract.
final class Caller {
    private let play: Play
    private let program: Program
    private let side: Side
    private let tag: String
    private let isDrawn: Bool
    private var subject: Subject?

    init(_ play: Play, _ program: Program, side: Side = .left, tag: String = "", isDrawn: Bool = true) {
        self.play = play
        self.program = program
        self.side = side
        self.tag = tag
        self.isDrawn = isDrawn
    }

    func start() throws {
        if subject == nil { subject = try play.stage.start(program, side, tag: tag, isDrawn: isDrawn) }
    }

    /// Its descriptor 3 will be one end of this connection, which somebody else has made.
    func adopt(local: SocketAddress, remote: SocketAddress, isClient: Bool) throws {
        try start()
        if let subject { play.stage.adopt(subject, local: local, remote: remote, isClient: isClient) }
    }

    /// What it has done so far.
    var timeline: Timeline {
        get throws {
            try start()
            guard let subject else { return Timeline(start: 0) }
            subject.waitForTap()
            return subject.timeline
        }
    }

    /// - Throws: `NoAnswer` if the function throws, or has not come back within the time: then the process is ended.
    func call(_ entry: String, _ arguments: [Value], server: Endpoint, within seconds: Double = 5) throws -> Value {
        try begin(entry, arguments)
        return try outcome(server: server, within: seconds)
    }

    /// Calls a function and does not wait for it.
    func begin(_ entry: String, _ arguments: [Value]) throws {
        try start()
        try subject?.begin(entry, arguments)
    }

    /// What became of what was begun; nil if it has not come back.
    func poll(until deadline: Deadline = Deadline(in: 0)) throws -> PendingCall.Outcome? {
        try subject?.outcome(until: deadline)
    }

    /// Waits for what was begun.
    func outcome(server: Endpoint, within seconds: Double = 5) throws -> Value {
        guard let subject else { return .none }
        let outcome: PendingCall.Outcome?
        do { outcome = try subject.outcome(until: Deadline(in: seconds)) } catch let error as LiveError {
            // It is gone; a next line gets a new one.
            end()
            if case .ended(let ending) = error { throw NoAnswer(text: Complaint.ended(ending).description) }
            throw error
        }
        switch outcome {
        case .returned(let value)?: return value
        case let outcome?: throw NoAnswer(text: Complaint.noAnswer(outcome, server))
        case nil:
            let waiting = subject.timeline.blocked.last?.callText
            end()
            throw NoAnswer(
                text: say("No answer within \(Int(seconds)) s", "\(Int(seconds)) 秒内没有回答")
                    + (waiting.map { say(": the client waits in \($0).", "：客户端阻塞在 \($0)。") } ?? say(".", "。")))
        }
    }

    /// What a function returns; nil if it throws.
    func result(_ entry: String, _ arguments: [Value]) throws -> Value? {
        try start()
        guard case .returned(let value)? = try subject?.call(entry, arguments, until: Deadline()) else { return nil }
        return value
    }

    func end() {
        if let subject { play.stage.end(subject) }
        subject = nil
    }
}

/// Lesson 03's connected client: a socket, a datagram and an answer for each line.
final class DatagramClient: DemoClient {
    private let caller: Caller
    private let server: Endpoint
    /// A server on this machine answers in far less.
    private static let patience = 2000

    init(_ play: Play, _ program: Program, _ server: Endpoint) {
        caller = Caller(play, program)
        self.server = server
    }

    func ask(_ line: [UInt8]) throws -> [[UInt8]] {
        let value = try caller.call(
            "connected-client",
            [.bytes(line), .string(server.host), .int(Int(server.port)), .int(DatagramClient.patience)],
            server: server)
        return [try [value].bytes(0)]
    }
}

/// Lesson 04's client: a connection for each line, and its end marks the end of the line.
final class ConnectionPerLineClient: DemoClient {
    private let caller: Caller
    private let server: Endpoint

    init(_ play: Play, _ program: Program, _ server: Endpoint) {
        caller = Caller(play, program)
        self.server = server
    }

    func ask(_ line: [UInt8]) throws -> [[UInt8]] {
        let value = try caller.call(
            "client", [.bytes(line), .string(server.host), .int(Int(server.port))], server: server)
        return [try [value].bytes(0)]
    }
}

/// Clients that stay connected, and take turns.
final class StreamClient: DemoClient {
    private let callers: [Caller]
    private let server: Endpoint
    private var isConnected: [Bool]
    private var turn = 0

    init(_ play: Play, _ server: Endpoint, count: Int = 1) {
        callers = (1...count).map { Caller(play, play.helper, tag: count == 1 ? "" : "\($0)") }
        self.server = server
        isConnected = callers.map { _ in false }
    }

    var prompt: String { callers.count == 1 ? "> " : "\(turn + 1)> " }

    func start() throws { for index in callers.indices { try connect(index) } }

    private func connect(_ index: Int) throws {
        guard !isConnected[index] else { return }
        _ = try callers[index].call("connect", [.string(server.host), .int(Int(server.port))], server: server)
        isConnected[index] = true
    }

    func ask(_ line: [UInt8]) throws -> [[UInt8]] {
        let index = turn
        turn = (turn + 1) % callers.count
        try connect(index)
        do {
            // In a stream only the newline says where the line ends.
            let value = try callers[index].call("exchange", [.bytes(line + [UInt8(ascii: "\n")])], server: server)
            let answer = try [value].bytes(0)
            return [answer.last == UInt8(ascii: "\n") ? Array(answer.dropLast()) : answer]
        } catch {
            // Nobody knows what is under way on this connection now.
            isConnected[index] = false
            callers[index].end()
            throw error
        }
    }

    func finish() throws {
        for index in callers.indices where isConnected[index] {
            _ = try callers[index].call("leave", [], server: server)
        }
    }
}
