// Lesson 08: what the tap shows of a client's mistakes.
import Course
import GraderKit
import Sockets
import Wire

let lesson08ClientChecks: [Check] =
    lesson08ClientRequests + lesson08ClientAnswers + lesson08ClientConnections + lesson08ClientRedirects
    + lesson08ClientRetries
    + lesson08ClientTimes + lesson08ClientPython

extension Cause {
    /// All of the answer is there, and the client waits on a connection that stays open.
    static let awaitsTheEnd = Cause("waits-for-the-end") { evidence in
        evidence.timeline.waitingToReceive?.text(now: evidence.now)
    }

    /// The same where no body follows, though the fields tell of one.
    static let awaitsABody = Cause("waits-for-no-body") { evidence in
        evidence.timeline.waitingToReceive?.text(now: evidence.now)
    }

    static let connectsAnew = Cause("connection-not-kept") { evidence in
        let count = evidence.timeline.calls("connect").count
        return count > 1 ? say("\(count) connections", "\(count) 个连接") : nil
    }

    /// It connected once, to an address that refused or was silent, and gave up.
    static let firstAddressOnly = Cause("first-address-only") { evidence in
        guard let connect = evidence.timeline.calls("connect").last, evidence.timeline.calls("connect").count == 1,
            connect.returned == nil || connect.failed
        else { return nil }
        return connect.text(now: evidence.now)
    }

    static let socketsLeftOpen = Cause("sockets-left-open") { evidence in
        let made = evidence.timeline.calls("socket").filter { $0.result >= 0 }.count
        let closed = evidence.timeline.calls("close").filter { $0.result == 0 }.count
        guard made - closed > 20 else { return nil }
        return say("\(made) sockets, \(closed) closed", "\(made) 个套接字，关闭了 \(closed) 个")
    }

    /// It sends and sends, and does not see that the answer is there.
    static let onlySends = Cause("only-sends") { evidence in
        if let send = evidence.timeline.blocked.last(where: \.isSend) { return send.text(now: evidence.now) }
        // Or it waits for room, and the last thing that it did was to send.
        guard let wait = evidence.timeline.blocked.last(where: \.isWait),
            evidence.timeline.calls.last(where: { !$0.isWait })?.isSend == true
        else { return nil }
        return wait.text(now: evidence.now)
    }
}

extension Timeline {
    /// A receive that blocks, or a wait for one.
    fileprivate var waitingToReceive: Call? { blocked.last { $0.isReceive || $0.isWait } }
}
