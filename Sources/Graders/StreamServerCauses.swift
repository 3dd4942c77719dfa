// Mistakes that servers over TCP make, as the tap shows them.
import Course
import GraderKit
import Sockets
import Wire

extension Cause {
    // MARK: Listening

    static let listenedElsewhere = Cause("listened-elsewhere") { evidence in
        guard let failed = evidence.timeline.calls("bind").first(where: \.failed),
            evidence.timeline.calls("listen").contains(where: { $0.entered > failed.entered })
        else { return nil }
        return failed.callText
    }

    static let smallBacklog = Cause("small-backlog") { evidence in
        guard let call = evidence.timeline.calls("listen").last, call.arguments.0 < 50 else { return nil }
        return call.callText
    }

    static let acceptErrorEndedServer = Cause("accept-error-ended-server") { evidence in
        guard let call = evidence.timeline.calls.last(where: \.isAccept), call.failed, call.error != EINTR else {
            return nil
        }
        return "\(call.name): \(errorName(call.error))"
    }

    // MARK: The end of a client

    /// 0 from a receive, and then another receive.
    static let readsPastTheEnd = Cause("reads-past-the-end") { evidence in
        evidence.timeline.repeated { $0.result == 0 && $0.length > 0 }.map { call, times in
            say("\(call.callText) returned 0 \(times) times", "\(call.callText) 返回 0 共 \(times) 次")
        }
    }

    static let readsOnAfterError = Cause("reads-on-after-error") { evidence in
        evidence.timeline.repeated { $0.failed && $0.error != EINTR && $0.error != EAGAIN }.map { call, times in
            say(
                "\(call.callText) failed with \(errorName(call.error)) \(times) times",
                "\(call.callText) 以 \(errorName(call.error)) 失败 \(times) 次")
        }
    }

    /// The end was seen, and the connection not closed.
    static let leftOpen = Cause("connection-left-open") { evidence in
        let calls = evidence.timeline.calls
        guard let end = calls.lastIndex(where: { $0.isReceive && $0.returned != nil && $0.result == 0 }) else {
            return nil
        }
        let closed = calls[end...].contains {
            ($0.name == "close" || $0.name == "shutdown") && $0.descriptor == calls[end].descriptor
        }
        return closed ? nil : "\(calls[end].callText) = 0"
    }

    /// Closed without having seen the end of the stream, or an error.
    static let closedTooEarly = Cause("closed-too-early") { evidence in
        let calls = evidence.timeline.calls
        for (index, accept) in calls.enumerated() where accept.isAccept && accept.result >= 0 {
            let its = calls[index...].filter { $0.descriptor == Int32(accept.result) }
            guard let close = its.first(where: { $0.name == "close" || $0.name == "shutdown" }) else { continue }
            let before = its.filter { $0.entered < close.entered && $0.process == close.process }
            let ended = before.contains { ($0.isReceive || $0.isSend) && $0.returned != nil && $0.result <= 0 }
            let received = before.filter { $0.isReceive && $0.result > 0 }.count
            if !ended && received > 0 {
                return say(
                    "\(close.callText) after \(received) receives, none of which returned 0",
                    "\(close.callText) 之前接收了 \(received) 次，没有一次返回 0")
            }
        }
        return nil
    }

    /// The server came back because of something that happened with one client.
    static let clientEndedServer = Cause("client-ended-server") { evidence in
        if case .threw(_, _, _, let description)? = evidence.returned { return description }
        return evidence.returned == nil && evidence.ending?.code == nil ? nil : ""
    }

    // MARK: What is used up

    static let connectionLeak = Cause("connection-leak") { evidence in
        let full = evidence.timeline.calls.first { call in
            call.failed && !call.perturbed && (call.error == EMFILE || call.error == ENFILE)
        }
        return full.map { "\($0.callText) = -1 \(errorName($0.error))" }
    }

    /// After a fork two processes have the connection, and only one closed it.
    static let parentKeepsConnection = Cause("parent-keeps-connection") { evidence in
        let calls = evidence.timeline.calls
        for (index, fork) in calls.enumerated() where fork.name == "fork" && fork.result > 0 {
            let mine = calls.indices.filter { calls[$0].process == fork.process }
            guard let accept = mine.last(where: { $0 < index && calls[$0].isAccept && calls[$0].result >= 0 }) else {
                continue
            }
            let connection = Int32(calls[accept].result)
            let later = mine.filter { $0 > accept }.map { calls[$0] }
            if !later.contains(where: { $0.name == "close" && $0.descriptor == connection }) {
                return say(
                    "descriptor \(connection), in process \(fork.process)",
                    "描述符 \(connection)，进程 \(fork.process)")
            }
        }
        return nil
    }

    static let pollsInsteadOfWaiting = Cause("polls-instead-of-waiting") { evidence in
        guard let most = evidence.timeline.counts.max(by: { $0.value < $1.value }), most.value > 50 else { return nil }
        return say("\(most.key) was called \(most.value) times", "\(most.key) 被调用了 \(most.value) 次")
    }

    // MARK: One at a time

    /// All that was sent has been received, nothing was answered: it waits for more than there is.
    static let waitsForMore = Cause("waits-for-more") { evidence in
        let calls = evidence.timeline.calls
        guard let blocked = calls.last(where: { $0.isReceive && $0.isBlocked }),
            calls.contains(where: { $0.isReceive && $0.result > 0 && $0.descriptor == blocked.descriptor }),
            !calls.contains(where: { $0.isSend && $0.descriptor == blocked.descriptor })
        else { return nil }
        return blocked.callText
    }

    static let waitsForChild = Cause("waits-for-child") { evidence in
        evidence.timeline.blocked.last { $0.name == "waitpid" || $0.name == "wait" }?.callText
    }

    /// A thread serves, but nobody is back in accept: the one that accepts waits for the thread to end.
    static let waitsForThread = Cause("waits-for-thread") { evidence in
        let timeline = evidence.timeline
        guard let accepting = timeline.calls.last(where: \.isAccept), !accepting.isBlocked,
            let receiving = timeline.blocked.last(where: \.isReceive),
            receiving.process == accepting.process, receiving.thread != accepting.thread
        else { return nil }
        return say(
            "\(receiving.callText) waits on a thread of its own, and accept was not called again",
            "\(receiving.callText) 在自己的线程上等待，而 accept 没有再被调用")
    }
}

extension Timeline {
    /// The last receive of its kind whose forerunner on the same descriptor ended the same way, and how often in a row.
    func repeated(_ matches: (Call) -> Bool) -> (Call, Int)? {
        guard let last = calls.last(where: { $0.isReceive && $0.returned != nil && matches($0) }) else { return nil }
        var times = 0
        for call in calls.reversed() where call.process == last.process && call.descriptor == last.descriptor {
            guard call.isReceive else { break }
            guard call.returned != nil else { continue }
            guard matches(call) else { break }
            times += 1
        }
        return times > 1 ? (last, times) : nil
    }
}
