// Checks of exercise 13 send-file: what arrives, and in the tap, that the kernel did the work.
import Course
import GraderKit
import Sockets
import Wire

let lesson13SendFileChecks: [Check] = [
    Check("file-whole") { trial in
        for (header, size) in [("HTTP/1.1 200 OK\r\n\r\n", 100_000), ("", 5000), ("only this", 0)] {
            let content = trial.random.bytes(size)
            try trial.expectSent(Array(header.utf8), try trial.writeFile("whole", content), content, 0..<size)
        }
    },
    Check("file-part") { trial in
        let content = trial.random.bytes(100_000)
        let file = try trial.writeFile("parts", content)
        for part in [1..<11, 50_000..<90_000, 99_990..<100_000, 100_000..<100_000] {
            try trial.expectSent(Array("part ".utf8), file, content, part)
        }
    },
    Check("file-kernel", suspects: [.fileCopiedThroughMemory]) { trial in
        let content = trial.random.bytes(200_000)
        let header = trial.random.letters(50)
        let calls = try trial.expectSent(header, try trial.writeFile("kernel", content), content, 0..<content.count)
        let moved = calls.filter { $0.name == "sendfile" && $0.result > 0 }.reduce(0) { $0 + Int($1.result) }
        let copied = calls.filter { $0.isSend && $0.name != "sendfile" && $0.result > 0 }.reduce(0) {
            $0 + Int($1.result)
        }
        guard moved == content.count, copied == header.count else {
            throw Failure(
                expected: say(
                    "sendfile moves all \(content.count) bytes of the file, and other calls the header only",
                    "文件的 \(content.count) 字节全部由 sendfile 发送，其他调用只发头部"),
                got: say(
                    "sendfile moved \(moved), other calls \(copied) bytes",
                    "sendfile 发了 \(moved) 字节，其他调用发了 \(copied) 字节"),
                cause: copied > header.count ? "copied-through-memory" : nil)
        }
    },
    Check("file-header") { trial in
        #if os(Linux)
        let content = trial.random.letters(1000)
        let header = trial.random.letters(20)
        let file = try trial.writeFile("small", content)
        for count in [content.count, 1] {
            let calls = try trial.expectSent(header, file, content, 0..<count)
            guard let first = calls.first(where: \.isSend), calls.heldBack(first) else {
                throw Failure(
                    expected: say(
                        "the header waits for the content: MSG_MORE, or TCP_CORK", "头部等内容一起走：MSG_MORE 或 TCP_CORK"),
                    got: calls.first(where: \.isSend)?.callText ?? say("nothing was sent", "什么也没有发送"),
                    cause: "header-alone")
            }
        }
        let alone = try trial.expectSent(header, file, content, 0..<0)
        let last = alone.last { $0.isSend || $0.corks }
        if let held = alone.last(where: \.isSend), alone.heldBack(held) && last?.uncorks != true {
            throw Failure(
                expected: say("a header that nothing follows is not held back", "后面没有内容时，头部不等待"),
                got: held.callText, cause: "more-never-came")
        }
        #else
        throw Unavailable(say("only Linux has MSG_MORE", "只有 Linux 有 MSG_MORE"))
        #endif
    },
    Check(
        "file-short", suspects: [.fileHeaderCutShort, .fileSentTooMuch(30_500), .fileShortSendfile, .filePartSentAgain]
    ) { trial in
        let content = trial.random.bytes(30_000)
        let plan = FaultPlan.fail(.send, every: 3, with: EINTR) + .most(999, each: .send)
        try trial.expectSent(
            trial.random.letters(2500), try trial.writeFile("short", content), content, 1000..<29_000, plan: plan)
    },
    Check("file-changes", suspects: [.fileEndOfFileUnnoticed]) { trial in
        let size = 1 << 20
        // What is left differs from what is missing, so that one is not taken for the other.
        for newSize in [size + 100_000, size / 8 * 3] {
            let file = try trial.writeFile("log", [])
            try check("truncate", truncate(file, off_t(size)))
            // At the end of the file errno is still the EINTR of before, which says nothing any more.
            let plan = FaultPlan.fail(.send, 1, with: EINTR)
            let (call, peer) = try trial.beginSend([], file, 0, size, plan: plan, smallBuffers: true)
            // It stands in the middle of the file: the peer has read nothing, and the buffers hold far less.
            _ = try call.subject.waitForTimeline { $0.calls.filter(\.isSend).dropFirst().first }
            try check("truncate", truncate(file, off_t(newSize)))
            trial.note(say("the file now has \(newSize) bytes", "文件现在有 \(newSize) 字节"))
            let came = try peer.receiveToEnd().count
            let outcome = try call.outcome()
            if newSize < size {
                try trial.expectCutShort(outcome, came)
            } else {
                try trial.expect(came, equals: size, say("bytes of a file that grew meanwhile", "文件中途变长，收到的字节数"))
                if case .threw = outcome {
                    throw Failure(expected: say("sendFile returns", "sendFile 正常返回"), got: outcome.text)
                }
            }
        }
    },
    Check("file-refuses") { trial in
        try trial.makeFolder("folder")
        let file = try trial.writeFile("file", trial.random.bytes(1000))
        let cases: [(String, Int, Int, String)] = [
            (trial.folder + "/no-such-file", 0, 0, say("a file that does not exist", "文件不存在")),
            (trial.folder + "/folder", 0, 10, say("a folder", "传入目录")),
            (file, 0, 1001, say("1,001 bytes of a file of 1,000", "文件只有 1,000 字节，要发 1,001 字节")),
            (file, 600, 401, say("401 bytes from byte 600 on of a file of 1,000", "文件只有 1,000 字节，要从 600 起发 401 字节")),
            (file, 1001, 0, say("a part that begins behind the end", "起点超过文件末尾")),
        ]
        for (path, offset, count, what) in cases {
            let (call, peer) = try trial.beginSend(Array("header".utf8), path, offset, count)
            let outcome = try call.outcome()
            let nothing = say("nothing is sent: \(what)", "什么也不发：\(what)")
            if case .bytes(let sent) = try peer.receive(64, until: Deadline(), expected: nothing) {
                throw Failure(expected: nothing, got: quoted(sent), cause: "header-before-open")
            }
            if case .returned = outcome {
                throw Failure(
                    expected: say("sendFile throws: \(what)", "sendFile 抛出错误：\(what)"), got: outcome.text)
            }
        }
    },
    Check("file-broken", suspects: [.breakUnnoticed]) { trial in
        let size = 4 << 20
        let file = try trial.writeFile("large", [])
        try check("truncate", truncate(file, off_t(size)))
        // In the middle of the file, and of a header that is as long.
        for (header, count) in [([], size), (trial.random.letters(size), 1000)] {
            let (call, peer) = try trial.beginSend(header, file, 0, count, smallBuffers: true)
            _ = try call.subject.waitForTimeline { $0.calls.first(where: \.isSend) }
            peer.halfClose()
            peer.reset()
            try expectSocketError([EPIPE, ECONNRESET], from: call)
        }
    },
    Check("file-closed") { trial in
        let process = try trial.launch()
        let file = try trial.writeFile("large", [])
        try check("truncate", truncate(file, 4 << 20))
        // Three ways out: it went well, the peer left, there is no such part.
        let (first, reader) = try trial.beginSend([], file, 0, 1000, in: process)
        _ = try reader.receiveToEnd()
        _ = try first.outcome()
        let (second, leaver) = try trial.beginSend([], file, 0, 4 << 20, in: process, smallBuffers: true)
        _ = try process.waitForTimeline { $0.calls.last { $0.isSend && $0.length > 1000 } }
        leaver.reset()
        _ = try second.outcome()
        let asked = now()
        let (third, _) = try trial.beginSend([], file, 0, 5 << 20, in: process)
        do { _ = try third.outcome() } catch var failure as Failure {
            let hasSent = process.timeline.calls.contains { $0.isSend && $0.entered > asked }
            if hasSent { failure.cause = "header-before-open" }
            throw failure
        }
        try trial.expectClosedFiles(process)
    },
]

