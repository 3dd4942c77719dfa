// Mistakes of exercise 13 buffered-socket, as the tap shows them.
import Course
import GraderKit
import Sockets
import Wire

extension Cause {
    /// As many receives as bytes.
    static let bufferedByteByByte = Cause("one-byte-at-a-time") { evidence in
        let receives = evidence.timeline.calls.filter(\.isReceive)
        let single = receives.filter { $0.length == 1 && $0.result == 1 }
        guard single.count > 50, single.count * 2 > receives.count else { return nil }
        return say("\(single.count) calls for 1 byte each", "\(single.count) 次调用，每次只要 1 字节")
    }

    static let bufferedLineByLine = Cause("no-read-buffer") { evidence in
        let count = evidence.timeline.calls.filter(\.isReceive).count
        return count > 100 ? say("\(count) calls", "调用了 \(count) 次") : nil
    }

    /// It has what was asked for, and waits for more all the same: where the peer has sent just that.
    static let bufferedWaitsForMore = Cause("waits-for-full-buffer") { evidence in
        guard let call = evidence.timeline.blocked.last(where: \.isReceive) else { return nil }
        return call.callText
    }

    static let bufferedSendsEachWrite = Cause("no-write-buffer") { evidence in
        let sends = evidence.timeline.calls.filter(\.isSend)
        guard sends.count > 100, sends.filter({ $0.length <= 10 }).count * 2 > sends.count else { return nil }
        return say("\(sends.count) sends", "send 了 \(sends.count) 次")
    }

    static let bufferedNeverSends = Cause("never-full") { evidence in
        evidence.timeline.calls.contains(where: \.isSend) ? nil : say("nothing was sent", "什么也没有发送")
    }

    /// The second flush began with bytes that had gone already.
    static let bufferedFlushesAgain = Cause("sent-again-from-the-start") { evidence in
        let sends = evidence.timeline.calls.filter(\.isSend)
        guard let failed = sends.firstIndex(where: { $0.failed && $0.error != EINTR }), failed > 0,
            failed + 1 < sends.count, sends[failed + 1].data == sends[0].data, sends[0].result > 0
        else { return nil }
        return sends[failed + 1].callText
    }

    /// It waits for an exact count, and an earlier recv, which asked for more, brought bytes behind a line: nobody looked
    /// at those.
    static let bufferedPassedOver = Cause("buffer-passed-over") { evidence in
        let calls = evidence.timeline.calls.filter(\.isReceive)
        guard let blocked = calls.last, blocked.isBlocked,
            let brought = calls.last(where: { $0.result > 0 && $0.length > blocked.length }),
            let newline = brought.data.firstIndex(of: UInt8(ascii: "\n")), Int64(newline + 1) < brought.result
        else { return nil }
        return blocked.callText
    }

    /// It waits for bytes that had come, and some of them before the error.
    static let bufferedLost = Cause("lost-on-error") { evidence in
        guard let failed = evidence.timeline.calls.first(where: { $0.isReceive && $0.failed && $0.error != EINTR }),
            evidence.timeline.calls.contains(where: { $0.isReceive && $0.result > 0 && $0.entered < failed.entered })
        else { return nil }
        return evidence.timeline.blocked.last(where: \.isReceive)?.callText
    }
}
