// What the checks of lesson 07 ask of a server, and the mistakes that they recognise.
import Course
import GraderKit
import Sockets
import Wire

extension Trial {
    /// - Parameter edges: what it must ask for: EPOLLET, or not.
    func expectEpoll(_ server: Server, edges: Bool) throws {
        let timeline = server.subject.timeline
        let expected =
            edges
            ? say("it waits in epoll_wait, edge-triggered (EPOLLET)", "用 epoll_wait 等待，边缘触发（EPOLLET）")
            : say("it waits in epoll_wait, level-triggered", "用 epoll_wait 等待，水平触发")
        guard timeline.count("epoll_wait", "epoll_pwait", "kevent") > 0 else {
            let other = ["select", "pselect", "poll", "ppoll"].first { timeline.count($0) > 0 }
            throw Failure(
                expected: expected,
                got: other.map { say("it waits in \($0)", "它在 \($0) 中等待") }
                    ?? say("epoll_wait was never called", "没有调用 epoll_wait"),
                cause: other == nil ? timeline.waitsForItself : "another-call-than-epoll")
        }
        // kqueue is told of edges in the call that waits, which the tap does not look into.
        if timeline.count("kevent") > 0 { return }
        let asksForEdges = timeline.calls("epoll_ctl").filter { $0.asksForEdges }.count
        let asksForLevels = timeline.calls("epoll_ctl").filter { $0.arguments.0 == 1 && !$0.asksForEdges }.count
        if edges && asksForEdges == 0 {
            throw Failure(
                expected: expected, got: say("EPOLLET was never asked for", "没有使用 EPOLLET"), cause: "level-not-edge")
        }
        if !edges && asksForLevels == 0 {
            throw Failure(
                expected: expected, got: say("everything was asked for with EPOLLET", "全部用了 EPOLLET"),
                cause: "edge-not-level")
        }
    }
}

extension Call {
    /// EPOLLET is bit 31 (epoll_ctl(2)).
    var asksForEdges: Bool { name == "epoll_ctl" && arguments.1 & (1 << 31) != 0 }

    /// EPOLLONESHOT is 1 << 30 (sys/epoll.h).
    fileprivate var asksOnce: Bool { name == "epoll_ctl" && arguments.1 & (1 << 30) != 0 }

    /// EPOLL_CTL_DEL is 2 (sys/epoll.h).
    fileprivate var isTakenOff: Bool { name == "epoll_ctl" && arguments.0 == 2 && result == 0 }

    var asksToWrite: Bool { name == "epoll_ctl" && arguments.1 & Int64(writable) != 0 }
}

/// EPOLLOUT alone, EPOLLERR or EPOLLHUP, and EPOLLRDHUP (epoll_ctl(2)).
private let writable: UInt32 = 0x4
private let hungUp: UInt32 = 0x18
private let peerEnded: UInt32 = 0x2000

extension Timeline {
    /// It answers without a wait of its own: each client has somebody who waits in recv, or a library waits, as
    /// DispatchSource does.
    var waitsForItself: String? {
        blocked.contains { $0.isReceive || $0.isAccept } ? eachClientsOwn : "a-library-waits"
    }

    /// Wait after wait says only that something is writable.
    var isAlwaysWritable: Bool {
        guard let waits = lastWaits(20) else { return false }
        return waits.allSatisfy { wait in
            if let sets = wait.selected { return wait.result > 0 && !sets.writable.isEmpty }
            return wait.result > 0 && wait.ready.allSatisfy { $0.events == writable } && !wait.ready.isEmpty
        }
    }

    var waits: Int { count("epoll_wait", "epoll_pwait", "poll", "ppoll", "select", "pselect", "kevent") }
}

extension Cause {
    static let alwaysAsksToWrite = Cause("always-asks-to-write") { evidence in
        guard evidence.timeline.isAlwaysWritable, let last = evidence.timeline.lastWaits(20)?.last else { return nil }
        return say("\(last.callText) came back at once, again and again", "\(last.callText) 一次次立刻返回")
    }

