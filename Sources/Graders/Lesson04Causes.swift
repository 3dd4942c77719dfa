// Mistakes of lesson 04, as the tap shows them; those that servers of later lessons can make, too, are in
// StreamServerCauses.swift.
import Course
import GraderKit
import Sockets
import Wire

extension Cause {
    /// One receive on each connection, and what the last gave was taken for all there is.
    static let oneReceiveIsOneMessage = Cause("one-recv-one-message") { evidence in
        let receives = evidence.timeline.calls.filter { $0.isReceive && $0.error != EINTR }
        guard let last = receives.last, last.result > 0, Set(receives.map(\.descriptor)).count == receives.count else {
            return nil
        }
        return say(
            "\(last.name) was called once and returned \(last.result) byte\(last.result == 1 ? "" : "s")",
            "\(last.name) 只调用了一次，返回 \(last.result) 字节")
    }

    /// After a short send it began anew, and bytes arrived twice.
    static let sentAgainFromTheStart = Cause("sent-again-from-the-start") { evidence in
        let calls = evidence.timeline.calls
        for (index, send) in calls.enumerated() where send.isSend {
            func isOfThisConnection(_ call: Call) -> Bool {
                call.descriptor == send.descriptor && call.process == send.process
            }
            /// What it received in between was another question.
            func isReceive(_ call: Call) -> Bool {
                call.isReceive && call.thread == send.thread && isOfThisConnection(call)
            }
            let isShort = send.result > 0 && send.result < send.length
            guard isShort || send.error == EINTR,
                let next = calls[(index + 1)...].first(where: { isReceive($0) || $0.isSend && isOfThisConnection($0) }),
                next.isSend
            else { continue }
            if isShort {
                guard next.length == send.length, next.data == send.data else { continue }
                return say(
                    "both sends were given \(send.length) bytes, the first took \(send.result)",
                    "两次 send 都给了 \(send.length) 字节，第一次接受了 \(send.result) 字节")
            }
            let start = calls[..<index].lastIndex(where: isReceive) ?? 0
            guard let first = calls[start..<index].first(where: { $0.isSend && isOfThisConnection($0) }),
                first.length > send.length, next.length == first.length, next.data == first.data
            else { continue }
            return say(
                "after EINTR it sent all \(next.length) bytes again", "EINTR 之后又从头发送全部 \(next.length) 字节")
        }
        return nil
    }

    /// A send took only a part, and the next that was done with the connection is a receive.
    static let receivedAfterShortSend = Cause("short-send-ignored") { evidence in
        let calls = evidence.timeline.calls
        for (index, send) in calls.enumerated() where send.isSend && send.result > 0 && send.result < send.length {
            let next = calls[(index + 1)...].first {
                $0.descriptor == send.descriptor && $0.process == send.process && ($0.isSend || $0.isReceive)
            }
            guard let next, next.isReceive, next.thread == send.thread else { continue }
            return say(
                "\(send.name) took \(send.result) of \(send.length) bytes",
                "\(send.name) 只接受了 \(send.length) 字节中的 \(send.result) 字节")
        }
        return nil
    }

    /// A call failed, and the function returned as if nothing had happened, or threw something else.
    static let breakUnnoticed = Cause("break-unnoticed") { evidence in
        let failed = evidence.timeline.calls.last {
            $0.failed && $0.error != EINTR && !$0.name.hasPrefix("close")
                && !evidence.failure.got.contains("(\(errorName($0.error)))")
        }
        return failed.map { "\($0.callText) = -1 \(errorName($0.error))" }
    }

