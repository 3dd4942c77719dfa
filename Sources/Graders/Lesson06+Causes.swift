// Mistakes of lesson 06, and of every server in one thread, as the tap shows them.
import Course
import GraderKit
import Sockets
import Wire

extension Cause {
    /// The only thread waits for one client.
    static let mainThreadBlocked = Cause("blocked-in-recv") { evidence in
        evidence.timeline.receiveThatHoldsAll?.callText
    }

    /// The only thread waited long for one client, and has come back from it since.
    static let heldByOne = Cause("blocked-in-recv") { evidence in
        let calls = evidence.timeline.calls
        guard evidence.timeline.eachClientsOwn == nil else { return nil }
        return calls.last { call in
            call.isReceive && (call.returned ?? call.entered) > call.entered + 1_000_000_000
                && calls.contains { $0.isAccept && $0.result == Int64(call.descriptor) }
        }?.callText
    }

    /// It waits for descriptors, and then for a client that is not there: its listener blocks.
    static let acceptBlocks = Cause("blocked-in-accept") { evidence in
        guard evidence.timeline.calls.contains(where: { $0.isWait && $0.result > 0 }),
            let accept = evidence.timeline.blocked.last(where: \.isAccept)
        else { return nil }
        return accept.callText
    }

    /// What waits for a client is kept by descriptor: the next one with this number is sent more than it has asked for.
    static let stateOfTheOneBefore = Cause("state-of-the-one-before") { evidence in
        var balance: [Int32: Int64] = [:]
        for call in evidence.timeline.calls where call.returned != nil {
            if call.isAccept, call.result >= 0 {
                // The first with this number has nobody before it.
                let number = Int32(call.result)
                balance[number] = balance[number] == nil ? .max / 2 : 0
            } else if call.isReceive || call.isSend, call.result > 0, let left = balance[call.descriptor] {
                balance[call.descriptor] = left + (call.isReceive ? call.result : -call.result)
                if call.isSend, left < call.result {
                    return say(
                        "\(call.callText), and only \(left) bytes were received",
                        "\(call.callText)，而只收到了 \(left) 字节")
                }
            }
        }
        return nil
    }

    /// A client had ended its side and was still reading, and it closed with answers pending.
    static let pendingDroppedAtEnd = Cause("pending-dropped-at-end") { evidence in
        for (close, transfers) in evidence.timeline.closedConnections.reversed() {
            let (received, sent) = (transfers.receivedBytes, transfers.sentBytes)
            if received > sent, transfers.last(where: \.isReceive)?.result == 0 {
                return say(
                    "\(close.callText) after \(received) bytes were received and \(sent) sent",
                    "\(close.callText) 之前接收了 \(received) 字节，发送了 \(sent) 字节")
            }
        }
        return nil
    }

    /// It stopped reading while much was pending, or might have been. All of that has gone out since, after a wait or at
    /// once, and it waits again: for what lies in the receive buffer nobody asks any more.
    static let doesNotReadOn = Cause("does-not-read-on") { evidence in
        let calls = evidence.timeline.calls
        guard evidence.timeline.kept == 0, evidence.timeline.blocked.contains(where: \.isWait),
            let send = calls.last(where: { $0.isSend && $0.result > 0 }),
            let receive = calls.last(where: { $0.isReceive && $0.descriptor == send.descriptor && $0.result > 0 }),
            // A buffer that came back full says that there may be more.
            receive.result == receive.length
                || calls.contains(where: {
                    $0.isWait && $0.result > 0 && $0.entered > receive.entered && $0.entered < send.entered
                })
        else { return nil }
        return say("no receive after \(send.callText)", "\(send.callText) 之后没有再接收")
    }

    /// A send took a part, and the next one on that connection began with something else; or there was none before the
    /// close, and epoll was not asked to say when there is room.
    static let restForgotten = Cause("short-send-ignored") { evidence in
        let calls = evidence.timeline.calls
        for (index, call) in calls.enumerated()
        where call.isSend && (call.result > 0 && call.result < call.length || call.error == EAGAIN) {
            func isSame(_ other: Call) -> Bool { other.descriptor == call.descriptor && other.process == call.process }
            guard
                let end = calls[(index + 1)...].firstIndex(where: { isSame($0) && ($0.isSend || $0.name == "close") })
            else { continue }
            let next = calls[end]
            let rest = call.data.dropFirst(max(0, Int(call.result)))
            // The record has the first bytes only. What is sent may also begin with what was received last.
            let latest = calls[index..<end].last { isSame($0) && $0.isReceive && $0.result > 0 }
            let answer = latest.map { uppercased($0.data) } ?? []
            let isAnswer = Set(answer).count > 1 && answer == next.data && next.length == Int(latest?.result ?? 0)
            let isForgotten =
                next.isSend
                ? isAnswer || !zip(next.data, rest).allSatisfy { $0 == $1 }
                : calls.contains { $0.name == "epoll_ctl" }
                    && !calls.contains { $0.name == "epoll_ctl" && $0.asksToWrite && $0.descriptor == call.descriptor }
            guard isForgotten else { continue }
            let taken = max(0, call.result)
            return say(
                "\(call.name) took \(taken) of \(call.length) bytes",
                "\(call.name) 只接受了 \(call.length) 字节中的 \(taken) 字节")
        }
        return nil
    }

