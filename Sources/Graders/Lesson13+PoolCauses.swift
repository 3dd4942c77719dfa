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

    /// Threads wait for the lock that one of them holds while it waits for the server.
    static let poolOneAtATime = Cause("one-at-a-time") { evidence in
        let blocked = evidence.timeline.blocked.filter(\.isReceive)
        return blocked.count == 1 ? blocked[0].callText : nil
    }

    /// One thread waits for a new connection, and all others for the lock that it holds meanwhile.
    static let poolConnectsUnderLock = Cause("connects-under-lock") { evidence in
        evidence.timeline.blocked.last { $0.name == "connect" || $0.isWait }?.callText
    }

    /// Two threads read from one connection.
    static let poolLentTwice = Cause("lent-twice") { evidence in
        var inside: [Int32: Call] = [:]
        for call in evidence.timeline.calls where call.isReceive {
            if let other = inside[call.descriptor], other.thread != call.thread,
                other.returned.map({ $0 > call.entered }) ?? true
            {
                return say(
                    "two threads are in recv on descriptor \(call.descriptor)",
                    "有两个线程在对描述符 \(call.descriptor) 调用 recv")
            }
            inside[call.descriptor] = call
        }
        return nil
    }

    static let poolWaitsWithoutDeadline = Cause("waits-without-deadline") {
        $0.failure.got.contains(stillRunning)
    }

    static let poolWaiterForgotten = Cause("waiter-not-woken") { $0.failure.got.contains(stillRunning) }

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