    /// Behind an interrupted receive it asks for more than before: what had come is forgotten.
    static let begunAnew = Cause("begun-anew-after-eintr") { evidence in
        let receives = evidence.timeline.calls.filter(\.isReceive)
        let index = receives.indices.dropLast().last {
            receives[$0].error == EINTR && receives[$0 + 1].length > receives[$0].length
        }
        guard let index, receives[..<index].contains(where: { $0.result > 0 }) else { return nil }
        let (interrupted, next) = (receives[index], receives[index + 1])
        return say(
            "\(interrupted.length) bytes were missing, and then it asked for \(next.length)",
            "本来还差 \(interrupted.length) 字节，接着却要 \(next.length) 字节")
    }

    /// A receive returned 0, and the function returned what it had.
    static let endUnnoticed = Cause("end-unnoticed") { evidence in
        guard evidence.failure.got.hasPrefix(say("returned", "返回")),
            let last = evidence.timeline.calls.last(where: { $0.isReceive && $0.returned != nil }), last.result == 0,
            last.length > 0
        else { return nil }
        return "\(last.callText) = 0"
    }

    static let receivesWithoutRoom = Cause("receives-without-room") { evidence in
        evidence.timeline.calls.last { $0.isReceive && $0.length == 0 }?.callText
    }

    /// It waits for the end of the peer, which waits for its own.
    static let neverHalfClosed = Cause("never-half-closed") { evidence in
        let timeline = evidence.timeline
        guard let blocked = timeline.blocked.last(where: { $0.isReceive || $0.isWait }) else { return nil }
        let connect = timeline.calls("connect").last
        guard let connection = blocked.isReceive ? blocked.descriptor : connect?.descriptor else { return nil }
        // The number may have been another connection's before.
        let isEnded = timeline.calls("shutdown").contains {
            $0.descriptor == connection && $0.entered > connect?.entered ?? 0
        }
        return isEnded ? nil : blocked.callText
    }

    /// It came back behind a wait, and no receive had said that this was the end.
    static let hangUpTakenForEnd = Cause("hang-up-before-the-rest") { evidence in
        let calls = evidence.timeline.calls
        guard evidence.timeline.blocked.isEmpty, let last = calls.last(where: { $0.isReceive && $0.returned != nil }),
            last.result > 0, let wait = calls.last(where: { $0.isWait && $0.result > 0 }),
            wait.entered < last.entered || !calls.contains(where: { $0.isReceive && $0.entered > wait.entered })
        else { return nil }
        return say("\(last.callText) = \(last.result) was the last", "\(last.callText) = \(last.result) 是最后一次")
    }

    /// Its own direction has ended, and it waits without having taken anything in.
    static let waitsBehindTheEnd = Cause("end-behind-unread-bytes") { evidence in
        let calls = evidence.timeline.calls
        guard let end = calls.last(where: { $0.name == "shutdown" && !$0.failed }),
            let blocked = evidence.timeline.blocked.last(where: \.isWait), blocked.entered > end.entered,
            !calls.contains(where: { $0.isReceive && $0.entered > end.entered })
        else { return nil }
        return blocked.callText
    }

    static let closedBeforeTheEnd = Cause("closed-before-the-end") { evidence in
        guard let close = evidence.timeline.calls("close").last,
            !evidence.timeline.calls.contains(where: {
                $0.isReceive && $0.descriptor == close.descriptor && $0.returned != nil && $0.result == 0
            })
        else { return nil }
        return say("\(close.callText), and no recv had returned 0", "\(close.callText)，而没有 recv 返回过 0")
    }

    static let shutBothDirections = Cause("shut-both-directions") { evidence in
        evidence.timeline.calls("shutdown").first { $0.arguments.0 == Int64(SHUT_RDWR as Int32) }?.callText
    }

    static let closedTwice = Cause("closed-twice") { $0.timeline.calls("close").contains { $0.error == EBADF } }

    /// The last wait ended without anything, or recv with a time limit did, and it was content.
    static let silenceTakenForEnd = Cause("silence-taken-for-end") { evidence in
        guard let last = evidence.timeline.calls.last(where: { $0.isWait || $0.isReceive }), last.returned != nil,
            last.isWait && last.result == 0 || last.isReceive && last.error == EAGAIN
        else { return nil }
        return last.callText
    }

