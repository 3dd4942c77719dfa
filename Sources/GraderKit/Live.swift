// Programs in front of an audience: started under the tap as a check starts them, with each call told as it happens, and
// with nothing judged. Demos use this; checks have `Trial`.
import Course
import Foundation
import Sockets
import Wire

/// Why a program that is shown cannot do what it was asked for.
public enum LiveError: Error, Sendable {
    /// Its code reached a `todo()`.
    case notStarted(Place)
    /// The process ended, or a server's function came back.
    case ended(Subject.Ending?)
}

/// How many descriptors this process, and a program that it starts, may have open at most.
public var descriptorsPermitted: UInt { mostDescriptors }

extension Program {
    /// The reference of a lesson, or another contract, in an executable that hosts it: `lab host 04-tcp`.
    public static func hosted(_ slug: String, by executable: String) -> Program {
        Program(executable: executable, arguments: ["host", slug])
    }

    /// An executable that hosts one contract: `Lesson04`.
    public static func standalone(_ executable: String) -> Program { Program(executable: executable, arguments: []) }
}

extension Subject {
    /// Starts a process that may have as many descriptors open as this machine permits.
    ///
    /// - Parameter folder: where it runs.
    /// - Parameter onCall: told each call twice, when it is entered and when it returns; from a thread of the subject's, and
    ///   it must not ask the subject anything.
    public static func live(
        _ program: Program, in folder: String, plan: FaultPlan = .none, onCall: @escaping @Sendable (Call) -> Void
    ) throws -> Subject {
        try Subject(
            program, plan: plan, descriptorLimit: Int(clamping: mostDescriptors), cpuLimit: nil, folder: folder,
            onCall: onCall)
    }

    /// Starts a process whose tap ends when it listens: it serves as fast as it can.
    ///
    /// - Parameter descriptorLimit: how many it may have open; nil: as many as this machine permits.
    public static func unwatched(_ program: Program, in folder: String, descriptorLimit: Int? = nil) throws -> Subject {
        try Subject(
            program, plan: .none, descriptorLimit: descriptorLimit ?? Int(clamping: mostDescriptors), cpuLimit: nil,
            folder: folder, isWatched: false)
    }

    /// What became of a server that was asked to serve.
    public enum Serving: Sendable {
        /// It can be reached there.
        case at(SocketAddress)
        /// Its function came back: it returned, or threw.
        case stopped(PendingCall.Outcome)
        /// Neither, in time.
        case late
    }

    /// Starts a server of the contract and waits until it can be reached.
    public func startServing(
        _ entry: String, host: String, port: UInt16, until deadline: Deadline = Deadline()
    ) throws -> Serving {
        try serve(entry, host: host, port: port)
        return try waitForServing(until: deadline)
    }

    /// Waits until a socket of the program can be reached.
    public func waitForServing(until deadline: Deadline = Deadline()) throws -> Serving {
        try translatingEnds {
            do {
                guard let address = try waitUntilServing(until: deadline) else { return .late }
                return .at(address)
            } catch is ProgramEnded {
                if let outcome = serverStopped?.outcome { return .stopped(outcome) }
                throw ProgramEnded(expected: "")
            }
        }
    }

    /// Calls a function of the contract and waits for what it does; nil if it has not come back in time.
    public func call(
        _ entry: String, _ arguments: [Value], until deadline: Deadline
    ) throws -> PendingCall.Outcome? {
        try call(entry, arguments)
        return try outcome(until: deadline)
    }

    /// Starts a call of a function; `outcome` waits for it.
    public func begin(_ entry: String, _ arguments: [Value]) throws { try call(entry, arguments) }

    /// What the oldest call that is not answered yet has come back with; nil if it has not in time.
    public func outcome(until deadline: Deadline) throws -> PendingCall.Outcome? {
        try translatingEnds {
            guard let reply = try answer(until: deadline) else { return nil }
            if case .misused(let what) = reply { throw LabError(what) }
            return reply.outcome
        }
    }

    /// Waits until the tap shows what is asked for; nil if it did not in time.
    public func waitForLive<Found>(
        until deadline: Deadline = Deadline(), _ find: (Timeline) -> Found?
    ) throws -> Found? {
        try translatingEnds { try waitForTimeline(until: deadline, find) }
    }

    /// What a server's function returned or threw, if it came back.
    public var outcomeOfServer: PendingCall.Outcome? { serverStopped?.outcome }

    /// Waits until the process has ended, or a server's function has come back.
    public func waitForEnd() -> Ending? {
        while true {
            do { _ = try wait(until: Deadline(in: 3600)) { () -> Never? in nil } } catch { return hasEnded }
        }
    }

    /// What the program printed, without Swift's own report of a crash.
    public var studentOutput: String { printedByStudent(output.text) }

    /// Why it crashed, in Swift's words, and the student's line where it did; nil if no signal has ended it.
    public var crash: (reason: String, place: Place?)? {
        guard hasEnded?.signal != nil else { return nil }
        let text = output.text
        return (Cause.crashText(in: text), crashPlace(in: text))
    }

    /// Waits until all that the tap has told so far has been passed on.
    public func waitForTap() { catchUp() }

    private func translatingEnds<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch let error as NotStarted {
            throw LiveError.notStarted(error.place)
        } catch is ProgramEnded {
            throw LiveError.ended(hasEnded)
        }
    }
}