    /// Wait after wait says that a connection is broken, or over, and nobody receives or closes.
    static let hangUpIgnored = Cause("hang-up-ignored") { evidence in
        guard let waits = evidence.timeline.lastWaits(20), let first = waits.first else { return nil }
        let isToldOfIt = waits.allSatisfy { wait in wait.ready.contains { $0.events & hungUp != 0 } }
        let isTouched = evidence.timeline.calls.contains { call in
            call.entered > first.entered && (call.isReceive || call.name == "close")
        }
        guard isToldOfIt, !isTouched, let ready = waits.last?.ready.first(where: { $0.events & hungUp != 0 }) else {
            return nil
        }
        return say("descriptor \(ready.data)", "描述符 \(ready.data)")
    }

    /// The last receive on a connection that is open brought bytes, and it waits for an edge: EAGAIN was not waited for.
    static let readOnce = Cause("edge-read-once") { evidence in
        let calls = evidence.timeline.calls
        let open = Set(evidence.timeline.openConnections)
        guard calls.contains(where: \.asksForEdges), evidence.timeline.blocked.contains(where: \.isWait),
            let index = calls.lastIndex(where: { $0.isReceive && open.contains($0.descriptor) }),
            calls[index].result > 0
        else { return nil }
        // A second receive in the same round: it does receive again, and stopped for another reason.
        let round = calls[..<index].lastIndex { $0.isWait && $0.returned != nil } ?? 0
        let before = calls[round..<index].contains { $0.isReceive && $0.descriptor == calls[index].descriptor }
        guard !before else { return nil }
        let last = calls[index]
        // One that does receive again elsewhere, and here could not send: it stopped for lack of room.
        let receives = calls.indices.filter { calls[$0].isReceive || calls[$0].isWait }
        let isLoop = zip(receives, receives.dropFirst()).contains { first, second in
            calls[first].isReceive && calls[second].isReceive && calls[first].descriptor == calls[second].descriptor
        }
        let isHeldUp = calls[index...].contains { call in
            call.isSend && call.descriptor == last.descriptor
                && (call.error == EAGAIN || call.result > 0 && call.result < call.length)
        }
        guard !(isLoop && isHeldUp) else { return nil }
        return say("\(last.callText) = \(last.result), and then it waited", "\(last.callText) = \(last.result)，然后就去等待了")
    }

    /// The same of the only connection there is, which it may have made itself.
    static let readOnceOfOne = Cause("edge-read-once") { $0.timeline.edgeLeftBehind }

    /// The same of a connection that has ended by now: it should have been over, and was kept open in a long wait.
    static let readOnceBeforeTheEnd = Cause("edge-read-once") { evidence in
        let calls = evidence.timeline.calls
        guard evidence.failure.got == StreamPeer.keptOpen, calls.contains(where: \.asksForEdges),
            let wait = calls.lastIndex(where: { call in
                call.isWait && call.returned.map { $0 > call.entered + 1_000_000_000 } == true
            })
        else { return nil }
        let accepted = Set(calls.filter { $0.isAccept && $0.result >= 0 }.map { Int32($0.result) })
        for (index, call) in calls[..<wait].enumerated()
        where call.isReceive && call.result > 0 && accepted.contains(call.descriptor) {
            let next = calls[(index + 1)...].first {
                $0.descriptor == call.descriptor && !$0.isSend && !$0.isWait
            }
            let round = calls[..<index].lastIndex { $0.isWait && $0.returned != nil } ?? 0
            let isSecond = calls[round..<index].contains { $0.isReceive && $0.descriptor == call.descriptor }
            guard let next, next.isReceive, next.entered > calls[wait].entered, !isSecond else { continue }
            return say(
                "\(call.callText) = \(call.result), and then it waited", "\(call.callText) = \(call.result)，然后就去等待了")
        }
        return nil
    }

    /// A send took a part, and that was the last send of its connection. Nor was the rest of any other ever sent, or room
    /// for it asked for: it keeps nothing.
    static let keepsNoRest = Cause("short-send-ignored") { evidence in
        let calls = evidence.timeline.calls
        var last: Call?
        for (index, call) in calls.enumerated() where call.isSend && call.result > 0 && call.result < call.length {
            let next = calls[(index + 1)...].first {
                $0.descriptor == call.descriptor && $0.process == call.process
                    && ($0.isSend || $0.name == "close" || $0.asksToWrite)
            }
            if let next, next.name != "close" { return nil }
            last = call
        }
        return last.map {
            say(
                "\($0.name) took \($0.result) of \($0.length) bytes",
                "\($0.name) 只接受了 \($0.length) 字节中的 \($0.result) 字节")
        }
    }