    static let pastTheSet = Cause("past-fd-setsize") { evidence in
        guard let call = evidence.timeline.calls.last(where: { $0.isAccept && $0.result >= Int64(FD_SETSIZE) }) else {
            return nil
        }
        let closed = evidence.timeline.calls("close").contains { Int64($0.descriptor) == call.result }
        return closed ? nil : "\(call.callText) = \(call.result)"
    }

    /// Waits in another call, which has no such limit, and serves them.
    static let anotherCallThanSelect = Cause("another-call-than-select") { evidence in
        let timeline = evidence.timeline
        guard timeline.count("select", "pselect") == 0 else { return nil }
        return timeline.calls.last(where: \.isWait)?.callText
    }

    static let eachClientsOwn = [
        Cause("process-per-client") { $0.timeline.eachClientsOwn == "process-per-client" },
        Cause("thread-per-client") { $0.timeline.eachClientsOwn == "thread-per-client" },
    ]

    /// What select is asked about is at or past its first argument.
    static let tooFewBits = Cause("nfds-too-small") { evidence in
        let selects = evidence.timeline.calls.reversed().lazy.compactMap { call in call.selected.map { (call, $0) } }
        for (call, sets) in selects.prefix(100) {
            // One that is closed was left in the set, which is another mistake.
            let above = (sets.readable + sets.writable).filter {
                $0 >= call.arguments.0 && !evidence.timeline.isClosed($0, at: call.entered)
            }
            guard let highest = above.max() else { continue }
            return say(
                "descriptor \(highest) is in a set, and the first argument is \(call.arguments.0)",
                "描述符 \(highest) 在集合里，而第一个参数是 \(call.arguments.0)")
        }
        return nil
    }

    /// It waits, and does not ask about somebody whom it had asked about, and whom select had then taken out of the set:
    /// nothing was done with it in between.
    static let setNotRebuilt = Cause("set-not-rebuilt") { evidence in
        let calls = evidence.timeline.calls
        if let wait = calls.last(where: \.isWait), wait.failed, wait.error == EBADF, wait.selected != nil,
            // The record has the bits of the first descriptors only.
            let closed = calls.last(where: {
                $0.name == "close" && $0.descriptor < wait.arguments.0
                    && evidence.timeline.isClosed($0.descriptor, at: wait.entered)
            })
        {
            return say(
                "\(wait.callText) failed with EBADF after \(closed.callText)",
                "\(closed.callText) 之后，\(wait.callText) 以 EBADF 失败")
        }
        return evidence.timeline.leftOut.flatMap { $0.isSelects ? $0.text : nil }
    }

    /// It asks about one client alone, whether there is room to send to it.
    static let waitsForOneClient = Cause("waits-for-one-client") { evidence in
        let timeline = evidence.timeline
        guard let wait = timeline.blocked.last(where: \.isWait), let sets = wait.selected, sets.readable.isEmpty,
            sets.writable.count == 1, timeline.openConnections.contains(sets.writable[0])
        else { return nil }
        return wait.callText
    }

    /// It waits until it can write what came from one side, and hears nothing from the other.
    static let oneDirectionAtATime = Cause("one-direction-at-a-time") { evidence in
        guard let wait = evidence.timeline.blocked.last(where: \.isWait), let sets = wait.selected,
            sets.readable.isEmpty, !sets.writable.isEmpty
        else { return nil }
        return wait.callText
    }

    /// It waits without somebody whom it had asked about, and it was the program that did not put it in.
    static let leftOutOfTheSet = Cause("left-out-of-the-set") { evidence in
        evidence.timeline.leftOut.flatMap { $0.isSelects ? nil : $0.text }
    }

