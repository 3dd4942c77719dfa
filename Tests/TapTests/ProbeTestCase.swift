// Runs functions and servers of TapProbe, a program that does as it is told, as a grader runs a student's.
import Course
import Foundation
import Sockets
import Wire
import XCTest

@testable import GraderKit

class ProbeTestCase: XCTestCase {
    static let probe = Program(executable: Program.products.appendingPathComponent("TapProbe").path, arguments: [])

    override class func setUp() { Language.current = .english }

    /// A trial as `Judge` makes one: whatever it started is gone afterwards.
    func withTrial<Result>(_ body: (Trial) throws -> Result) throws -> Result {
        let trial = try Trial(program: ProbeTestCase.probe, seed: 1)
        defer { trial.removeFolder() }
        defer { trial.stopPrograms() }
        return try body(trial)
    }

    /// Calls a function of the probe and returns its value and the calls that the tap saw meanwhile.
    @discardableResult
    func run(
        _ entry: String, _ arguments: Value..., plan: FaultPlan = .none, descriptorLimit: Int? = nil
    ) throws -> (value: Value, timeline: Timeline) {
        try withTrial { trial in
            let subject = try trial.launch(plan: plan, descriptorLimit: descriptorLimit)
            let value = try trial.begin(entry, arguments, in: subject).value()
            subject.catchUp()
            return (value, subject.timeline)
        }
    }

    /// Judges a check of the probe.
    func judge(_ body: @escaping @Sendable (Trial) throws -> Void) -> Verdict {
        judge(Check("probe", body: body))
    }

    func judge(_ check: Check) -> Verdict { Judge(seed: 1) { _ in ProbeTestCase.probe }.judge(check, of: "00-probe") }
}

extension Timeline {
    /// The calls as `lab trace` shows them, with ports that the kernel chose replaced: P1, P2… in the order in which
    /// they appear.
    var transcript: [String] {
        var ports: [String] = []
        return calls.map { call in
            var text = call.text(now: call.entered)
            for match in text.matches(of: /(127\.0\.0\.1|\[::1\]|0\.0\.0\.0):([1-9][0-9]*)/).reversed() {
                let port = String(match.output.2)
                if !ports.contains(port) { ports.append(port) }
                text.replaceSubrange(
                    match.output.2.startIndex..<match.output.2.endIndex, with: "P\(ports.firstIndex(of: port)! + 1)")
            }
            return text
        }
    }
}

/// Waits for what no event tells, such as that a process of others is gone.
func eventually(_ condition: () -> Bool) -> Bool {
    let deadline = Deadline()
    while !condition() {
        if deadline.hasPassed { return false }
        poll(nil, 0, 2)
    }
    return true
}

/// Is there such a process, and is it more than a zombie?
func lives(_ process: Int32) -> Bool {
    guard let stat = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
        let end = stat.lastIndex(of: ")")
    else { return false }
    return stat[end...].dropFirst(2).first != "Z"
}
