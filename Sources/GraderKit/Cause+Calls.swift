// Mistakes that any program can make, as its calls show them.
import Course
import Sockets
import Wire

extension Cause {
    /// A receive on a connection that has nothing to say, while others wait, and nobody looks after them.
    public static let blockedInReceive = Cause("blocked-in-recv") { evidence in
        guard evidence.connections > 1, evidence.failure.difference.isEmpty,
            !evidence.timeline.blocked.contains(where: { $0.isAccept || $0.isWait })
        else { return nil }
        return evidence.timeline.receiveThatHoldsAll?.callText
    }

    /// Waits for a client that never comes, or the wrong one: it is back in `accept`, and the reply was never sent.
    public static let blockedInAccept = Cause("blocked-in-accept") { evidence in
        evidence.timeline.blocked.last(where: \.isAccept)?.callText
    }

    public static let blockedInSend = Cause("blocked-in-send") { evidence in
        evidence.timeline.blocked.last(where: \.isSend)?.callText
    }

    /// The port's bytes the wrong way round: 53 became 13,568.
    public static let portInHostOrder = Cause("port-in-host-order") { evidence in
        guard let asked = evidence.asked, asked.port != 0, asked.port != asked.port.byteSwapped else { return nil }
        let swapped = asked.port.byteSwapped
        guard evidence.timeline.calls("bind", "connect", "sendto").contains(where: { $0.given?.port == swapped }) else {
            return nil
        }
        return say("asked for port \(asked.port), it used \(swapped)", "要求端口 \(asked.port)，实际用了 \(swapped)")
    }

    public static let ignoredPort = Cause("ignored-port") { evidence in
        guard let asked = evidence.asked, !asked.host.isEmpty else { return nil }
        let bound = evidence.timeline.boundInternet
        guard let given = bound.last, !bound.contains(where: { $0.port == asked.port }) else { return nil }
        return say("asked for port \(asked.port), it bound \(given.port)", "要求端口 \(asked.port)，实际绑定了 \(given.port)")
    }

    public static let ignoredHost = Cause("ignored-host") { evidence in
        guard let asked = evidence.asked, !asked.host.isEmpty else { return nil }
        let bound = evidence.timeline.boundInternet
        guard let given = bound.last, !bound.contains(where: { $0.host == asked.host }) else { return nil }
        return say("asked for \(asked.host), it bound \(given.host)", "要求地址 \(asked.host)，实际绑定了 \(given.host)")
    }

    /// Of a Unix path it says nothing: there it is a file that is in the way.
    public static let portTaken = Cause("address-in-use") { evidence in
        evidence.timeline.calls("bind").last.flatMap {
            $0.error == EADDRINUSE && $0.given?.family != AF_UNIX ? $0.callText : nil
        }
    }

    public static let neverBound = Cause("never-bound") { evidence in
        evidence.asked?.host.isEmpty == false && evidence.timeline.count("bind") == 0
    }

    /// A stream socket was bound, and that was all.
    public static let neverListened = Cause("never-listened") { evidence in
        evidence.asked?.host.isEmpty == false && evidence.timeline.count("listen") == 0
            && evidence.timeline.calls("bind").contains {
                $0.result == 0 && $0.arguments.0 == Int64(SOCK_STREAM as Int32)
            }
    }

    /// `EINTR` came back and the program gave up instead of calling again (or, after `connect`, waiting for it).
    public static let interruptedCall = Cause("eintr-not-retried") { evidence in
        let calls = evidence.timeline.calls
        for index in calls.indices.reversed() where calls[index].failed && calls[index].error == EINTR {
            let call = calls[index]
            // Made again on another socket that got the same number, it is another call.
            let later = calls[(index + 1)...].prefix {
                $0.name != "close" || $0.descriptor != call.descriptor || $0.process != call.process
            }
            let again = later.contains { later in
                later.name == call.name && later.descriptor == call.descriptor
                    || call.name == "connect" && later.isWait
            }
            if !again { return call.callText }
        }
        return nil
    }

    /// Its last receive was given no room.
    static let askedForNothing = Cause("asked-for-nothing") { evidence in
        guard let last = evidence.timeline.calls.last(where: \.isReceive), last.length == 0, last.returned != nil,
            last.result == 0
        else { return nil }
        return last.callText
    }

    /// Its last receive on that socket gave less than MSG_WAITALL was asked for.
    static let waitAllTrusted = Cause("waitall-trusted") { evidence in
        guard let last = evidence.timeline.calls.last(where: { $0.isReceive && $0.returned != nil }),
            ["recv", "recvfrom", "recvmsg"].contains(last.name), last.arguments.0 & Int64(MSG_WAITALL) != 0,
            last.result > 0, last.result < last.length
        else { return nil }
        return last.callText
    }

    /// What failed with EBADF or ENOTSOCK had been a socket until the program closed it. `shutdown` in both directions is
    /// part of putting away, and who closes a listener may mean that accept comes back.
    static let usedAfterClose = Cause("used-after-close") { evidence in
        let calls = evidence.timeline.calls
        for (index, call) in calls.enumerated()
        where call.failed && !call.perturbed && (call.error == EBADF || call.error == ENOTSOCK) {
            if call.name == "close" || call.name == "shutdown" && call.arguments.0 == Int64(SHUT_RDWR as Int32)
                || call.isAccept || call.isWait
            {
                continue
            }
            let last = calls[..<index].last {
                $0.process == call.process
                    && ($0.name == "close" && $0.result == 0 && $0.descriptor == call.descriptor
                        || ($0.isAccept || $0.name == "socket") && $0.result == Int64(call.descriptor))
            }
            guard let last, last.name == "close", last.returned.map({ $0 < call.entered }) == true else { continue }
            return say(
                "\(call.callText) = -1 \(errorName(call.error)), after \(last.callText)",
                "\(last.callText) 之后，\(call.callText) = -1 \(errorName(call.error))")
        }
        return nil
    }