    static let spinsOnFullTable = Cause("spins-on-emfile") { evidence in
        let failures = evidence.timeline.calls.filter { $0.isAccept && ($0.error == EMFILE || $0.error == ENFILE) }
            .count
        guard failures > 100 else { return nil }
        // What comes back though nothing is ready, or because of others, is not woken by the listener.
        if let wait = evidence.timeline.calls.last(where: { $0.isWait && $0.returned != nil }),
            wait.result == 0 || evidence.timeline.isAlwaysWritable
        {
            return nil
        }
        // Asked whether something can be written, it comes back whatever the listener has.
        if let sets = evidence.timeline.calls.last(where: { $0.selected != nil })?.selected, !sets.writable.isEmpty {
            return nil
        }
        return say("accept failed with EMFILE \(failures) times", "accept 以 EMFILE 失败 \(failures) 次")
    }

    static let blockingConnect = Cause("blocking-connect") { evidence in
        guard let call = evidence.timeline.calls("connect").last, !evidence.timeline.setNonblocking else { return nil }
        return call.callText
    }

    /// EINPROGRESS, and it gave up.
    static let begunTakenForFailed = Cause("begun-taken-for-failed") { evidence in
        let calls = evidence.timeline.calls
        guard let connect = calls.last(where: { $0.name == "connect" }), connect.error == EINPROGRESS,
            !calls.contains(where: { $0.isWait && $0.entered > connect.entered })
        else { return nil }
        return connect.callText
    }

    /// connect had failed, and it waited.
    static let connectErrorIgnored = Cause("connect-error-ignored") { evidence in
        let calls = evidence.timeline.calls
        guard let connect = calls.last(where: { $0.name == "connect" }), connect.failed,
            ![EINPROGRESS, EINTR].contains(connect.error),
            calls.contains(where: { $0.isWait && $0.entered > connect.entered })
        else { return nil }
        return "\(connect.callText): \(errorName(connect.error))"
    }

    /// A call said that the connection is broken, and the function came back as if it had ended.
    static let resetTakenForEnd = Cause("reset-taken-for-end") { evidence in
        evidence.timeline.calls.last {
            ($0.isReceive || $0.isSend) && $0.failed && ($0.error == ECONNRESET || $0.error == EPIPE)
        }.map { "\($0.callText): \(errorName($0.error))" }
    }

    /// It was writable, so it was taken for connected.
    static let noSocketError = Cause("so-error-not-asked") { evidence in
        let timeline = evidence.timeline
        let asked = timeline.calls("getsockopt").contains { $0.arguments.1 == Int64(SO_ERROR) }
        let isDecided = timeline.calls.contains { $0.isWait && $0.result > 0 }
        return timeline.setNonblocking && timeline.count("connect") == 1 && isDecided && !asked ? "" : nil
    }

    /// The first question has taken the error off the socket.
    static let askedTwice = Cause("so-error-asked-twice") { evidence in
        let asked = evidence.timeline.calls("getsockopt").filter { $0.arguments.1 == Int64(SO_ERROR) }
        guard let last = asked.last,
            asked.contains(where: { $0.entered < last.entered && $0.descriptor == last.descriptor })
        else { return nil }
        return last.callText
    }

    /// The answer to SO_ERROR was an error, and something else was thrown.
    static let errnoForSocketError = Cause("errno-for-so-error") { evidence in
        guard let asked = evidence.timeline.calls.last(where: { $0.pendingError != nil }),
            let code = asked.pendingError,
            code != 0, !evidence.failure.got.contains(errorText(code)),
            evidence.failure.got.contains(say("threw", "抛出"))
        else { return nil }
        return say("\(asked.callText) → \(errorName(code))", "\(asked.callText) → \(errorName(code))")
    }

    /// It ended a direction, or came back, and kept bytes that had come before the end.
    static let endedWithBytesPending = Cause("ended-with-bytes-pending") { evidence in
        let kept = evidence.timeline.kept
        guard kept > 0, evidence.returned != nil || !evidence.timeline.calls("shutdown").isEmpty else { return nil }
        return say("\(kept) bytes were received and not sent on", "有 \(kept) 字节收到了却没有转发")
    }

    /// The same where the end was the last that it looked at.
    static let endedAtTheEnd = Cause("ended-with-bytes-pending") { evidence in
        let moves = evidence.timeline.calls.filter { $0.isSend || $0.isReceive }
        let kept = evidence.timeline.kept
        guard let last = moves.last, last.isReceive, last.result == 0, last.length > 0, kept > 0 else { return nil }
        return say(
            "\(last.callText) = 0, and \(kept) bytes were received and not sent on",
            "\(last.callText) = 0，还有 \(kept) 字节收到了却没有转发")
    }

