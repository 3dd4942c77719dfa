// Mistakes that servers over TCP make, as the tap shows them.
import Course
import GraderKit
import Sockets
import Wire

extension Cause {
    static let ipv4Only = Cause("ipv4-only") { evidence in
        // A function's address is among its arguments, and the checks that suspect this give it an IPv6 one.
        guard let host = evidence.asked?.host, host.isEmpty || host.contains(":") else { return nil }
        // It could make nothing of the address.
        if evidence.timeline.count("socket") == 0 { return "" }
        guard let made = evidence.timeline.calls("socket").last(where: { $0.result >= 0 }),
            made.arguments.0 == Int64(AF_INET)
        else { return nil }
        return made.callText
    }

    /// Mistakes that any check of a TCP server may run into; a check's own suspects come before them.
    static let streamServer: [Cause] = [
        .serverServedOnce, .clientReset, .sentAgainFromTheStart, .closedTwice, .readOnce, .readsPastTheEnd,
        .goodbyeNotReadOut, .closedUnread, .closedTooEarly, .sentStaleBytes, .waitsForMore, .neverClosesIt,
    ]

    // MARK: Listening

    static let listenedElsewhere = Cause("listened-elsewhere") { evidence in
        guard let failed = evidence.timeline.calls("bind").first(where: \.failed),
            evidence.timeline.calls("listen").contains(where: { $0.entered > failed.entered })
        else { return nil }
        return failed.callText
    }

    static let sharedPort = Cause("shared-port") { evidence in
        let option = Int64(SO_REUSEPORT)
        return evidence.timeline.calls("setsockopt").last { $0.arguments == (Int64(SOL_SOCKET), option) }?.callText
    }

    static let smallBacklog = Cause("small-backlog") { evidence in
        guard let call = evidence.timeline.calls("listen").last, call.arguments.0 < 50 else { return nil }
        return call.callText
    }

    static let acceptErrorEndedServer = Cause("accept-error-ended-server") { evidence in
        guard evidence.ending != nil || evidence.returned != nil,
            let call = evidence.timeline.calls.last(where: \.isAccept), call.failed, call.error != EINTR
        else { return nil }
        return "\(call.name): \(errorName(call.error))"
    }

    // MARK: The end of a client

    /// 0 from a receive, and then another receive.
    static let readsPastTheEnd = Cause("reads-past-the-end") { evidence in
        evidence.timeline.repeated { $0.result == 0 && $0.length > 0 }.map { call, times in
            say("\(call.callText) returned 0 \(times) times", "\(call.callText) 返回 0 共 \(times) 次")
        }
    }

    /// The end was seen, and the connection not closed.
    static let leftOpen = Cause("connection-left-open") { $0.timeline.endLeftOpen }

    /// The same in any check: the end was seen some time ago, and nothing was done with the connection since. A child
    /// that has served may have ended, which closes all it has.
    static let neverClosesIt = Cause("connection-left-open") { evidence in
        let calls = evidence.timeline.calls
        let children = Set(calls.filter { $0.name == "fork" && $0.result > 0 }.map { Int32($0.result) })
        guard
            let end = calls.lastIndex(where: {
                guard $0.isReceive, $0.result == 0, $0.length > 0, let time = $0.returned else { return false }
                return evidence.now > time + 1_000_000_000 && !children.contains($0.process)
            })
        else { return nil }
        let later = calls[(end + 1)...].contains {
            $0.process == calls[end].process
                && ($0.descriptor == calls[end].descriptor || $0.isAccept && $0.result == Int64(calls[end].descriptor))
        }
        return later ? nil : "\(calls[end].callText) = 0"
    }

    /// Where nothing was left unread: who closes so has asked for the reset.
    static let resetAtClose = Cause("reset-at-close") { evidence in
        let option = Int64(SO_LINGER)
        return evidence.timeline.calls("setsockopt").last { $0.arguments == (Int64(SOL_SOCKET), option) }?.callText
    }

    /// The same in any check: a client was told of a reset.
    static let clientReset = Cause("reset-at-close") { evidence in
        let option = Int64(SO_LINGER)
        guard evidence.failure.got.contains(errorText(ECONNRESET)) else { return nil }
        return evidence.timeline.calls("setsockopt").last { $0.arguments == (Int64(SOL_SOCKET), option) }?.callText
    }