    /// What is no ASCII letter was changed between a receive and the send of it.
    static let otherBytesChanged = Cause("changed-other-bytes") { evidence in
        var received: [Int32: Call] = [:]
        for call in evidence.timeline.calls where call.returned != nil && call.result > 0 {
            if call.isReceive { received[call.descriptor] = call }
            guard call.isSend, let before = received[call.descriptor], before.result == call.result,
                let (was, became) = zip(before.data, call.data).first(where: { $0 >= 0x80 && $0 != $1 }),
                // Who queues what it has received sends something older now.
                zip(before.data, call.data).count(where: { $0 == $1 || $0 < 0x80 && $0 & 0xDF == $1 })
                    >= before.data.count / 2
            else { continue }
            return say("\(hexText([was])) became \(hexText([became]))", "\(hexText([was])) 变成了 \(hexText([became]))")
        }
        return nil
    }

    /// Client and server both wait for room to send, and neither reads.
    static let bothSend = Cause("both-send") { evidence in
        evidence.timeline.blocked.last(where: \.isSend)?.callText
    }

    /// Bytes that are no UTF-8 went through a String: U+FFFD came out, or nothing.
    static let decodedAsText = Cause("decoded-as-text") { evidence in
        let sends = evidence.timeline.calls.filter(\.isSend)
        let received = evidence.timeline.calls.contains { call in
            call.isReceive && call.result > 0 && call.data.contains { $0 >= 0x80 }
        }
        guard received else { return nil }
        if sends.isEmpty { return say("nothing was sent", "什么也没有发送") }
        let replacement = Array("\u{fffd}".utf8)
        let replaced = sends.contains { send in
            send.data.indices.contains { send.data[$0...].starts(with: replacement) }
        }
        return replaced ? say("it sent EF BF BD, which is U+FFFD", "它发送了 EF BF BD，即 U+FFFD") : nil
    }

    /// The function served one client and came back.
    static let serverServedOnce = Cause("served-one-client") { evidence in
        let calls = evidence.timeline.calls
        guard case .returned? = evidence.returned, evidence.stopAsked == nil,
            calls.filter({ $0.isAccept && $0.result >= 0 }).count == 1,
            // An error may have ended it.
            !calls.contains(where: {
                ($0.isAccept || $0.isReceive || $0.isSend) && $0.failed && $0.error != EINTR && $0.error != EAGAIN
            })
        else { return nil }
        return ""
    }

    static let sharedBuffer = Cause("shared-buffer") { evidence in
        evidence.failure.difference.isEmpty ? nil : ""
    }

    /// Two threads wait on one connection, so another has none.
    static let sharedConnection = Cause("shared-buffer") { evidence in
        let receives = evidence.timeline.blocked.filter(\.isReceive)
        for call in receives {
            let same = receives.contains {
                $0.descriptor == call.descriptor && $0.process == call.process && $0.thread != call.thread
            }
            if same {
                return say(
                    "two threads are in recv on descriptor \(call.descriptor)",
                    "有两个线程在对描述符 \(call.descriptor) 调用 recv")
            }
        }
        return nil
    }

