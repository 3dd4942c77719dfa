// Mistakes of lesson 12, as the tap shows them.
import Course
import GraderKit
import Sockets
import Wire

extension Timeline {
    /// Accepted and not closed.
    fileprivate var openConnections: [Int32] {
        var open: [Int32] = []
        for call in calls where call.returned != nil {
            if call.isAccept, call.result >= 0 { open.append(Int32(call.result)) }
            if call.name == "close" { open.removeAll { $0 == call.descriptor } }
        }
        return open
    }

    fileprivate var listenerIsClosed: Bool {
        guard let listen = calls("listen").last else { return false }
        return close(of: listen.descriptor, after: listen.entered) != nil
    }

    /// Threads whose last call has come back, and how it ended.
    fileprivate var idleThreads: [Call] {
        var last: [Int32: Call] = [:]
        for call in calls { last[call.thread] = call }
        return last.values.filter { !$0.isBlocked }.sorted { $0.entered < $1.entered }
    }
}

extension Cause {
    // MARK: The stop

    /// It listens still, as if nobody had asked.
    static let stopUnheard = Cause("stop-unheard") { evidence in
        let timeline = evidence.timeline
        guard evidence.returned == nil, evidence.ending == nil, !timeline.listenerIsClosed else { return nil }
        return timeline.blocked.last { $0.isAccept || $0.isWait }?.callText ?? ""
    }

    /// Nobody joins any more, and it waits for a client that has nothing to say.
    static let idleHoldsStop = Cause("idle-holds-stop") { evidence in
        let timeline = evidence.timeline
        guard evidence.returned == nil, timeline.listenerIsClosed else { return nil }
        if let call = timeline.blocked.last(where: { $0.isReceive && timeline.openConnections.contains($0.descriptor) })
        {
            return call.callText
        }
        return timeline.openConnections.last.map { say("descriptor \($0) is open", "描述符 \($0) 还开着") }
    }

    /// It waits for a client that does not take its answer, longer than the grace.
    static let deafHoldsStop = Cause("deaf-holds-stop") { evidence in
        let timeline = evidence.timeline
        guard evidence.returned == nil else { return nil }
        if let call = timeline.blocked.last(where: \.isSend) { return call.callText }
        guard timeline.listenerIsClosed else { return nil }
        let stuck = timeline.openConnections.last { connection in
            timeline.calls.last { $0.isSend && $0.descriptor == connection }?.error == EAGAIN
        }
        return stuck.map { say("descriptor \($0) is open", "描述符 \($0) 还开着") }
    }

    /// The connection was closed, or shut down, while there was something to send.
    static let droppedAtStop = Cause("dropped-at-stop") { evidence in
        let timeline = evidence.timeline
        guard timeline.kept > 0 else { return nil }
        let end = timeline.calls.last {
            $0.name == "close" || $0.name == "shutdown" && $0.arguments.0 != Int64(SHUT_RD)
        }
        return end.map {
            say("\($0.callText), with \(timeline.kept) bytes to send", "\($0.callText)，还有 \(timeline.kept) 字节没发")
        }
    }

    // MARK: The pool

    /// Fewer threads serve than once did, and clients wait.
    static let poolThreadGone = Cause("pool-thread-gone") { evidence in
        let timeline = evidence.timeline
        let once = Set(timeline.calls.filter { $0.isReceive && $0.returned != nil }.map(\.thread))
        let still = Set(timeline.blocked.filter { $0.isReceive || $0.isSend }.map(\.thread))
        guard once.count > still.count, timeline.openConnections.count > still.count else { return nil }
        return say(
            "\(once.count) threads have served, \(still.count) of them serve now",
            "曾有 \(once.count) 个线程服务过，现在只有 \(still.count) 个")
    }

    // MARK: async/await

    static let blocksThePool = Cause("blocks-the-pool") { $0.timeline.callThatBlocksThePool?.callText }

    // MARK: The hub

    /// Everybody waits until one member has room.
    static let sendsToTheSlow = Cause("waits-for-slow-member") { evidence in
        evidence.timeline.blocked.last(where: \.isSend)?.callText
    }

    /// A send failed, and its thread has made no call since: to remove the member it takes the lock that it holds.
    static let lockTakenTwice = Cause("lock-taken-twice") { evidence in
        guard evidence.ending == nil, evidence.loadNow < 0.5 else { return nil }
        let thread = evidence.timeline.idleThreads.last { call in
            (call.isSend || call.name == "shutdown" || call.name == "close") && call.failed
        }
        return thread.map { "\($0.callText) = -1 \(errorName($0.error))" }
    }

    /// A thread has come back from a call, makes none, and does not compute: it waits for something that is no call.
    static let waitsForLock = Cause("waits-for-a-lock") { evidence in
        guard evidence.ending == nil, evidence.loadNow < 0.5 else { return nil }
        let received = evidence.timeline.idleThreads.last { $0.isReceive && $0.result > 0 }
        return received.map { "\($0.callText) = \($0.result)" }
    }

    static let usesClosedConnection = Cause("uses-a-closed-connection") { evidence in
        evidence.timeline.calls.last { $0.failed && $0.error == EBADF }.map { "\($0.callText) = -1 EBADF" }
    }
}
