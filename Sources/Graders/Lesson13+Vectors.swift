// Checks of exercise 13 write-vectors: what arrives, and in the tap, with how many calls of how many pieces it went.
import Course
import GraderKit
import Sockets
import Wire

let writeVectorsChecks: [Check] = [
    Check("vectors-order", suspects: [.vectorsZeroIsNotProgress]) { trial in
        let sizes = [0, 1, 700, 0, 0, 5000, 30, 0, 9000, 2, 0]
        try trial.expectWritten(sizes.map { trial.random.bytes($0) })
        // More than the buffers hold.
        try trial.expectWritten((0..<64).map { _ in trial.random.letters(8 << 10) }, smallBuffers: true)
    },
    Check("vectors-gathers", suspects: [.vectorsCallForEachPiece, .vectorsCopiedIntoOne]) { trial in
        let pieces = (0..<100).map { _ in trial.random.letters(20) }
        let calls = try trial.expectWritten(pieces).filter(\.isSend)
        let most = 5
        let gathered = calls.reduce(0) { $0 + ($1.pieces ?? 0) }
        guard calls.count <= most, gathered >= pieces.count else {
            throw Failure(
                expected: say(
                    "100 pieces go to writev or sendmsg as they are, in at most \(most) calls",
                    "100 段原样交给 writev 或 sendmsg，最多调用 \(most) 次"),
                got: say(
                    "calls: \(calls.count); pieces given to writev or sendmsg: \(gathered)",
                    "调用了 \(calls.count) 次，交给 writev 或 sendmsg 的共 \(gathered) 段"),
                cause: calls.takeFewPieces ? "few-pieces-a-call" : nil)
        }
    },
    Check("vectors-many", suspects: [.vectorsTooManyVectors, .vectorsCallForEachPiece, .vectorsFirstCallOnly]) {
        trial in
        let most = 6
        let calls = try trial.expectWritten((0..<3000).map { _ in trial.random.letters(10) }).filter(\.isSend)
        guard calls.count > most else { return }
        throw Failure(
            expected: say("at most \(most) calls for 3,000 pieces", "3,000 段最多调用 \(most) 次"),
            got: say("\(calls.count) calls", "调用了 \(calls.count) 次"),
            cause: calls.takeFewPieces ? "few-pieces-a-call" : nil)
    },
    Check("vectors-empty", suspects: [.vectorsTooManyVectors, .vectorsZeroIsNotProgress]) { trial in
        for pieces in [[], [[]], Array(repeating: [], count: 2000) + [Array("x".utf8)], [Array("y".utf8), [], []]] {
            try trial.expectWritten(pieces)
        }
    },
    Check(
        "vectors-short",
        suspects: [
            .vectorsTooManyVectors, .vectorsPieceBegunAgain, .vectorsRestOfPieceSkipped, .vectorsFirstCallOnly,
            .vectorsZeroIsNotProgress,
        ]
    ) { trial in
        for most in [1, 7, 100] {
            let pieces = (0..<60).map { trial.random.letters($0 % 7 == 0 ? 0 : $0) }
            try trial.expectWritten(pieces, plan: .most(most, each: .send))
        }
        // Behind the rest of a piece there is room for one piece less.
        let pieces = (0..<2500).map { _ in trial.random.letters(10) }
        try trial.expectWritten(pieces, plan: .most(95, first: .send))
    },
    Check("vectors-eintr") { trial in
        try trial.expectWritten(
            (0..<10).map { _ in trial.random.letters(10) }, plan: .fail(.send, 1, through: 3, with: EINTR))
    },
    Check("vectors-broken", suspects: [.breakUnnoticed]) { trial in
        let listener = try trial.listen(smallBuffers: true)
        let pieces = Value.list((0..<64).map { _ in .bytes(trial.random.letters(8 << 10)) })
        let call = try trial.begin("write-vectors", [listener.socketArgument, pieces], plan: FaultPlan.none)
        let peer = try listener.accept(from: call)
        _ = try call.subject.waitForTimeline { $0.calls.first(where: \.isSend) }
        peer.halfClose()
        peer.reset()
        try expectSocketError([EPIPE, ECONNRESET], from: call)
    },
]

