// Mistakes of lesson 12, as the tap shows them.
import Course
import GraderKit
import Sockets
import Wire

extension Timeline {
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

extension Evidence {
    /// It was asked to stop, and has not come back.
    fileprivate var isStopping: Bool { stopAsked != nil && returned == nil && ending == nil }
}

extension Cause {
    // MARK: The stop

    /// It has not returned, and no call waits: its threads wait for one another.
    static let notAllWoken = Cause("not-all-woken") { evidence in
        evidence.isStopping && evidence.load < 0.5 && evidence.timeline.blocked.isEmpty ? "" : nil
    }

    /// It listens still, as if nobody had asked.
    static let stopUnheard = Cause("stop-unheard") { evidence in
        let timeline = evidence.timeline
        guard evidence.isStopping, !timeline.listenerIsClosed else { return nil }
        return timeline.blocked.last { $0.isAccept || $0.isWait }?.callText ?? ""
    }

    /// Nobody joins any more, and it waits for a client that has nothing to say.
    static let idleHoldsStop = Cause("idle-holds-stop") { evidence in
        let timeline = evidence.timeline
        guard evidence.isStopping, timeline.listenerIsClosed else { return nil }
        return timeline.blocked.last { $0.isReceive && timeline.openConnections.contains($0.descriptor) }?.callText
    }

    /// The same where no call waits: the task of a client does not end.
    static let idleTaskHoldsStop = Cause("idle-holds-stop") { evidence in
        let timeline = evidence.timeline
        guard evidence.isStopping, timeline.listenerIsClosed else { return nil }
        return timeline.openConnections.last.map { say("descriptor \($0) is open", "描述符 \($0) 还开着") }
    }

    /// The function came back, and clients are still connected.
    static let returnedBeforeClosing = Cause("left-open-at-stop") { evidence in
        guard evidence.stopAsked != nil, case .returned? = evidence.returned else { return nil }
        let open = evidence.timeline.openConnections.count
        return open == 0 ? nil : say("\(open) connections are open", "还有 \(open) 个连接开着")
    }

    /// It waits for a client that does not take its answer, longer than the grace.
    static let deafHoldsStop = Cause("deaf-holds-stop") { evidence in
        let timeline = evidence.timeline
        guard evidence.isStopping else { return nil }
        if let call = timeline.blocked.last(where: \.isSend) { return call.callText }
        guard timeline.listenerIsClosed else { return nil }
        let stuck = timeline.openConnections.last { connection in
            timeline.calls.last { $0.isSend && $0.descriptor == connection }?.error == EAGAIN
        }
        return stuck.map { say("descriptor \($0) is open", "描述符 \($0) 还开着") }
    }

    /// The connection was closed, or shut down, while there was something to send.
    static let droppedAtStop = Cause("dropped-at-stop") { evidence in
        guard let asked = evidence.stopAsked else { return nil }
        let calls = evidence.timeline.calls
        // When the grace is over it may.
        let grace = asked..<(asked + UInt64(Lesson12.grace) * 1_000_000)
        for end in calls.reversed() where grace.contains(end.entered) {
            guard end.name == "close" || end.name == "shutdown" && end.arguments.0 != Int64(SHUT_RD as Int32),
                let accept = calls.last(where: {
                    $0.isAccept && $0.result == Int64(end.descriptor) && $0.entered < end.entered
                })
            else { continue }
            // A send that was under way may have moved something yet.
            let moved = calls.filter { $0.descriptor == end.descriptor && $0.entered > accept.entered }
                .prefix { $0.name != "close" }
            let kept = moved.receivedBytes - moved.sentBytes
            guard kept > 0 else { continue }
            return say("\(end.callText), with \(kept) bytes to send", "\(end.callText)，还有 \(kept) 字节没发")
        }
        return nil
    }

    /// It closed without asking for what had arrived besides, and the reset took the answer along.
    static let closedOverTheRest = Cause("closed-with-unread-bytes") { evidence in
        guard let asked = evidence.stopAsked, evidence.failure.got.contains(errorText(ECONNRESET)) else { return nil }
        let calls = evidence.timeline.calls
        for (index, close) in calls.enumerated() where close.name == "close" && close.entered > asked {
            let last = calls[..<index].last { $0.isReceive && $0.descriptor == close.descriptor }
            guard let last, last.result > 0 else { continue }
            return say(
                "\(close.callText), and the last receive before it gave \(last.result) bytes",
                "\(close.callText)，之前最后一次接收得到 \(last.result) 字节")
        }
        return nil
    }

    // MARK: The pool

    /// Fewer threads serve than once did, and clients wait.
    static let poolThreadGone = Cause("pool-thread-gone") { evidence in
        let timeline = evidence.timeline
        let once = Set(timeline.calls.filter { $0.isReceive && $0.returned != nil }.map(\.thread))
        let still = Set(timeline.blocked.filter { $0.isReceive || $0.isSend }.map(\.thread))
        // Its last word was an error of a client, and nothing has come from it since.
        let gone = once.subtracting(still).contains { thread in
            timeline.calls.last { $0.thread == thread && ($0.isReceive || $0.isSend) }.map {
                $0.failed && ![EINTR, EAGAIN].contains($0.error)
            } ?? false
        }
        guard gone, timeline.openConnections.count > still.count, evidence.stopAsked == nil else { return nil }
        return say(
            "\(once.count) threads have served, \(still.count) of them serve now",
            "曾有 \(once.count) 个线程服务过，现在只有 \(still.count) 个")
    }

