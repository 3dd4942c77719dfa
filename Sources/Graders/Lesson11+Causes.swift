// Mistakes of lesson 11, as the tap shows them.
import Course
import GraderKit
import Sockets
import Wire

extension Cause {
    // MARK: Connecting

    /// connect only notes an address there, and is done.
    static let datagramSocket = Cause("datagram-socket") { evidence in
        let calls = evidence.timeline.calls
        let made = Set(
            calls.filter { $0.name == "socket" && Int32($0.arguments.1) & 0xf == SOCK_DGRAM }.map(\.result))
        return calls.first { $0.name == "connect" && $0.result == 0 && made.contains(Int64($0.descriptor)) }?.callText
    }

    /// What the wait ended with was never looked at, or looked at and passed over.
    static let failureReturned = Cause("so-error-not-asked") { $0.failure.got == returnedUnconnected }

    /// One attempt, and the error of it.
    static let gaveUpAtOnce = Cause("gave-up-at-once") { evidence in
        let timeline = evidence.timeline
        // A refusal is what connect says, or what SO_ERROR says of one that was begun.
        let failed = timeline.calls.last {
            ($0.name == "connect" || $0.name == "socket") && $0.failed && $0.error != EINPROGRESS && $0.error != EINTR
                || $0.pendingError ?? 0 != 0
        }
        guard let failed, timeline.sleeps.isEmpty || failed.perturbed else { return nil }
        return "\(failed.callText) \(errorName(failed.pendingError ?? failed.error))"
    }

    /// The name has several addresses, and the first was the only one that was tried, or tried again.
    static let onlyTheFirstAddress = Cause("first-address-only") { evidence in
        let tried = evidence.timeline.calls("connect").compactMap(\.given)
        guard let first = tried.first, Set(tried).count == 1 else { return nil }
        return say("it only tried \(first)", "只试了 \(first)")
    }

    static let neverResolved = Cause("never-resolved") { $0.timeline.count("getaddrinfo") == 0 }

    static let temporaryNameErrorFinal = Cause("temporary-name-error-final") { evidence in
        let asked = evidence.timeline.count("getaddrinfo")
        guard (1...2).contains(asked) else { return nil }
        return asked == 1 ? say("it asked once", "只查了一次") : say("it asked twice", "只查了两次")
    }

    /// The handshake went on; a second connect meets the first.
    static let connectedAgainAfterInterrupt = Cause("connected-again-after-eintr") { evidence in
        let calls = evidence.timeline.calls("connect")
        guard let index = calls.firstIndex(where: { $0.failed && $0.error == EINTR }), index + 1 < calls.count else {
            return nil
        }
        let again = calls[index + 1]
        return again.failed ? "\(again.callText) = -1 \(errorName(again.error))" : again.callText
    }

    /// Nobody answers, and it waits on: the deadline is nobody's.
    static let waitsWithoutDeadline = Cause("deadline-ignored") { evidence in
        // Who spins is in some call at any moment.
        let blocked = evidence.timeline.blocked.last {
            $0.isWait || ($0.isReceive || $0.isSend) && evidence.now > $0.entered + 50_000_000
        }
        if let blocked { return blocked.callText }
        return evidence.timeline.count("connect") > 3 ? "" : nil
    }

    /// An address that does not answer is waited for longer than policy.connectTimeout says.
    static let attemptWithoutLimit = Cause("attempt-without-limit") { evidence in
        evidence.timeline.blocked.last(where: \.isWait)?.callText
    }

    static let sleepsPastTheDeadline = Cause("sleeps-past-the-deadline") { evidence in
        evidence.timeline.sleeps.last?.callText
    }

    /// A socket whose connect has failed is connected again. One that was interrupted is another mistake.
    static let sameSocketAgain = Cause("same-socket-again") { $0.timeline.connectedAgain?.callText }

    static func sleepsLonger(than cap: Milliseconds) -> Cause {
        Cause("wait-over-the-cap") { evidence in
            evidence.timeline.sleeps.last { ($0.sleepMilliseconds ?? 0) > cap }?.callText
        }
    }

    /// Sockets that did not connect, and are still open.
    static let descriptorsLeft = Cause("connection-leak") { evidence in
        evidence.timeline.calls("socket").first { $0.error == EMFILE }.map { "\($0.callText) = -1 EMFILE" }
    }

    // MARK: Sending and receiving

    /// The socket is not ready, and that was taken for the end.
    static let notReadyIsFailure = Cause("not-ready-is-failure") { evidence in
        let calls = evidence.timeline.calls
        guard let index = calls.lastIndex(where: { ($0.isSend || $0.isReceive) && $0.error == EAGAIN }),
            !calls[index...].contains(where: { $0.waitsForSocket || $0.sleepMilliseconds != nil }),
            // Who calls again has not given up.
            !calls[(index + 1)...].contains(where: { $0.isSend || $0.isReceive }),
            calls[..<index].last(where: { $0.isSend || $0.isReceive })?.error != EAGAIN
        else { return nil }
        return "\(calls[index].callText) = -1 EAGAIN"
    }

    /// A time limit for each wait, and none for all of them: whatever comes in between begins it anew.
    static let deadlineBegunAnew = Cause("deadline-begun-anew") { evidence in
        let calls = evidence.timeline.calls
        let waits = calls.filter { $0.waitsForSocket && $0.arguments.1 > 0 }
        if waits.count > 2, waits[waits.count - 1].arguments.1 >= waits[0].arguments.1 {
            return waits[waits.count - 1].callText
        }
        // SO_RCVTIMEO and SO_SNDTIMEO, set once, are the limit of each call.
        let limits = calls.filter { ["SO_RCVTIMEO", "SO_SNDTIMEO"].contains($0.optionName) && $0.name == "setsockopt" }
        guard let limit = limits.last, limits.count <= 2, calls.filter({ $0.isSend || $0.isReceive }).count > 3 else {
            return nil
        }
        return limit.callText
    }

    /// A call that may block as long as it likes.
    static let blockedForEver = Cause("blocked-without-limit") { evidence in
        // Who calls in vain all the time is in some call at any moment, and blocked in none.
        guard !evidence.timeline.fruitless.values.contains(where: { $0 > 1000 }) else { return nil }
        return evidence.timeline.blocked.last { $0.isSend || $0.isReceive || $0.isWait && $0.arguments.1 < 0 }?.callText
    }
}

extension Timeline {
    /// The first connect on a socket that another connect has failed on.
    var connectedAgain: Call? {
        var failed: Set<Int32> = []
        for call in calls {
            if call.name == "close" { failed.remove(call.descriptor) }
            guard call.name == "connect" else { continue }
            if failed.contains(call.descriptor) { return call }
            if call.failed, call.error != EINTR { failed.insert(call.descriptor) }
        }
        return nil
    }
}