extension Trial {
    /// All of it arrives, and nothing else.
    ///
    /// - Returns: the calls that it took.
    @discardableResult
    fileprivate func expectWritten(
        _ pieces: [[UInt8]], plan: FaultPlan = .none, smallBuffers: Bool = false
    ) throws -> [Call] {
        let listener = try listen(smallBuffers: smallBuffers)
        let call = try begin(
            "write-vectors", [listener.socketArgument, .list(pieces.map(Value.bytes))], plan: plan)
        let peer = try listener.accept(from: call)
        let bytes = pieces.flatMap { $0 }
        let sizes = pieces.isEmpty ? say("no pieces", "没有任何段") : say("pieces: \(pieces.count)", "\(pieces.count) 段")
        do { try peer.expect(bytes) } catch var failure as Failure {
            if bytes.isEmpty { failure.expected = sizes }
            throw failure
        }
        _ = try call.value(expecting: say("write-vectors returns (\(sizes))", "write-vectors 返回（\(sizes)）"))
        try peer.expectEnd()
        try expectLeftOpen(call.subject, closes: 1)
        return call.subject.timeline.calls
    }
}

extension Cause {
    fileprivate static let vectorsCallForEachPiece = Cause("call-for-each-piece") { evidence in
        let sends = evidence.timeline.calls.filter(\.isSend)
        guard sends.count > 50, sends.allSatisfy({ $0.length <= 100 }) else { return nil }
        return say("\(sends.count) calls of \(sends[0].name)", "\(sends[0].name) 调用了 \(sends.count) 次")
    }

    /// The pieces of the first call have gone, all of them, and none went after them. (Shorter lists are no test of how many
    /// a call takes.)
    fileprivate static let vectorsFirstCallOnly = Cause("pieces-left-over") { evidence in
        let sends = evidence.timeline.calls.filter { $0.isSend && $0.error != EINTR }
        guard let first = sends.first, first.pieces ?? 1 > 60, let last = sends.last, last.result == last.length,
            zip(sends, sends.dropFirst()).allSatisfy({ $1.length == $0.length - Int($0.result) })
        else { return nil }
        return first.text(now: evidence.now)
    }

    fileprivate static let vectorsCopiedIntoOne = Cause("copied-into-one") { evidence in
        let send = evidence.timeline.calls.first { $0.isSend && $0.length > 1000 && ($0.pieces ?? 1) == 1 }
        return send?.callText
    }

    fileprivate static let vectorsTooManyVectors = Cause("too-many-vectors") { evidence in
        evidence.timeline.calls.last {
            $0.isSend && ($0.error == EINVAL || $0.error == EMSGSIZE) && ($0.pieces ?? 0) > 1024
        }
        .map { $0.text(now: evidence.now) }
    }

    /// Asked to send nothing, the call says 0, and is asked again; or 0 was taken for an error.
    fileprivate static let vectorsZeroIsNotProgress = Cause("zero-is-not-progress") { evidence in
        guard let last = evidence.timeline.calls.last(where: \.isSend), last.length == 0, !last.failed else {
            return nil
        }
        return last.text(now: evidence.now)
    }

    /// After a part of a piece, all of the piece again.
    fileprivate static let vectorsPieceBegunAgain = Cause("sent-again-from-the-start") { evidence in
        let sends = evidence.timeline.calls.filter { $0.isSend && $0.result > 0 }
        for (call, next) in zip(sends, sends.dropFirst())
        where call.result < call.length && call.result < 8 && call.data.count > 8 && next.data == call.data {
            return next.text(now: evidence.now)
        }
        return nil
    }

    /// After a part of a piece, the piece behind it.
    fileprivate static let vectorsRestOfPieceSkipped = Cause("rest-of-piece-lost") { evidence in
        let sends = evidence.timeline.calls.filter { $0.isSend && $0.result > 0 }
        for (call, next) in zip(sends, sends.dropFirst()) where call.result < call.length {
            let rest = call.data.dropFirst(Int(call.result))
            if !zip(next.data, rest).allSatisfy({ $0 == $1 }) { return next.text(now: evidence.now) }
        }
        return nil
    }
}

extension [Call] {
    /// Several pieces a call, and always the same small number of them.
    fileprivate var takeFewPieces: Bool {
        let most = map { $0.pieces ?? 0 }.max() ?? 0
        return (2...512).contains(most) && count > 2 && dropLast().allSatisfy { $0.pieces == most }
    }
}