    /// EPOLLONESHOT: whoever was told of a client is not told again until EPOLL_CTL_MOD. It waits without having asked anew.
    static let oneshotNotRenewed = Cause("oneshot-not-renewed") { evidence in
        let calls = evidence.timeline.calls
        guard evidence.timeline.blocked.contains(where: \.isWait) else { return nil }
        var asked: [Int32: Int] = [:]
        for (index, call) in calls.enumerated() where call.name == "epoll_ctl" && call.result == 0 {
            asked[call.descriptor] = call.asksOnce ? index : nil
        }
        for (descriptor, index) in asked.sorted(by: { $0.value > $1.value }) {
            let later = calls[(index + 1)...]
            let isTold = later.contains { $0.ready.contains { $0.data == descriptor } }
            let isClosed = later.contains { $0.name == "close" && $0.descriptor == descriptor }
            guard isTold, !isClosed else { continue }
            return say("\(calls[index].callText), and never again", "\(calls[index].callText)，之后再没有设置过")
        }
        return nil
    }

    static let acceptedOnce = Cause("edge-accepted-once") { evidence in
        let calls = evidence.timeline.calls
        guard calls.contains(where: \.asksForEdges), evidence.timeline.blocked.contains(where: \.isWait),
            let last = calls.last(where: \.isAccept), last.returned != nil,
            // An error of one client's is no end of the queue either.
            last.result >= 0 || ![EAGAIN, EMFILE, ENFILE].contains(last.error)
        else { return nil }
        let result = last.result >= 0 ? "\(last.result)" : "-1 \(errorName(last.error))"
        return say("\(last.callText) = \(result), and then it waited", "\(last.callText) = \(result)，然后就去等待了")
    }

    /// It went to the next client with bytes of this one unread, and waits for an edge that has been.
    static let leavesBeforeEmpty = Cause("edge-left-early") { $0.timeline.edgeLeftBehind }

    /// A receive that gave less than there was room for was taken for the last: the end of the stream was behind it.
    static let shortReadIsEmpty = Cause("edge-left-early") { evidence in
        guard let last = evidence.timeline.calls.last(where: \.isReceive), last.result < last.length else { return nil }
        return evidence.timeline.edgeLeftBehind
    }

    /// A client was taken off the list after it had been accepted last, and is open still.
    static let takenOffNotClosed = Cause("taken-off-not-closed") { evidence in
        let calls = evidence.timeline.calls
        let open = Set(evidence.timeline.openConnections)
        return calls.last { call in
            call.isTakenOff && open.contains(call.descriptor)
                && !calls.contains { $0.isAccept && $0.result == Int64(call.descriptor) && $0.entered > call.entered }
        }?.callText
    }

    /// There was no descriptor for one in the queue, and it waits for another edge of the listener.
    static let listenerForgotten = Cause("edge-listener-forgotten") { evidence in
        let calls = evidence.timeline.calls
        guard calls.contains(where: \.asksForEdges), evidence.timeline.blocked.contains(where: \.isWait),
            let last = calls.last(where: \.isAccept), last.error == EMFILE || last.error == ENFILE
        else { return nil }
        return say("\(last.callText) failed, and then it waited", "\(last.callText) 失败，然后就去等待了")
    }

    /// EPOLLRDHUP alone: the client has ended its side, and may be reading. It was closed, and its end never received.
    static let goodbyeNotReadOut = Cause("rdhup-taken-for-gone") { evidence in
        let calls = evidence.timeline.calls
        for (index, close) in calls.enumerated() where close.name == "close" {
            let before = calls[..<index]
            let start = before.lastIndex { $0.isAccept && $0.result == Int64(close.descriptor) } ?? 0
            let life = before[start...]
            func hasEnded(_ events: UInt32) -> Bool { events & (peerEnded | hungUp) == peerEnded }
            // What it keeps there may be a number of its own: then it is told if the last wait spoke of nobody else.
            let last = life.last(where: \.isWait)?.ready ?? []
            let isTold =
                life.contains { $0.ready.contains { $0.data == close.descriptor && hasEnded($0.events) } }
                || !last.isEmpty && last.allSatisfy { hasEnded($0.events) }
            let isSeen = life.contains {
                $0.descriptor == close.descriptor && $0.isReceive && $0.returned != nil
                    && ($0.result == 0 || $0.result < 0 && ![EAGAIN, EINTR].contains($0.error))
            }
            if isTold, !isSeen { return close.callText }
        }
        return nil
    }