    /// Somebody waits to be served whom nobody has looked at, and one that came later is served.
    static let newestFirst = Cause("newest-first") { evidence in
        let calls = evidence.timeline.calls
        let accepts = calls.filter {
            $0.isAccept && $0.result >= 0 && evidence.timeline.openConnections.contains(Int32($0.result))
        }
        func isServed(_ accept: Call) -> Bool {
            calls.contains {
                ($0.isReceive || $0.isSend) && Int64($0.descriptor) == accept.result && $0.entered > accept.entered
            }
        }
        guard let first = accepts.first(where: { !isServed($0) }), let last = accepts.last(where: isServed),
            last.entered > first.entered,
            // Whoever waits in poll, and has begun to since, may be waiting for just this one.
            !evidence.timeline.blocked.contains(where: { wait in
                wait.isWait && wait.entered > first.entered && !accepts.contains { $0.thread == wait.thread }
            })
        else { return nil }
        return say(
            "\(last.callText) = \(last.result) is served, \(first.callText) = \(first.result) is not, and it came before",
            "\(last.callText) = \(last.result) 得到了服务，先来的 \(first.callText) = \(first.result) 却没有")
    }

    /// A connection was closed while another thread waits in recv for it: that one goes on waiting.
    static let closedUnderACall = Cause("closed-under-a-call") { evidence in
        let timeline = evidence.timeline
        for receive in timeline.blocked.filter(\.isReceive) {
            let close = timeline.calls("close").first {
                $0.descriptor == receive.descriptor && $0.process == receive.process && $0.thread != receive.thread
                    && $0.entered > receive.entered
            }
            if let close {
                return say(
                    "\(close.callText), and \(receive.callText) still waits",
                    "\(close.callText)，而 \(receive.callText) 还在等")
            }
        }
        return nil
    }

    // MARK: async/await

    static let blocksThePool = Cause("blocks-the-pool") { $0.timeline.callThatBlocksThePool?.callText }

    // MARK: The hub

    /// Everybody waits until one member has room.
    static let sendsToTheSlow = Cause("waits-for-slow-member") { evidence in
        evidence.timeline.blocked.last(where: \.isSend)?.callText
    }

    /// A send failed, and the thread that had received the message has made no call since: to remove the member it takes the
    /// lock that it holds.
    static let lockTakenTwice = Cause("lock-taken-twice") { evidence in
        let timeline = evidence.timeline
        guard evidence.ending == nil, evidence.loadNow < 0.5 else { return nil }
        let receivers = Set(timeline.calls.filter(\.isReceive).map(\.thread))
        let stuck = timeline.idleThreads.last { call in
            guard receivers.contains(call.thread) else { return false }
            if call.name != "close" { return call.isSend && call.failed || call.name == "shutdown" }
            // The last call of a thread that has ended is a close, too: this one follows on what threw the member out.
            let before = timeline.calls.last { $0.thread == call.thread && $0.entered < call.entered }
            return before.map { $0.isSend && $0.failed || $0.name == "shutdown" } ?? false
        }
        return stuck.map { $0.failed ? "\($0.callText) = -1 \(errorName($0.error))" : $0.callText }
    }

    /// The last thing that somebody said went to some of those who are connected, and not to all.
    static let memberLeftOut = Cause("member-left-out") { evidence in
        let calls = evidence.timeline.calls
        guard let said = calls.last(where: { $0.isReceive && $0.result > 0 }) else { return nil }
        let members = Set(evidence.timeline.openConnections)
        let reached = Set(calls.filter { $0.isSend && $0.entered > said.entered }.map(\.descriptor))
        guard !reached.isEmpty, !members.isSubset(of: reached) else { return nil }
        return say(
            "of \(members.count) members, it was sent to \(members.intersection(reached).count)",
            "\(members.count) 个成员里，只发给了 \(members.intersection(reached).count) 个")
    }

    /// A connection was accepted, and closed before anything was received on it.
    static let turnedAway = Cause("turned-away") { evidence in
        let calls = evidence.stopAsked == nil ? evidence.timeline.calls : []
        for accepted in calls where accepted.isAccept && accepted.result >= 0 {
            let next = calls.first {
                $0.descriptor == Int32(accepted.result) && $0.entered > accepted.entered
                    && ($0.isReceive || $0.name == "close")
            }
            if let next, next.name == "close" { return next.callText }
        }
        return nil
    }

    /// A send to a member failed, and it was not shut down, nor closed.
    static let failedSendIgnored = Cause("failed-send-ignored") { evidence in
        let calls = evidence.timeline.calls
        guard let index = calls.lastIndex(where: { $0.isSend && $0.failed && $0.error == EPIPE }) else { return nil }
        let gone = calls[index...].contains {
            ($0.name == "shutdown" || $0.name == "close") && $0.descriptor == calls[index].descriptor
        }
        return gone ? nil : "\(calls[index].callText) = -1 EPIPE"
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