extension Trial {
    fileprivate func beginSend(
        _ header: [UInt8], _ path: String, _ offset: Int, _ count: Int, plan: FaultPlan = .none,
        in process: Subject? = nil, smallBuffers: Bool = false
    ) throws -> (PendingCall, StreamPeer) {
        let listener = try listen(smallBuffers: smallBuffers)
        let arguments = [listener.socketArgument, .bytes(header), .string(path), .int(offset), .int(count)]
        let call = try begin("send-file", arguments, plan: plan, in: process)
        return (call, try listener.accept(from: call))
    }

    /// The header and this part of the file arrive, and nothing else.
    ///
    /// - Returns: the calls that it took.
    @discardableResult
    fileprivate func expectSent(
        _ header: [UInt8], _ path: String, _ content: [UInt8], _ part: Range<Int>, plan: FaultPlan = .none
    ) throws -> [Call] {
        let (call, peer) = try beginSend(header, path, part.lowerBound, part.count, plan: plan)
        note(
            say(
                "\(part.count) bytes of the file from \(part.lowerBound) on",
                "文件中从 \(part.lowerBound) 起的 \(part.count) 字节"))
        do { try peer.expect(header + content[part]) } catch var failure as Failure {
            let began = peer.received.dropFirst(header.count).prefix(min(part.count, 16))
            if part.isEmpty {
                failure.cause = "header-forgotten"
            } else if began.count >= 4, peer.received.starts(with: header), !content[part].starts(with: began),
                content.indices.contains(where: { content[$0...].starts(with: began) })
            {
                // It is in the file, and not where the part begins.
                failure.cause = "offset-ignored"
            }
            throw failure
        }
        _ = try call.value()
        try peer.expectEnd()
        try expectLeftOpen(call.subject, closes: 1)
        return call.subject.timeline.calls.filter { $0.isSend || $0.name == "setsockopt" }
    }