    /// epoll has no FD_SETSIZE.
    static let numbersOfSelect = Cause("turned-away-by-number") { evidence in
        let calls = evidence.timeline.calls
        let high = calls.last { $0.isAccept && $0.result >= Int64(FD_SETSIZE) }
        guard let high, calls.contains(where: { $0.name == "close" && Int64($0.descriptor) == high.result }),
            !calls.contains(where: { Int64($0.descriptor) == high.result && ($0.isReceive || $0.isSend) })
        else { return nil }
        return "\(high.callText) = \(high.result)"
    }

    static let neverTimesOut = Cause("waits-for-ever") { evidence in
        // With nobody connected it may.
        let calls = evidence.timeline.calls
        let isAlone =
            calls.filter { $0.isAccept && $0.result >= 0 }.count
            <= calls.filter { $0.name == "close" && $0.result == 0 }.count
        return isAlone ? nil : evidence.timeline.blocked.last { $0.isWait && $0.arguments.1 < 0 }?.callText
    }

    /// It closed a client sooner after its last message than it should.
    static let countsFromAccept = Cause("counts-from-accept") { evidence in
        guard let (receive, close) = evidence.timeline.closedTalker,
            close.entered - receive.entered < UInt64(Lesson07.idleTimeout - 50) * 1_000_000
        else { return nil }
        return close.callText
    }

    /// It closed one that talked, long after its last message: when the silent one was due, nobody was.
    static let oneClockForAll = Cause("one-clock-for-all") { evidence in
        evidence.timeline.openConnections.isEmpty ? evidence.timeline.closedTalker?.close.callText : nil
    }

    static let stopNotSeen = Cause("stop-not-seen") { evidence in
        guard let asked = evidence.stopAsked, !evidence.timeline.endsSomething(after: asked) else { return nil }
        // Who spins is in some wait at any moment.
        return evidence.timeline.blocked.last { $0.isWait && evidence.now > $0.entered + 50_000_000 }?.callText
    }

    /// It has begun to stop, has nothing to send any more, and waits for clients that have not ended.
    static let waitsForTheirEnd = Cause("waits-for-their-end") { evidence in
        guard let asked = evidence.stopAsked, evidence.timeline.endsSomething(after: asked),
            let wait = evidence.timeline.blocked.last(where: { $0.isWait && evidence.now > $0.entered + 50_000_000 }),
            !evidence.timeline.calls.contains(where: { $0.isSend && $0.entered > asked && $0.error == EAGAIN })
        else { return nil }
        return wait.callText
    }

    /// It knows of the stop, and waits for a client without a limit.
    static let stopHeldUp = Cause("stop-held-up") { evidence in
        let closed = evidence.timeline.calls("listen").last.map { listen in
            evidence.timeline.calls("close").contains { $0.descriptor == listen.descriptor }
        }
        return closed == true ? evidence.timeline.blocked.last(where: \.isWait)?.callText : nil
    }

    static let stoppedTooEarly = Cause("pending-dropped-at-stop") { evidence in
        if case .returned? = evidence.returned { return "" }
        return nil
    }
}

extension Timeline {
    /// A connection or a direction was ended by the program then.
    fileprivate func endsSomething(after time: UInt64) -> Bool {
        calls("shutdown", "close").contains { $0.entered > time }
    }

    /// The last message of a client that it closed though the client had not ended, and that close.
    fileprivate var closedTalker: (receive: Call, close: Call)? {
        for close in calls("close") {
            let receives = calls.filter {
                $0.isReceive && $0.descriptor == close.descriptor && $0.entered < close.entered
            }
            if let last = receives.last(where: { $0.result >= 0 }), last.result > 0 { return (last, close) }
        }
        return nil
    }
}

extension Timeline {
    /// The last receive, where it brought something and it waits for an edge: there may be more, which has had its own.
    fileprivate var edgeLeftBehind: String? {
        guard calls.contains(where: \.asksForEdges), blocked.contains(where: \.isWait),
            let last = calls.last(where: \.isReceive), last.result > 0
        else { return nil }
        return say("\(last.callText) = \(last.result), and then it waited", "\(last.callText) = \(last.result)，然后就去等待了")
    }
}
