// Checks of exercise 13 buffered-socket: what the program says of each operation, what the peer gets, and how many calls
// that took.
import Course
import GraderKit
import Sockets
import Wire

let bufferedSocketChecks: [Check] = [
    Check("buffered-lines", suspects: [.bufferedByteByByte, .bufferedLineByLine]) { trial in
        let buffered = try trial.makeBuffered(capacity: 4096)
        // Empty lines, bytes that are no text, and carriage returns are content like any other.
        let lines = (0..<1000).map { index -> [UInt8] in
            let bytes = trial.random.bytes(index % 18).map { $0 == UInt8(ascii: "\n") ? 0xff : $0 }
            return index % 10 == 3 ? bytes + [UInt8(ascii: "\r")] : bytes
        }
        try buffered.peer.send(Array(lines.map { $0 + [UInt8(ascii: "\n")] }.joined()))
        try buffered.peer.waitUntilDelivered()
        let answers = try buffered.answers(Array(repeating: .line, count: lines.count))
        for (index, line) in lines.enumerated() {
            try trial.expect(
                answers[index], says: .bytes(line), say("line \(index + 1)", "第 \(index + 1) 行"),
                cause: line.contains(0) && !lines[..<index].contains { $0.contains(0) }
                    ? "stops-at-zero" : changed(line, to: answers[index]))
        }
        try buffered.expectFewCalls(
            20, say("recv calls for 1,000 lines that were all there", "1,000 行都已到达，recv 的次数"), where: \.isReceive)
    },
    Check("buffered-mixed", suspects: [.bufferedPassedOver]) { trial in
        for most in [1, 7, 4096] {
            let buffered = try trial.makeBuffered(capacity: 4096, plan: .most(most, each: .receive))
            let body = trial.random.bytes(300)
            try buffered.peer.send(Array("PUT /a\nlength 300\n\n".utf8) + body + Array("next\n".utf8))
            try buffered.peer.waitUntilDelivered()
            let reads: [Operation] = [.line, .line, .line, .exactly(200), .exactly(0), .exactly(100), .line]
            let answers = try buffered.answers(reads)
            let expected: [[UInt8]] = [
                Array("PUT /a".utf8), Array("length 300".utf8), [], Array(body[..<200]), [], Array(body[200...]),
                Array("next".utf8),
            ]
            let sent = Array("PUT /a\nlength 300\n\n".utf8) + body + Array("next\n".utf8)
            var rest = sent[...]
            for (index, bytes) in expected.enumerated() {
                try trial.expect(
                    answers[index], says: .bytes(bytes), say("read \(index + 1)", "第 \(index + 1) 次读"),
                    cause: comesLater(answers[index], in: rest) ? "buffer-passed-over" : nil)
                if case .line = reads[index] { rest = rest.dropFirst() }
                rest = rest.dropFirst(bytes.count)
            }
        }
    },
    Check("buffered-dialogue", suspects: [.bufferedWaitsForMore]) { trial in
        let buffered = try trial.makeBuffered(capacity: 4096)
        for (operation, bytes, expected) in [
            (Operation.line, "ping\n", "ping"), (.exactly(4), "four", "four"), (.line, "again\n", "again"),
        ] {
            // There is no more until this has been answered.
            try buffered.peer.send(bytes)
            let answer = try buffered.answers([operation])[0]
            try trial.expect(answer, says: .bytes(Array(expected.utf8)), say("what it read", "读到的内容"))
        }
    },
    Check("buffered-end") { trial in
        let lines = try trial.makeBuffered(capacity: 4096)
        try lines.peer.send("one\ntwo")
        lines.peer.halfClose()
        let answers = try lines.answers([.line, .line, .line, .line])
        for (index, expected) in [Value.bytes(Array("one".utf8)), .bytes(Array("two".utf8)), .none, .none].enumerated()
        {
            try trial.expect(
                answers[index], says: expected, say("readLine \(index + 1)", "第 \(index + 1) 次 readLine"),
                cause: index == 1 && answers[index] == .none
                    ? "last-line-lost" : index > 1 && answers[index] == .bytes([]) ? "end-taken-for-line" : nil)
        }
        let bytes = try trial.makeBuffered(capacity: 4096)
        try bytes.peer.send("abc")
        bytes.peer.halfClose()
        let answer = try bytes.answers([.exactly(5)])[0]
        guard case .list(let words) = answer,
            words.prefix(3) == [
                .string("threw"), .string("StreamError"), .string("ended(received: 3)"),
            ]
        else {
            throw Failure(
                expected: say(
                    "readExactly(5) throws StreamError.ended(received: 3)",
                    "readExactly(5) 抛出 StreamError.ended(received: 3)"),
                got: answer.outcomeText)
        }
    },
    Check("buffered-long-line") { trial in
        let buffered = try trial.makeBuffered(capacity: 1000)
        let longest = trial.random.letters(1000)
        try buffered.peer.send(longest + [UInt8(ascii: "\n")])
        let first = try buffered.answers([.line])[0]
        try trial.expect(
            first, says: .bytes(longest), say("a line of 1,000 bytes", "1,000 字节的一行"),
            cause: first.thrown?.type == "FramingError" ? "limit-off-by-one" : nil)
        // Who says how many bytes it shall be has no such limit.
        let body = trial.random.letters(2500)
        try buffered.peer.send(body)
        let whole = try buffered.answers([.exactly(body.count)])[0]
        try trial.expect(
            whole, says: .bytes(body), "readExactly(2500)",
            cause: whole.thrown?.type == "FramingError" ? "limit-for-exact-count" : nil)
        // It need not wait for the newline to know that this is too much; and one that is there changes nothing.
        for line in [trial.random.letters(1001), trial.random.letters(1500) + [UInt8(ascii: "\n")]] {
            let buffered = try trial.makeBuffered(capacity: 1000)
            try buffered.peer.send(line)
            let answer: Value
            do { answer = try buffered.answers([.line])[0] } catch var failure as Failure {
                // All of it has come, and it waits for the newline.
                if line.count == 1001, buffered.received == line.count { failure.cause = "no-line-limit" }
                throw failure
            }
            guard case .list(let words) = answer,
                words.prefix(3) == [.string("threw"), .string("FramingError"), .string("tooLong(limit: 1000)")]
            else {
                throw Failure(
                    expected: line.count == 1001
                        ? say(
                            "FramingError.tooLong(limit: 1000) after 1,001 bytes without a newline",
                            "1,001 字节仍无换行时抛出 FramingError.tooLong(limit: 1000)")
                        : say(
                            "FramingError.tooLong(limit: 1000) for a line of 1,500 bytes",
                            "1,500 字节的一行抛出 FramingError.tooLong(limit: 1000)"),
                    got: answer.outcomeText, cause: answer.thrown?.type == "FramingError" ? nil : "no-line-limit")
            }
        }
    },
    Check("buffered-writes", suspects: [.bufferedSendsEachWrite, .bufferedNeverSends]) { trial in
        let message = trial.random.letters(10_000)
        // One write that fills it to its last byte has filled it.
        let filled = try trial.makeBuffered(capacity: 8192)
        try filled.expectDone([.write(Array(message[..<8192]))])
        try filled.expectRoom(capacity: 8192, written: 8192)
        let buffered = try trial.makeBuffered(capacity: 8192)
        try buffered.expectDone([.writeEach(message, 10)])
        try buffered.expectRoom(capacity: 8192, written: message.count)
        try buffered.expectDone([.flush])
        try buffered.peer.expect(message)
        try buffered.expectFewCalls(
            10, say("send calls for 1,000 writes of 10 bytes", "写 1,000 次、每次 10 字节，send 的次数"), where: \.isSend,
            cause: "no-write-buffer")
        let large = trial.random.letters(100_000)
        let before = buffered.sends.count
        try buffered.expectDone([.write(Array("begin ".utf8)), .write(large), .write(Array("end".utf8)), .flush])
        do { try buffered.peer.expect(Array("begin ".utf8) + large + Array("end".utf8)) } catch var failure as Failure {
            let first = buffered.sends.dropFirst(before).first?.data ?? []
            if first.count >= 6 && large.starts(with: first.prefix(6)) { failure.cause = "overtook-the-buffer" }
            throw failure
        }
    },
    Check("buffered-flush", suspects: [.bufferedSendsEachWrite]) { trial in
        let buffered = try trial.makeBuffered(capacity: 8192)
        try buffered.expectDone([.write(Array("abc".utf8)), .write(Array("def".utf8))])
        let early = buffered.sends
        guard early.isEmpty else {
            throw Failure(
                expected: say("nothing is sent before the flush", "flush 之前什么也不发"), got: early[0].callText,
                cause: "no-write-buffer")
        }
        try buffered.expectDone([.flush])
        try buffered.peer.expect("abcdef")
        let count = buffered.sends.count
        try buffered.expectDone([.flush])
        let more = buffered.sends.dropFirst(count)
        guard more.isEmpty else {
            throw Failure(
                expected: say("a flush with nothing to send makes no call", "没有东西可发时，flush 不做任何调用"),
                got: more.first?.callText ?? "", cause: "flushed-nothing")
        }
        try trial.expectLeftOpen(buffered.process)
        try buffered.expectNothingMore()
    },
    Check("buffered-short") { trial in
        let buffered = try trial.makeBuffered(capacity: 8192, plan: .most(7, each: .send))
        let message = trial.random.letters(1000)
        try buffered.expectDone([.write(message), .flush])
        try buffered.expectAll(message, after: say("one flush", "一次 flush"))
    },
    Check("buffered-eintr", suspects: [.readsPastTheEnd, .bufferedPassedOver]) { trial in
        let plan = FaultPlan.fail(.send, 1, through: 3, with: EINTR) + .fail(.receive, 1, through: 3, with: EINTR)
        let buffered = try trial.makeBuffered(capacity: 4096, plan: plan)
        try buffered.expectDone([.write(Array("question".utf8)), .flush])
        try buffered.peer.expect("question")
        try buffered.peer.send("answer\n12345")
        let answers = try buffered.answers([.line, .exactly(5)])
        try trial.expect(answers[0], says: .bytes(Array("answer".utf8)), say("the line", "读到的行"))
        try trial.expect(answers[1], says: .bytes(Array("12345".utf8)), say("the 5 bytes", "读到的 5 个字节"))
        // At the end of the stream errno is still the EINTR of before, which says nothing any more.
        let ended = try trial.makeBuffered(capacity: 4096, plan: plan)
        ended.peer.halfClose()
        let end = try ended.answers([.line])[0]
        try trial.expect(
            end, says: .none, say("readLine at the end of the stream", "流结束时的 readLine"),
            cause: end == .bytes([]) ? "end-taken-for-line" : nil)
    },
    Check("buffered-send-fails", suspects: [.bufferedFlushesAgain]) { trial in
        let plan = FaultPlan.most(1000, each: .send) + .fail(.send, 3, with: ENOBUFS)
        let buffered = try trial.makeBuffered(capacity: 8192, plan: plan)
        let message = trial.random.letters(5000)
        try buffered.expectDone([.write(message)])
        try buffered.expectError(ENOBUFS, of: .flush, says: try buffered.answers([.flush])[0])
        try buffered.expectDone([.flush])
        try buffered.expectAll(message, after: say("the second flush", "第二次 flush"))
        // A write that fills the buffer flushes, and may fail just so. What it was given is in the buffer all the same.
        let full = try trial.makeBuffered(capacity: 8192, plan: plan)
        let more = trial.random.letters(5000)
        try full.expectDone([.write(message)])
        let written = try full.answers([.write(more)])[0]
        // It may also stop as soon as there is room again: then it is the flush that meets the error.
        try full.expectError(
            ENOBUFS, of: .write(more), says: written.thrown == nil ? try full.answers([.flush])[0] : written)
        try full.expectDone([.flush])
        try full.expectAll(
            message + more, after: say("a write that failed, and a flush", "一次失败的 write 和一次 flush"),
            cause: "write-lost-on-error")
    },
    Check("buffered-receive-fails", suspects: [.bufferedLost]) { trial in
        for operation in [Operation.line, .exactly(11)] {
            let buffered = try trial.makeBuffered(capacity: 4096, plan: .fail(.receive, 2, with: ENOMEM))
            try buffered.peer.send("hello ")
            let call = try buffered.begin([operation])
            _ = try call.subject.waitForTimeline { $0.calls.first { $0.isReceive && $0.result > 0 } }
            // Something to receive, for those who look before they call.
            try buffered.peer.send("wor")
            try buffered.expectError(ENOMEM, of: operation, says: try buffered.answers(of: call, [operation])[0])
            try buffered.peer.send("ld\n")
            let whole = Array("hello world".utf8)
            let answer = try buffered.answers([operation])[0]
            var isTail = false
            if case .bytes(let got) = answer { isTail = !got.isEmpty && whole.suffix(got.count) == got[...] }
            try trial.expect(
                answer, says: .bytes(whole),
                say("the next read, after the first one failed in the middle", "上一次读到一半失败之后，下一次读到的内容"),
                cause: isTail ? "lost-on-error" : nil)
        }
    },
    Check("buffered-broken", suspects: [.breakUnnoticed]) { trial in
        let buffered = try trial.makeBuffered(capacity: 1 << 20, smallBuffers: true)
        try buffered.expectDone([.write(trial.random.letters(512 << 10))])
        let call = try buffered.begin([.flush])
        // A reset behind the end of the stream: send fails with EPIPE, and not with ECONNRESET first.
        _ = try call.subject.waitForTimeline { $0.calls.first(where: \.isSend) }
        buffered.peer.halfClose()
        buffered.peer.reset()
        let answer = try buffered.answers(of: call, [.flush])[0]
        guard let code = answer.thrownCode, [EPIPE, ECONNRESET].contains(code) else {
            throw Failure(
                expected: say(
                    "flush throws SocketError EPIPE or ECONNRESET", "flush 抛出 SocketError EPIPE 或 ECONNRESET"),
                got: answer.outcomeText)
        }
    },
]
