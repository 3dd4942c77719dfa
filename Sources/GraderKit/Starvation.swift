/// How long a lesson process has wanted to run and could not, because others had the processors. It takes nobody's
/// verdict: it moves deadlines (`Deadline.extended`).
import Foundation

final class Starvation: @unchecked Sendable {
    private let lock = NSLock()
    private var process: Int32 = 0
    private var isReady = false
    private var most: UInt64 = 0

    func isProcess(_ process: Int32) { lock.withLock { self.process = process } }

    /// The process listens to its grader.
    func hasBegun() { lock.withLock { isReady = true } }

    /// Nanoseconds so far. What the lab does until the student's code can be asked for anything is not the student's time.
    var time: UInt64 {
        lock.withLock {
            guard isReady, process > 0 else { return .max }
            // Threads that have ended take their count with them.
            most = max(most, runQueueTime(of: process))
            return most
        }
    }
}