    /// A pool that is smaller than the crowd: every thread of it waits for a client, and more clients are there. Or nobody is
    /// in accept any more, for who is served already has taken the last place.
    static let fewThreads = Cause("fewer-threads-than-clients") { evidence in
        let timeline = evidence.timeline
        let waiting = Set(timeline.blocked.filter(\.isReceive).map(\.thread)).count
        let accepted = timeline.calls.filter { $0.isAccept && $0.result >= 0 }
        let open = accepted.filter { accept in
            !timeline.calls("close").contains { $0.descriptor == Int32(accept.result) && $0.entered > accept.entered }
        }
        // One has been here for a while, and no thread has looked at it.
        let isLeftAlone = open.contains { accept in
            evidence.now > (accept.returned ?? evidence.now) + 500_000_000
                && !timeline.calls.contains {
                    $0.isReceive && $0.descriptor == Int32(accept.result) && $0.entered > accept.entered
                }
        }
        if waiting > 1, waiting == open.count, !timeline.blocked.contains(where: { $0.isAccept || $0.isWait }),
            let last = accepted.last, evidence.now > (last.returned ?? evidence.now) + 500_000_000
        {
            return say(
                "\(waiting) clients are served, and nobody calls accept", "\(waiting) 个客户端在服务中，没有人再调用 accept")
        }
        guard isLeftAlone, waiting > 1, open.count > waiting, timeline.blocked.contains(where: \.isAccept) else {
            return nil
        }
        return say("\(waiting) threads for \(open.count) connections", "\(open.count) 个连接只有 \(waiting) 个线程")
    }

    /// No trap of Swift's own, and the table of descriptors was full: a library could not do without one.
    static let crashAtFullTable = Cause.crash(
        meaning: "crash-at-full-table", when: { $0.isEmpty },
        after: { timeline in
            timeline.calls.contains { $0.isAccept && !$0.perturbed && ($0.error == EMFILE || $0.error == ENFILE) }
        })

    static let neverForked = Cause("never-forked") { $0.timeline.count("fork") == 0 }

    static let childKeepsServing = Cause("child-keeps-serving") { evidence in
        let calls = evidence.timeline.calls
        guard let fork = calls.first(where: { $0.name == "fork" && $0.result > 0 }),
            let accept = calls.last(where: { $0.isAccept && $0.process == Int32(fork.result) })
        else { return nil }
        return say("process \(accept.process): \(accept.callText)", "进程 \(accept.process)：\(accept.callText)")
    }

    static let zombies = Cause("zombies") { evidence in
        let forks = evidence.timeline.calls("fork").filter { $0.result > 0 }.count
        let reaped = evidence.timeline.calls("waitpid", "wait").filter { $0.result > 0 }.count
        let children = Set(evidence.timeline.calls("fork").filter { $0.result > 0 }.map { Int32($0.result) })
        // Who waits in a call has not ended.
        let alive = Set(evidence.timeline.blocked.map(\.process)).intersection(children).count
        // The kernel reaps the children of one that does not want to know.
        let ignores = evidence.timeline.calls("signal", "sigaction").contains { $0.arguments == (Int64(SIGCHLD), 1) }
        guard forks - reaped - alive > 10, !ignores else { return nil }
        return say("\(forks) forks, \(reaped) children waited for", "fork 了 \(forks) 次，waitpid 收回 \(reaped) 个")
    }

    /// Behind a fork that failed comes another one, with no connection accepted or closed in between.
    static let forkTriedAgain = Cause("fork-tried-again") { evidence in
        let calls = evidence.timeline.calls
        guard let index = calls.firstIndex(where: { $0.name == "fork" && $0.failed }) else { return nil }
        let next = calls[(index + 1)...].first {
            $0.process == calls[index].process && ($0.name == "fork" || $0.name == "close" || $0.isAccept)
        }
        return next?.name == "fork" ? "fork() = -1 \(errorName(calls[index].error))" : nil
    }

    static let forkErrorIgnored = Cause("fork-error-ignored") { evidence in
        let calls = evidence.timeline.calls
        guard let index = calls.firstIndex(where: { $0.name == "fork" && $0.failed }) else { return nil }
        let fork = calls[index]
        let mine = calls.filter { $0.process == fork.process }
        guard let accept = mine.last(where: { $0.isAccept && $0.result >= 0 && $0.entered < fork.entered }),
            !mine.contains(where: {
                $0.name == "close" && $0.descriptor == Int32(accept.result) && $0.entered > accept.entered
            })
        else { return nil }
        return "fork() = -1 \(errorName(fork.error))"
    }
}