    /// The rest of a send that took only a part was never sent: nothing was sent after it, or something else was.
    public static let shortSend = Cause("short-send-ignored") { evidence in
        let calls = evidence.timeline.calls
        let short = calls.indices.filter {
            calls[$0].isSend && calls[$0].result > 0 && calls[$0].result < calls[$0].length
        }
        /// Nil: nothing was sent after it.
        func isFollowedByRest(_ index: Int) -> Bool? {
            let next = calls[(index + 1)...].first { $0.isSend && $0.descriptor == calls[index].descriptor }
            return next.map { zip($0.data, calls[index].data.dropFirst(Int(calls[index].result))).allSatisfy(==) }
        }
        for index in short.reversed() {
            let call = calls[index]
            let isFollowed = isFollowedByRest(index)
            if isFollowed == true { continue }
            // It has sent such a rest before, and waits now: for room, perhaps.
            let waits = isFollowed == nil && evidence.timeline.blocked.contains(where: \.isWait)
            let sendsRests = short.contains {
                $0 < index && calls[$0].descriptor == call.descriptor && calls[$0].result < calls[$0].data.count
                    && isFollowedByRest($0) == true
            }
            if waits && sendsRests { continue }
            return say(
                "\(call.name) took \(call.result) of \(call.length) bytes",
                "\(call.name) 只接受了 \(call.length) 字节中的 \(call.result) 字节")
        }
        return nil
    }

    /// Busy without getting anywhere: nearly all of its many calls came back with nothing.
    public static let spinning = Cause("spinning") { evidence in
        let timeline = evidence.timeline
        let all = timeline.counts.values.reduce(0, +)
        let fruitless = timeline.fruitless.values.reduce(0, +)
        guard let most = timeline.fruitless.max(by: { $0.value < $1.value }), fruitless > 1000, fruitless * 5 > all * 4
        else { return nil }
        // On a busy machine a program that spins gets less than a CPU, and still makes tens of thousands of calls.
        let seconds = Double(evidence.now - min(timeline.start, evidence.now)) / 1e9
        guard evidence.load > 0.5 || Double(fruitless) > 500 * seconds else { return nil }
        return say(
            "\(most.key) came back \(most.value) times with nothing",
            "\(most.key) 有 \(most.value) 次什么也没得到就返回")
    }

    /// It uses a CPU, and has made no call for a while: a loop without end, or work that takes too long.
    public static let busy = Cause("busy") { evidence in
        let last = max(evidence.timeline.lastEvent, evidence.timeline.start)
        let quiet = Double(evidence.now - min(last, evidence.now)) / 1e9
        guard evidence.loadNow > 0.05, quiet > 1 else { return nil }
        let text = String(Int(quiet * 10) / 10) + "." + String(Int(quiet * 10) % 10)
        return say("no call for \(text) s, and the CPU was busy", "\(text) 秒没有任何调用，CPU 却一直忙着")
    }

    /// It threw for a call that has never failed: what it took for the reason was left by another one.
    static let errnoWithoutFailure = Cause("errno-without-failure") { evidence in
        let calls = evidence.timeline.calls.filter { $0.returned != nil && ($0.isWait || $0.isReceive || $0.isSend) }
        for call in calls.reversed()
        where evidence.failure.got.contains(say("threw \(call.name): ", "抛出 \(call.name): ")) {
            let same = calls.filter { $0.name == call.name }
            return same.contains(where: \.failed) ? nil : "\(call.callText) = \(call.result)"
        }
        return nil
    }

    /// The kernel did not understand what was asked of it: arguments in the wrong order, most likely.
    static let callRefused = Cause("arguments-refused") { evidence in
        let refusals = [
            EINVAL, ENOTSOCK, EPROTONOSUPPORT, ESOCKTNOSUPPORT, EPROTOTYPE, EAFNOSUPPORT, ENOPROTOOPT, EOPNOTSUPP,
            EFAULT,
        ]
        let threads = Dictionary(grouping: evidence.timeline.calls, by: \.thread)
        // What was done with success since then does not depend on it.
        let refused = threads.values.compactMap { calls in
            calls.suffix(3).last { $0.failed && !$0.perturbed && refusals.contains($0.error) && $0.name != "shutdown" }
        }
        return refused.max { $0.entered < $1.entered }.map { "\($0.callText) = -1 \(errorName($0.error))" }
    }

    /// Somebody waits for its bytes, and it has called nothing that sends any.
    static let neverSent = Cause("never-sent") { evidence in
        let timeline = evidence.timeline
        guard evidence.failure.got.contains(say("nothing", "什么也没")), evidence.ending == nil, evidence.load < 0.5,
            timeline.calls.contains(where: { $0.isReceive && $0.result > 0 }), !timeline.calls.contains(where: \.isSend)
        else { return nil }
        return timeline.blocked.last?.callText ?? ""
    }
}
