// Mistakes of exercise 13 connection-pool, as the tap shows them.
import Course
import GraderKit
import Sockets
import Wire

extension Cause {
    /// A job read the end of the stream, or a reset, where its answer should have come.
    static let poolHandedOutDead = Cause("handed-out-dead") { evidence in
        evidence.timeline.calls.last {
            ($0.isReceive && $0.returned != nil && $0.result == 0 && $0.length > 0) || $0.error == ECONNRESET
                || $0.error == EPIPE
        }.map { $0.text(now: evidence.now) }
    }

    static let poolServerLeft = Cause("connects-each-time") { evidence in
        let count = evidence.timeline.count("connect")
        return count > 1 ? say("\(count) connects", "connect 了 \(count) 次") : nil
    }

    /// Made by the thread that makes pools; each job has one of its own.
    static let poolOpenedInAdvance = Cause("opened-in-advance") { evidence in
        evidence.timeline.calls("socket", "connect").first { $0.thread == $0.process }?.callText
    }

    /// One thread asked on a connection while another waited for its answer there.
    static let poolLentTwice = Cause("lent-twice") { $0.timeline.connectionOfTwo }

    static let poolWaitsWithoutDeadline = Cause("waits-without-deadline") {
        $0.failure.got.contains(stillRunning)
    }

    static let poolAnswersMixed = Cause("stale-answer") { evidence in
        evidence.timeline.calls.last { $0.isReceive && $0.data.starts(with: Array("late".utf8)) }
            .map { $0.text(now: evidence.now) }
    }

    /// What was used when the body threw is still open.
    static let poolKeptAfterError = Cause("kept-after-error") { evidence in
        evidence.timeline.count("close") == 0 ? "" : nil
    }

    private static var stillRunning: String { say("still running", "仍在运行") }
}

extension Timeline {
    /// Which connection was used by two threads at once.
    fileprivate var connectionOfTwo: String? {
        /// What its user did last: it sent a request, or waits for the answer.
        var using: [Int32: Call] = [:]
        for call in calls {
            if call.name == "close" { using[call.descriptor] = nil }
            guard call.isUse else { continue }
            if let other = using[call.descriptor], other.thread != call.thread, !other.returnIsLost,
                other.isSend || other.returned ?? .max > call.entered
            {
                return say(
                    "two threads used descriptor \(call.descriptor) at once", "两个线程同时使用描述符 \(call.descriptor)")
            }
            using[call.descriptor] = call
        }
        return nil
    }

    /// Several jobs want a connection. One waits for its answer, and none has ever asked while another did.
    var isOneAtATime: Bool {
        let uses = calls.filter(\.isUse)
        return blocked.filter(\.isUse).count == 1
            && zip(uses, uses.dropFirst()).allSatisfy {
                $0.thread == $1.thread || !$0.isSend && $0.returned ?? .max <= $1.entered
            }
    }
}

extension Call {
    /// A job's own: a pool that looks at an idle connection does not wait.
    fileprivate var isUse: Bool {
        isSend && !failed || isReceive && arguments.0 & Int64((MSG_DONTWAIT as Int32) | (MSG_PEEK as Int32)) == 0
    }
}
