// Mistakes that HTTP servers make, as the tap shows them.
import Course
import GraderKit
import Sockets
import Wire

extension Cause {
    /// Any check of a server of lesson 08 may run into these.
    static let http: [Cause] = [.oneRequestOneReceive, .refusedWhatIsGood]

    /// The same where a connection is used for several requests, or could be.
    static let keptHTTP: [Cause] = [.closedAfterAnswer] + http

    /// It has the request, in two or more pieces, and does not answer; or it answered the first piece.
    static let oneRequestOneReceive = Cause("half-request-lost") { evidence in
        let calls = evidence.timeline.calls
        guard let last = calls.last(where: { $0.isReceive && $0.result > 0 }), !last.data.isEmpty,
            !calls.contains(where: { $0.isSend && $0.descriptor == last.descriptor }),
            calls.filter({ $0.isReceive && $0.result > 0 && $0.descriptor == last.descriptor }).count > 1,
            evidence.failure.got == say("nothing", "什么也没有")
        else { return nil }
        return say("the end of the request came with \(last.callText)", "请求的结尾是 \(last.callText) 收到的")
    }

    /// It crashed when several of its threads were at the store.
    static let storeWithoutLock = Cause.crash(
        meaning: "store-without-lock",
        after: { timeline in Set(timeline.calls.filter { $0.isReceive && $0.result > 0 }.map(\.thread)).count > 1 })

    /// For checks that cut a request in the middle.
    static let half = Cause("half-request-lost") { evidence in
        evidence.timeline.calls.contains { $0.isReceive && $0.result > 0 } ? "" : nil
    }

    /// 400 for a request that is as it should be.
    static let refusedWhatIsGood = Cause("good-request-refused") { evidence in
        evidence.failure.got.hasPrefix("400") && !evidence.failure.expected.hasPrefix("400")
            && !evidence.failure.expected.contains(" 400 ") ? "" : nil
    }

    /// The connection was closed, or shut down, at once behind an answer that is no refusal, and the client had not ended
    /// its side.
    static let closedAfterAnswer = Cause("keep-alive-ignored") { evidence in
        guard
            evidence.failure.got.contains(say("closed", "关闭")) || evidence.failure.got.contains(errorText(ECONNRESET))
                || evidence.failure.got.contains(errorText(EPIPE))
        else { return nil }
        let calls = evidence.timeline.calls
        let end = calls.indices.last { index in
            let close = calls[index]
            guard close.name == "close" || close.name == "shutdown" else { return false }
            let same = calls[..<index].filter { $0.descriptor == close.descriptor && $0.process == close.process }
                .reversed().prefix { $0.name != "close" && $0.name != "shutdown" }
            guard let returned = same.first(where: { $0.isSend && $0.result > 0 })?.returned,
                // Who waited until then has lost patience.
                close.entered < returned + UInt64(Lesson08.clientTimeout) * 500_000,
                !same.contains(where: { $0.isReceive && $0.returned != nil && $0.result == 0 }),
                let answer = same.first(where: { $0.isSend && $0.data.starts(with: "HTTP/1.".utf8) }),
                let status = Int(String(decoding: answer.data.dropFirst(9).prefix(3), as: UTF8.self))
            else { return false }
            return status < 400 || status == 404
        }
        return end.map { calls[$0].callText }
    }

    /// open(2) of a named pipe waits for somebody who writes to it.
    static let openedPipe = Cause("opened-a-pipe") { evidence in
        evidence.failure.expected.contains("/pipe") && evidence.failure.got == say("nothing", "什么也没有") ? "" : nil
    }
}