    /// It waited for a client, and closed it without a look at what it had sent; the client was told by a reset.
    static let closedUnread = Cause("closed-with-unread-bytes") { evidence in
        guard evidence.failure.got.contains(errorText(ECONNRESET)) else { return nil }
        let calls = evidence.timeline.calls
        for (index, close) in calls.enumerated() where close.name == "close" {
            guard let accept = calls[..<index].lastIndex(where: { $0.isAccept && $0.result == Int64(close.descriptor) })
            else { continue }
            let life = calls[accept..<index].filter { $0.descriptor == close.descriptor }
            if life.contains(where: \.isWait), !life.contains(where: \.isReceive) { return close.callText }
        }
        return nil
    }

    /// Closed without having seen the end of the stream, or an error, by the process that had received from it.
    static let closedTooEarly = Cause("closed-too-early") { evidence in
        let calls = evidence.timeline.calls
        for index in calls.indices where calls[index].name == "close" || calls[index].name == "shutdown" {
            let close = calls[index]
            let same = calls[..<index].filter { $0.descriptor == close.descriptor && $0.process == close.process }
            let receives = same.reversed().prefix { $0.name != "close" }.filter { $0.isReceive || $0.isSend }
            let ended = receives.contains { $0.returned != nil && $0.result <= 0 }
            let count = receives.filter { $0.isReceive && $0.result > 0 }.count
            if count > 0 && !ended {
                return say(
                    "\(close.callText), and none of the receives before it (\(count)) returned 0",
                    "\(close.callText) 之前接收了 \(count) 次，没有一次返回 0")
            }
        }
        return nil
    }

    /// A thread that only sends stands still, and what another client has asked is received and not answered.
    static let oneWriter = Cause("blocked-in-send") { evidence in
        let calls = evidence.timeline.calls
        guard let send = evidence.timeline.blocked.last(where: \.isSend),
            !calls.contains(where: { $0.isReceive && $0.thread == send.thread }),
            let other = calls.last(where: { $0.isReceive && $0.result > 0 }), other.descriptor != send.descriptor,
            !calls.contains(where: { $0.isSend && $0.descriptor == other.descriptor && $0.entered > other.entered })
        else { return nil }
        return send.callText
    }

    /// As long as the buffer, not as long as what was received.
    static let sentStaleBytes = Cause("sent-stale-bytes") { evidence in
        var received: [ConnectionNumber: Call] = [:]
        for call in evidence.timeline.calls {
            let number = ConnectionNumber(call)
            if call.isReceive, call.result > 0 { received[number] = call }
            // Another thread has a queue of its own, and sends as much of that as it likes.
            guard call.isSend, let receive = received[number], call.length == receive.length,
                call.length > Int(receive.result), call.thread == receive.thread
            else { continue }
            return say(
                "it received \(receive.result) bytes and sent \(call.length)",
                "收到 \(receive.result) 字节，却发送了 \(call.length) 字节")
        }
        return nil
    }

    /// The server came back because of something that happened with one client.
    static let clientEndedServer = Cause("client-ended-server") { evidence in
        guard evidence.timeline.calls.contains(where: { $0.isAccept && $0.result >= 0 }),
            // A closed descriptor among those that it waits for is its own doing.
            evidence.timeline.calls.last(where: \.isWait).map({ $0.failed && $0.error == EBADF }) != true
        else { return nil }
        if case .threw(_, _, _, let description)? = evidence.returned { return description }
        return evidence.returned == nil && evidence.ending?.code == nil ? nil : ""
    }

    // MARK: What is used up