    fileprivate func expectCutShort(_ outcome: PendingCall.Outcome, _ came: Int) throws {
        let name = "cutShort(after: \(came))"
        if case .threw("TransferError", _, _, name) = outcome { return }
        throw Failure(
            expected: say(
                "the file became shorter: it throws TransferError.\(name), as many as were sent",
                "文件变短了：抛出 TransferError.\(name)，即已发出的字节数"),
            got: outcome.text, cause: { if case .returned = outcome { "end-of-file-unnoticed" } else { nil } }())
    }
}

#if os(Linux)
extension Call {
    fileprivate func sets(_ option: Int32, to value: Int32) -> Bool {
        name == "setsockopt" && arguments == (Int64(IPPROTO_TCP as Int32), Int64(option)) && data.count == 4
            && data.withUnsafeBytes { ($0.loadUnaligned(as: Int32.self) == 0) == (value == 0) }
    }

    fileprivate var corks: Bool { name == "setsockopt" && arguments.1 == Int64(TCP_CORK) }

    fileprivate var uncorks: Bool { sets(Int32(TCP_CORK), to: 0) }
}

extension [Call] {
    /// Was the kernel told, with this call or before it, to wait for more?
    fileprivate func heldBack(_ call: Call) -> Bool {
        if call.saysMore { return true }
        let before = filter { $0.entered < call.entered }
        return before.last(where: \.corks)?.sets(Int32(TCP_CORK), to: 1) ?? false
    }
}
#endif

extension Cause {
    fileprivate static let fileCopiedThroughMemory = Cause("copied-through-memory") { evidence in
        guard evidence.timeline.count("sendfile") == 0,
            let send = evidence.timeline.calls.last(where: { $0.isSend && $0.length > 1000 })
        else { return nil }
        return send.callText
    }

    fileprivate static let fileShortSendfile = Cause("short-send-ignored") { evidence in
        guard let call = evidence.timeline.calls("sendfile").last, call.result > 0, call.result < call.length,
            evidence.failure.difference.isEmpty
        else { return nil }
        return say(
            "sendfile took \(call.result) of \(call.length) bytes",
            "sendfile 只接受了 \(call.length) 字节中的 \(call.result) 字节")
    }

    /// After short counts the last call asked for more than was left.
    fileprivate static func fileSentTooMuch(_ promised: Int) -> Cause {
        Cause("announced-size-broken") { evidence in
            let sent = evidence.timeline.calls.filter(\.isSend).reduce(0) { $0 + max(0, Int($1.result)) }
            return sent > promised ? say("\(sent) bytes for \(promised)", "本该 \(promised) 字节，发了 \(sent)") : nil
        }
    }

    /// Of the header a part was taken, and the file came next.
    fileprivate static let fileHeaderCutShort = Cause("short-send-ignored") { evidence in
        let sends = evidence.timeline.calls.filter(\.isSend)
        guard let file = sends.firstIndex(where: { $0.name == "sendfile" && $0.result > 0 }),
            let last = sends[..<file].last(where: { $0.result > 0 }), last.result < last.length
        else { return nil }
        return last.text(now: evidence.now)
    }

    /// After a short count it went on at another place than where it was.
    fileprivate static let filePartSentAgain = Cause("wrong-place-after-short") { evidence in
        guard !evidence.failure.difference.isEmpty,
            evidence.timeline.calls("sendfile").contains(where: { $0.result > 0 && $0.result < $0.length })
        else { return nil }
        return ""
    }

    /// sendfile said 0 again and again.
    fileprivate static let fileEndOfFileUnnoticed = Cause("sendfile-said-zero") { evidence in
        let zeros = evidence.timeline.calls("sendfile").filter { $0.returned != nil && $0.result == 0 }
        guard zeros.count > 2 else { return nil }
        return say("sendfile returned 0 \(zeros.count) times", "sendfile 返回了 \(zeros.count) 次 0")
    }
}
