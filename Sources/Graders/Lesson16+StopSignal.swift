// Lesson 16: stop-signal. A signal becomes a descriptor that poll sees.
import Course
import GraderKit
import Sockets

let stopSignalChecks: [Check] = [
    Check("stop-signal-readable", suspects: [.signalNotCaught, .signalTaken]) { trial in
        for signal in [SIGTERM, SIGINT] {
            let (program, descriptor) = try trial.stopDescriptor()
            try trial.expect(
                try trial.isReadable(descriptor, within: 0, in: program), equals: false,
                say("readable before any signal", "没有信号时就可读"), cause: "readable-without-signal")
            program.signal(signal)
            try trial.expect(
                try trial.isReadable(descriptor, within: 10_000, in: program), equals: true,
                say("readable after \(name(signal))", "\(name(signal)) 之后可读"), cause: "signal-not-told")
        }
    },
    Check("stop-signal-stays", suspects: [.signalNotCaught, .signalTaken]) { trial in
        let (program, descriptor) = try trial.stopDescriptor()
        program.signal(SIGTERM)
        // Each thread asks for itself.
        for _ in 0..<3 {
            try trial.expect(
                try trial.isReadable(descriptor, within: 10_000, in: program), equals: true,
                say("readable, again and again", "一直可读"), cause: "signal-told-once")
        }
    },
    Check("stop-signal-often", suspects: [.signalNotCaught, .signalTaken]) { trial in
        let (program, descriptor) = try trial.stopDescriptor()
        for round in 0..<20 {
            for _ in 0..<50 { program.signal(round % 2 == 0 ? SIGTERM : SIGINT) }
            try trial.expect(
                try trial.isReadable(descriptor, within: 10_000, in: program), equals: true,
                say("readable after many signals", "许多信号之后可读"), cause: "signal-not-told")
        }
        // As after some ten thousand more.
        guard case .int(let number) = descriptor, program.fillPipe(Int32(number)) else { return }
        trial.note(say("its pipe is filled up", "把它的管道填满"))
        program.signal(SIGTERM)
        do {
            try trial.expect(
                try trial.isReadable(descriptor, within: 0, in: program), equals: true,
                say("readable when the pipe is full", "管道满了仍然可读"), cause: "signal-not-told")
        } catch var failure as Failure {
            failure.cause = "handler-waits"
            throw failure
        }
    },
]

private func name(_ signal: Int32) -> String { signal == SIGTERM ? "SIGTERM" : "SIGINT" }

extension Trial {
    /// A library goes on with what it was told on threads of its own: no signal comes before they have done that.
    fileprivate func stopDescriptor() throws -> (Subject, Value) {
        let program = try launch()
        let descriptor = try begin("stop-descriptor", [], in: program).value()
        let deadline = Deadline(in: 2)
        var looks = 0
        while looks < 5 && !deadline.hasPassed {
            looks = program.isAtRest ? looks + 1 : 0
            poll(nil, 0, 5)
        }
        return (program, descriptor)
    }

    fileprivate func isReadable(_ descriptor: Value, within patience: Int, in program: Subject) throws -> Bool {
        let answer = try begin("is-readable", [descriptor, .int(patience)], in: program).value(
            within: 2 * Deadline.patience)
        return answer == .bool(true)
    }
}

extension Cause {
    /// Somebody has read what made the descriptor readable, and somebody else waits for that.
    static let signalTaken = Cause("signal-told-once") { evidence in
        let timeline = evidence.timeline
        guard let wait = timeline.blocked.last(where: \.isWait) else { return nil }
        let taken = timeline.calls.last { $0.isReceive && $0.result > 0 && $0.entered < wait.entered }
        return taken.map { say("\($0.callText), and then \(wait.callText)", "\($0.callText)，然后 \(wait.callText)") }
    }

    /// The signal's default action ended the process.
    static let signalNotCaught = Cause("signal-not-caught") { evidence in
        switch evidence.ending?.signal {
        case SIGTERM?: return say("SIGTERM ended it", "它被 SIGTERM 结束")
        case SIGINT?: return say("SIGINT ended it", "它被 SIGINT 结束")
        default: return nil
        }
    }
}