    /// No descriptor was free. It gave one up, accepted with that, and closed what it had accepted.
    static let throwsOutTheQueue = Cause("queue-thrown-out") { evidence in
        let threads = Dictionary(grouping: evidence.timeline.calls, by: \.thread)
        for calls in threads.values {
            for (index, call) in calls.enumerated()
            where call.isAccept && (call.error == EMFILE || call.error == ENFILE) {
                // It may look first whether anybody is there.
                let behind = calls[(index + 1)...].prefix(6).drop { !$0.isAccept }
                guard let next = behind.first, next.result >= 0,
                    let end = calls[(behind.startIndex + 1)...].prefix(6).first(where: {
                        $0.descriptor == next.result && !["fcntl", "setsockopt", "getsockopt"].contains($0.name)
                    }),
                    end.name == "close" || end.name == "shutdown"
                else { continue }
                return say(
                    "\(next.callText) = \(next.result), and at once \(end.callText)",
                    "\(next.callText) = \(next.result)，紧接着 \(end.callText)")
            }
        }
        return nil
    }

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

    /// For servers that answer whatever comes: bytes came, and then the end, an error, or a long silence, and nothing was
    /// sent.
    static let answeredNothing = Cause("waits-for-more") { evidence in
        // What became of each connection, in one walk: a program that spins has made very many calls.
        var connections: [(hasReceived: Bool, hasSent: Bool, end: Call?)] = []
        var places: [ConnectionNumber: Int] = [:]
        for call in evidence.timeline.calls where call.isReceive || call.isSend || call.name == "close" {
            let number = ConnectionNumber(call)
            let place = places[number] ?? connections.count
            if call.name == "close" {
                places[number] = nil
                continue
            }
            if place == connections.count { connections.append((false, false, nil)) }
            places[number] = place
            if call.isSend {
                connections[place].hasSent = true
            } else if call.result > 0 {
                connections[place].hasReceived = true
            } else if connections[place].hasReceived, connections[place].end == nil,
                call.isEnd || call.isBroken || call.isBlocked && evidence.now > call.entered + 1_000_000_000
            {
                connections[place].end = call
            }
        }
        guard let end = connections.compactMap({ $0.hasSent ? nil : $0.end }).min(by: { $0.entered < $1.entered })
        else { return nil }
        let what = end.callText + (end.isEnd ? " = 0" : end.isBroken ? " = -1 \(errorName(end.error))" : "")
        return say("\(what), and nothing had been sent", "\(what)，而之前什么也没有发送")
    }

    static let waitsForChild = Cause("waits-for-child") { evidence in
        evidence.timeline.blocked.last { $0.name == "waitpid" || $0.name == "wait" }?.callText
    }

    /// One thread serves, but nobody is back in accept: the one that accepts waits for the thread to end.
    static let waitsForThread = Cause("waits-for-thread") { evidence in
        let timeline = evidence.timeline
        // Who spins does not wait.
        guard evidence.loadNow < 0.05, let accepting = timeline.calls.last(where: \.isAccept), !accepting.isBlocked,
            let serving = timeline.blocked.last(where: { $0.isReceive || $0.isSend }),
            // Several serve where a pool waits for room; who was asked to stop accepts nobody.
            timeline.blocked.filter({ $0.isReceive || $0.isSend }).count == 1, evidence.stopAsked == nil,
            serving.process == accepting.process, serving.thread != accepting.thread,
            // In poll it is about to call accept again.
            !timeline.blocked.contains(where: { $0.isWait && $0.thread == accepting.thread })
        else { return nil }
        return say(
            "\(serving.callText) waits on a thread of its own, and accept was not called again",
            "\(serving.callText) 在自己的线程上等待，而 accept 没有再被调用")
    }
}

extension Timeline {
    /// The last receive that saw an end, if its connection was not closed behind it.
    var endLeftOpen: String? {
        guard let end = calls.lastIndex(where: { $0.isReceive && $0.returned != nil && $0.result == 0 }) else {
            return nil
        }
        let closed = calls[end...].contains {
            ($0.name == "close" || $0.name == "shutdown") && $0.descriptor == calls[end].descriptor
        }
        return closed ? nil : "\(calls[end].callText) = 0"
    }

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

private struct ConnectionNumber: Hashable {
    let process, descriptor: Int32

    init(_ call: Call) { (process, descriptor) = (call.process, call.descriptor) }
}

extension Call {
    /// A receive that found the end of the stream.
    fileprivate var isEnd: Bool { returned != nil && result == 0 && length > 0 }
    fileprivate var isBroken: Bool { failed && error != EINTR && error != EAGAIN }
}