    /// What came last in one direction has no newline, and nobody has tried to send any of it.
    static let waitsForNewline = Cause("waits-for-newline") { evidence in
        let calls = evidence.timeline.calls
        guard evidence.timeline.blocked.contains(where: \.isWait) else { return nil }
        let sources = Set(calls.filter { $0.isReceive && $0.result > 0 }.map(\.descriptor))
        let targets = Set(calls.filter(\.isSend).map(\.descriptor))
        for source in sources {
            // The peer's connection is both; what is only read goes there, what comes from there goes to the other one.
            guard
                let target = targets.first(where: { $0 != source && sources.contains($0) != targets.contains(source) }),
                let last = calls.last(where: { $0.isReceive && $0.descriptor == source && $0.result > 0 }),
                last.data.count == Int(last.result), !last.data.contains(UInt8(ascii: "\n")),
                !calls.contains(where: { $0.isSend && $0.descriptor == target && $0.entered > last.entered })
            else { continue }
            return last.callText
        }
        return nil
    }

    /// The end of the input ended the peer's direction, too.
    static let closedBothDirections = Cause("closed-both-directions") { evidence in
        let calls = evidence.timeline.calls
        guard let end = calls.firstIndex(where: { $0.isReceive && $0.returned != nil && $0.result == 0 }) else {
            return nil
        }
        let rest = calls[(end + 1)...]
        let read = Set(calls.filter { $0.isSend && $0.descriptor != calls[end].descriptor }.map(\.descriptor))
        return rest.first {
            $0.name == "shutdown" && $0.arguments.0 != Int64(SHUT_WR as Int32)
                || $0.name == "close" && read.contains($0.descriptor)
        }?.callText
    }

    /// Two may speak, and it waits for one of them.
    static let blockedOnOne = Cause("blocked-on-one-of-two") { evidence in
        evidence.timeline.blocked.last(where: \.isReceive)?.callText
    }
}

extension Timeline {
    /// Whom the select that it waits in was not asked about, though nothing is to be said to it: the listener, or a client
    /// whose bytes have all been answered. Did select take it out, since nothing had come for it?
    fileprivate var leftOut: (text: String, isSelects: Bool)? {
        guard let last = calls.lastIndex(where: { $0.isWait && $0.isBlocked }), let sets = calls[last].selected,
            let listen = calls.last(where: { $0.name == "listen" && $0.result == 0 }),
            !calls.contains(where: { $0.isAccept && ($0.error == EMFILE || $0.error == ENFILE) })
        else { return nil }
        let wait = calls[last].callText
        func isSelects(_ descriptor: Int32) -> Bool {
            guard
                let asked = calls[..<last].lastIndex(where: {
                    $0.selected?.readable.contains(descriptor) == true
                }), let next = calls[(asked + 1)...].firstIndex(where: { $0.selected != nil })
            else { return false }
            let between = calls[asked..<next]
            guard let before = calls[asked].selected, let after = calls[next].selected else { return false }
            // What it leaves is as many as it says. Where more were asked about next, or somebody else, they were put in.
            let others = (after.readable + after.writable).filter { $0 != listen.descriptor }
            let isAsLeft =
                Set(after.writable).isSubset(of: before.writable)
                && (others.count <= calls[asked].result || between.contains { $0.isAccept && $0.result >= 0 })
            guard isAsLeft else { return false }
            return !between.contains { $0.descriptor == descriptor && ($0.isAccept || $0.isReceive || $0.isSend) }
        }
        if !sets.readable.contains(listen.descriptor) {
            let text = say(
                "\(wait), without \(listen.descriptor), which listens", "\(wait)，其中没有监听套接字 \(listen.descriptor)")
            return (text, isSelects(listen.descriptor))
        }
        var unanswered: [Int32: Int64] = [:]
        for call in calls where call.returned != nil {
            if call.isAccept, call.result >= 0 { unanswered[Int32(call.result)] = 0 }
            if call.name == "close" { unanswered[call.descriptor] = nil }
            if call.isReceive, call.result > 0 { unanswered[call.descriptor]? += call.result }
            // It is gone, and not to be asked about.
            if call.isReceive, call.failed, ![EAGAIN, EINTR].contains(call.error) { unanswered[call.descriptor] = nil }
            if call.isSend, call.result > 0 { unanswered[call.descriptor]? -= call.result }
        }
        let forgotten = unanswered.filter { $0.value == 0 && $0.key < 256 && !sets.readable.contains($0.key) }
        return forgotten.keys.min().map {
            (say("\(wait), without client \($0)", "\(wait)，其中没有客户端 \($0)"), isSelects($0))
        }
    }
}
