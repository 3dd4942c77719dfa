// Lesson 05: receiveFile. The grader plays the sender, kind and unkind.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

let receiveFileChecks: [Check] = [
    Check("receive-file-content", suspects: [.nameLengthInHostOrder, .waitsForMoreThanAnnounced, .readsBeyondTheFile]) {
        trial in
        let inbox = try Inbox(trial)
        for (name, content) in [("report.txt", trial.random.bytes(100_000)), ("empty", [])] {
            try inbox.expectReceived(name, content)
        }
        try inbox.expectNames(["empty", "report.txt"])
    },
    Check("receive-file-names", suspects: [.waitsForMoreThanAnnounced, .readsBeyondTheFile]) { trial in
        let inbox = try Inbox(trial)
        let longest = String(repeating: "n", count: 251) + ".txt"
        for name in ["报告 2024.txt", "...", "a..b", ".hidden", "-rf", #"back\slash"#, "cafe\u{301}", longest] {
            let (outcome, _) = try inbox.receive([transfer(name, Array("x".utf8))])
            guard case .threw(_, let error, let code, _) = outcome else {
                try inbox.expectReturned([name], outcome)
                continue
            }
            let cause =
                code == ENAMETOOLONG ? "name-too-long-for-temporary" : error == "badName" ? "good-name-refused" : nil
            throw Failure(expected: say("\"\(name)\" is received", "接收 \"\(name)\""), got: outcome.text, cause: cause)
        }
        let all: Set = ["报告 2024.txt", "...", "a..b", ".hidden", "-rf", #"back\slash"#, "cafe\u{301}", longest]
        try inbox.expectNames(all)
        // No file can have this name, but the stream is whole: its length needs both bytes.
        let (outcome, _) = try inbox.receive(
            [transfer(String(repeating: "n", count: 300), Array("x".utf8))], thenEnd: true)
        switch outcome {
        case .threw(_, let error, _, _) where error != "cutShort": break
        default:
            throw Failure(
                expected: say(
                    "receiveFile throws for a name of 300 bytes: no file can have it",
                    "名字有 300 字节时 receiveFile 抛出错误：没有文件能叫这个名字"),
                got: outcome.text)
        }
        try inbox.expectNames(all)
    },
    Check("receive-file-short-reads", suspects: [.oneReceiveForAll, .waitsForMoreThanAnnounced, .readsBeyondTheFile]) {
        trial in
        let inbox = try Inbox(trial)
        let plan = FaultPlan.fail(.receive, every: 5, with: EINTR) + .most(3, each: .receive)
        try inbox.expectReceived("short.bin", trial.random.bytes(1000), plan: plan)
        try inbox.expectNames(["short.bin"])
    },
    Check("receive-file-two", suspects: [.closedTheSocket, .waitsForMoreThanAnnounced, .readsBeyondTheFile]) { trial in
        let inbox = try Inbox(trial)
        let (first, second) = (trial.random.bytes(1000), trial.random.bytes(10))
        let (call, peer) = try inbox.begin(files: 2)
        try peer.send(transfer("first", first) + transfer("second", second))
        do { try inbox.expectReturned(["first", "second"], try call.outcome()) } catch var failure as Failure {
            // A library that receives for it leaves no calls, and takes as much as its buffer holds.
            let hasFirst = FileManager.default.contents(atPath: inbox.path + "/first") == Data(first)
            if hasFirst, !inbox.names.contains("second"), !call.subject.timeline.calls.contains(where: \.isReceive) {
                failure.cause = failure.cause ?? "reads-beyond-the-file"
            }
            throw failure
        }
        try inbox.expectContent("first", first)
        try inbox.expectContent("second", second)
        try inbox.expectNames(["first", "second"])
    },
    Check("receive-file-bad-names") { trial in
        let inbox = try Inbox(trial)
        try trial.makeFolder("inbox/sub")
        let outside = Array((trial.folder + "/outside").utf8)
        // With a mark behind it the slash is no Character of its own, and still a byte.
        let texts = [
            "", ".", "..", "../escaped", "sub/inner", "sub/../../escaped", "nul\0.txt", "..\0", "../\u{301}escaped",
        ]
        let notText: [[UInt8]] = [[0xff, 0xfe], [0x61, 0xc0, 0xaf, 0x62], [0xed, 0xa0, 0x80]]
        for name in texts.map({ Array($0.utf8) }) + [outside] + notText {
            let before = inbox.everything
            let (outcome, _) = try inbox.receive([transfer(name, Array("x".utf8))])
            let after = inbox.everything
            let expected = say(
                "TransferError.badName for the name \(quoted(name, most: 40)), and nothing written",
                "名字 \(quoted(name, most: 40)) 抛出 TransferError.badName，什么也不写")
            if let new = after.subtracting(before).sorted().first {
                // In the folder itself, under another name: the bad name was cut or repaired. Elsewhere: it led there.
                let isInFolder = new.hasPrefix("inbox/") && !new.dropFirst("inbox/".count).contains("/")
                throw Failure(
                    expected: expected, got: say("a new file: \(new)", "多了一个文件：\(new)"),
                    cause: isInFolder ? "name-repaired" : "path-escapes")
            }
            if case .threw("TransferError", "badName", _, _) = outcome { continue }
            throw Failure(expected: expected, got: outcome.text)
        }
    },
    Check("receive-file-cut-short", suspects: [.readsPastTheEnd]) { trial in
        let inbox = try Inbox(trial)
        let old = Array("the old file".utf8)
        _ = try trial.writeFile("inbox/data.bin", old)
        let content = trial.random.bytes(70_000)
        let stream = transfer("data.bin", content)
        let header = stream.count - content.count
        for cut in [0, 1, 6, header - 1, header, header + 1, stream.count - 1] {
            let (outcome, _) = try inbox.receive([Array(stream[..<cut])], thenEnd: true)
            try inbox.expectCutShort(after: max(0, cut - header), headerLength: header, outcome, cut, of: stream.count)
            try inbox.expectContent("data.bin", old, cause: "overwrote-in-place")
            try inbox.expectNames(["data.bin"])
        }
        // And where errno is still the EINTR of before at the end, which says nothing any more.
        for cut in [1, stream.count - 1] {
            let (outcome, _) = try inbox.receive(
                [Array(stream[..<cut])], thenEnd: true, plan: .fail(.receive, 2, through: 3, with: EINTR))
            try inbox.expectCutShort(after: max(0, cut - header), headerLength: header, outcome, cut, of: stream.count)
        }
    },
    Check("receive-file-reset") { trial in
        let inbox = try Inbox(trial)
        let stream = transfer("data.bin", trial.random.bytes(100_000))
        // Within the header, and within the content.
        for count in [5, stream.count - 1000] {
            let (call, peer) = try inbox.begin()
            try peer.send(Array(stream[..<count]))
            peer.reset()
            let outcome = try call.outcome()
            if case .returned = outcome {
                throw Failure(
                    expected: say("receiveFile throws when the connection is reset", "连接被重置时 receiveFile 抛出错误"),
                    got: outcome.text, cause: "break-unnoticed")
            }
            try inbox.expectNames([])
        }
    },
    Check("receive-file-hidden", suspects: [.waitsForMoreThanAnnounced]) { trial in
        let inbox = try Inbox(trial)
        let content = trial.random.bytes(200_000)
        let stream = transfer("data.bin", content)
        let (call, peer) = try inbox.begin()
        try peer.send(Array(stream[..<(stream.count / 2)]))
        // When the program has taken all that was sent, half of the file is wherever it puts it.
        _ = try call.subject.waitForTimeline(until: Deadline(in: 2)) { timeline -> Bool? in
            let taken = timeline.calls.filter { $0.isReceive && $0.result > 0 }.reduce(0) { $0 + Int($1.result) }
            return taken >= stream.count / 2 ? true : nil
        }
        if inbox.names.contains("data.bin") {
            throw Failure(
                expected: say("no file named data.bin while half of it is missing", "还差一半时没有名为 data.bin 的文件"),
                got: say("it is there already", "它已经在那里了"), cause: "partial-file-visible")
        }
        try peer.send(Array(stream[(stream.count / 2)...]))
        try inbox.expectReturned(["data.bin"], try call.outcome())
        try inbox.expectContent("data.bin", content)
        try inbox.expectNames(["data.bin"])
    },
    Check("receive-file-replaces", suspects: [.waitsForMoreThanAnnounced, .readsBeyondTheFile]) { trial in
        let inbox = try Inbox(trial)
        let (old, new) = (Array("the old file".utf8), Array("the new file, which is longer".utf8))
        let path = try trial.writeFile("inbox/data.bin", old)
        // Somebody has the old file open.
        guard let reader = FileHandle(forReadingAtPath: path) else { throw LabError("cannot open \(path)") }
        try inbox.expectReceived("data.bin", new)
        let read = Array(try reader.readToEnd() ?? Data())
        guard read == old else {
            throw Failure(
                expected: say(
                    "who has the old file open still reads it: \(quoted(old))", "已打开旧文件的人仍读到旧内容 \(quoted(old))"),
                got: quoted(read), cause: "overwrote-in-place")
        }
        // And a symbolic link of that name leads out of the folder.
        let target = try trial.writeFile("outside", old)
        try FileManager.default.createSymbolicLink(atPath: inbox.path + "/link", withDestinationPath: "../outside")
        try inbox.expectReceived("link", new)
        guard FileManager.default.contents(atPath: target) == Data(old) else {
            throw Failure(
                expected: say("the file that a link in the folder points to stays as it is", "目录里的链接所指的文件保持不变"),
                got: say("it was overwritten", "它被覆盖了"), cause: "followed-a-link")
        }
        try inbox.expectNames(["data.bin", "link"])
        // What cannot be replaced: a folder.
        try trial.makeFolder("inbox/taken")
        let (outcome, _) = try inbox.receive([transfer("taken", new)])
        if case .returned = outcome { try inbox.expectContent("taken", new) }
        try inbox.expectNames(["data.bin", "link", "taken"])
        // And nowhere to put it: the caller is told what open said.
        try FileManager.default.removeItem(atPath: inbox.path)
        let nowhere = try inbox.receive([transfer("data.bin", new)]).0
        try trial.expectError(
            ENOENT, nowhere, say("receiveFile throws for a folder that does not exist", "目录不存在时 receiveFile 抛出错误"))
    },
    Check(
        "receive-file-huge-size",
        suspects: [.crash(meaning: "size-trusted"), .readsPastTheEnd, .returnedAtTheEnd]
    ) { trial in
        let inbox = try Inbox(trial)
        for size: UInt64 in [1 << 40, 1 << 63, .max] {
            let header = bigEndianBytes(8 as UInt16) + Array("data.bin".utf8) + bigEndianBytes(size)
            let (outcome, _) = try inbox.receive([header + Array("ten bytes!".utf8)], thenEnd: true)
            guard case .threw("TransferError", _, _, "cutShort(after: 10)") = outcome else {
                var cause: String?
                if outcome.text.contains("cutShort(after: \(header.count + 10))") {
                    cause = "header-counted"
                } else if outcome.text.contains("cutShort(after: ") {
                    cause = "cut-count-wrong"
                } else if case .threw = outcome {
                    // It does not wait for the end, but says that so much cannot be.
                    cause = "size-trusted"
                }
                throw Failure(
                    expected: say(
                        "the size \(size), 10 bytes, the end: TransferError.cutShort(after: 10)",
                        "大小 \(size)，10 个字节，然后结束：TransferError.cutShort(after: 10)"),
                    got: outcome.text, cause: cause)
            }
            try inbox.expectNames([])
        }
    },
    Check("receive-file-memory", suspects: [.waitsForMoreThanAnnounced]) { trial in
        let inbox = try Inbox(trial)
        let process = try trial.launch()
        var peaks: [Int] = []
        let piece = [UInt8](repeating: 0, count: 1 << 20)
        for size in [1 << 20, largeSize] {
            let (call, peer) = try inbox.begin(in: process)
            try peer.send(bigEndianBytes(5 as UInt16) + Array("large".utf8) + bigEndianBytes(UInt64(size)))
            for _ in 0..<(size / piece.count) { try peer.send(piece) }
            try inbox.expectReturned(["large"], try call.outcome(within: 60))
            let stored = try FileManager.default.attributesOfItem(atPath: inbox.path + "/large")[.size] as? Int
            try trial.expect(stored, equals: size, say("the size of the file", "文件的大小"))
            peaks.append(process.peakMemory)
        }
        try trial.expectLittleMemory(peaks)
    },
    Check("receive-file-descriptors", suspects: [.waitsForMoreThanAnnounced]) { trial in
        let inbox = try Inbox(trial)
        let process = try trial.launch()
        // Three ways out: it went well, the stream ended too early, the name was bad.
        let whole = transfer("data.bin", trial.random.bytes(1000))
        _ = try inbox.receive([whole], in: process)
        _ = try inbox.receive([whole.dropLast(1)], thenEnd: true, in: process)
        _ = try inbox.receive([transfer("..", [])], in: process)
        try trial.expectClosedFiles(process)
    },
]

/// A file on the wire: u16 length of the name, name, u64 size, content.
private func transfer(_ name: [UInt8], _ content: [UInt8]) -> [UInt8] {
    bigEndianBytes(UInt16(name.count)) + name + bigEndianBytes(UInt64(content.count)) + content
}

private func transfer(_ name: String, _ content: [UInt8]) -> [UInt8] { transfer(Array(name.utf8), content) }

/// The folder that files are received into.
private struct Inbox {
    let trial: Trial
    let path: String

    init(_ trial: Trial) throws {
        self.trial = trial
        path = trial.folder + "/inbox"
        try trial.makeFolder("inbox")
    }

    /// Hidden files, too.
    var names: Set<String> { Set((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []) }

    /// What lies in the trial's folder, the inbox and around it.
    var everything: Set<String> { Set((try? FileManager.default.subpathsOfDirectory(atPath: trial.folder)) ?? []) }

    func begin(files: Int = 1, plan: FaultPlan? = nil, in process: Subject? = nil) throws -> (PendingCall, StreamPeer) {
        let listener = try trial.listen()
        let call = try trial.begin(
            "receive-file", [listener.socketArgument, .string(path), .int(files)], plan: plan, in: process)
        return (call, try listener.accept(from: call))
    }

    /// - Returns: the outcome, and the connection, which must live until that is there.
    func receive(
        _ parts: [any Collection<UInt8>], files: Int = 1, thenEnd: Bool = false, plan: FaultPlan? = nil,
        in process: Subject? = nil
    ) throws -> (PendingCall.Outcome, StreamPeer) {
        let (call, peer) = try begin(files: files, plan: plan, in: process)
        for part in parts { try peer.send(Array(part)) }
        if thenEnd { peer.halfClose() }
        return (try call.outcome(), peer)
    }

    func expectReceived(_ name: String, _ content: [UInt8], plan: FaultPlan? = nil) throws {
        let (outcome, _) = try receive([transfer(name, content)], plan: plan)
        try expectReturned([name], outcome)
        try expectContent(name, content)
    }

    func expectReturned(_ names: [String], _ outcome: PendingCall.Outcome) throws {
        let list = names.map { "\"\($0)\"" }.joined(separator: ", ")
        let expected = say("receiveFile returns \(list)", "receiveFile 返回 \(list)")
        guard case .returned(.list(let got)) = outcome else { throw Failure(expected: expected, got: outcome.text) }
        let text = got.map(\.text).joined(separator: ", ")
        if got != names.map(Value.string) { throw Failure(expected: expected, got: text) }
    }

    func expectContent(_ name: String, _ content: [UInt8], cause: String? = nil) throws {
        let expected = say(
            "\(name) holds \(content.count) bytes: \(quoted(content))",
            "\(name) 有 \(content.count) 字节：\(quoted(content))")
        guard let data = FileManager.default.contents(atPath: path + "/" + name) else {
            throw Failure(expected: expected, got: say("there is no such file", "没有这个文件"), cause: cause)
        }
        let got = Array(data)
        guard got != content else { return }
        throw Failure(
            expected: expected, got: say("\(got.count) bytes: \(quoted(got))", "\(got.count) 字节：\(quoted(got))"),
            difference: byteDifference(expected: content, got: got), cause: cause)
    }

    /// The folder holds these and nothing else. A name that is not the same bytes is another name.
    func expectNames(_ expected: Set<String>) throws {
        func text(_ names: Set<String>) -> String {
            names.isEmpty ? say("nothing", "空") : names.sorted().map { $0.prefix(40) }.joined(separator: ", ")
        }
        let got = names
        let (gotBytes, expectedBytes) = (Set(got.map { Array($0.utf8) }), Set(expected.map { Array($0.utf8) }))
        guard gotBytes != expectedBytes else { return }
        throw Failure(
            expected: say("in the folder: \(text(expected))", "目录里有：\(text(expected))"), got: text(got),
            cause: expectedBytes.isSubset(of: gotBytes) ? "partial-file-left" : nil)
    }

    func expectCutShort(
        after count: Int, headerLength: Int, _ outcome: PendingCall.Outcome, _ cut: Int, of whole: Int
    ) throws {
        let wanted = "cutShort(after: \(count))"
        if case .threw("TransferError", "cutShort", _, wanted) = outcome { return }
        if case .returned = outcome {
            throw Failure(
                expected: say(
                    "the stream ends after \(cut) of \(whole) bytes: TransferError.\(wanted)",
                    "流在 \(whole) 字节中的第 \(cut) 字节后结束：TransferError.\(wanted)"),
                got: outcome.text, cause: "part-taken-for-whole")
        }
        let counted = [cut, count + headerLength].contains { outcome.text.contains("cutShort(after: \($0))") }
        throw Failure(
            expected: say(
                "the stream ends after \(cut) bytes, \(count) of them content: TransferError.\(wanted)",
                "流在 \(cut) 字节后结束，其中内容 \(count) 字节：TransferError.\(wanted)"),
            got: outcome.text,
            cause: counted ? "header-counted" : outcome.text.contains("cutShort(after: ") ? "cut-count-wrong" : nil)
    }
}

extension Cause {
    /// It saw the end of the stream, much too early for the size that was announced.
    fileprivate static let returnedAtTheEnd = Cause(
        "part-taken-for-whole",
        when: { evidence in
            evidence.timeline.calls.contains { $0.isReceive && $0.returned != nil && $0.result == 0 && $0.length > 0 }
        })

    /// The first number of the header was read the wrong way round.
    static let nameLengthInHostOrder = Cause("length-host-order") { evidence in
        let calls = evidence.timeline.calls.filter(\.isReceive)
        guard calls.count > 1, calls[0].result == 2, calls[0].data.count == 2, calls[0].data[0] != calls[0].data[1],
            calls[1].length == Int(calls[0].data[1]) << 8 | Int(calls[0].data[0])
        else { return nil }
        return say(
            "after \(hexText(calls[0].data)) it asked for \(calls[1].length) bytes",
            "收到 \(hexText(calls[0].data)) 之后要了 \(calls[1].length) 字节")
    }

    /// A receive gave less than was asked for, and the next one does not ask for the rest.
    static let oneReceiveForAll = Cause("one-recv-one-message") { evidence in
        let calls = evidence.timeline.calls.filter { $0.isReceive && !$0.failed }
        for (call, next) in zip(calls, calls.dropFirst())
        where call.result > 0 && call.result < call.length && call.descriptor == next.descriptor {
            // The whole header fits into 64 bytes: the content may be asked for in any pieces.
            if call.length < 64 && next.length != call.length - Int(call.result) {
                return say(
                    "recv gave \(call.result) of \(call.length) bytes, the next asks for \(next.length)",
                    "recv 只给了 \(call.length) 字节中的 \(call.result) 个，下一次却要 \(next.length) 个")
            }
        }
        return nil
    }

    /// As many bytes have come as the header announced, and the program waits for more.
    static let waitsForMoreThanAnnounced = Cause("waits-for-more-than-announced") { evidence in
        let receives = evidence.timeline.calls.filter(\.isReceive)
        guard let waiting = receives.last, waiting.isBlocked else { return nil }
        let came = receives.filter { $0.result > 0 && $0.descriptor == waiting.descriptor }
        // The first bytes of each call are known, which is all of the header if it was received in pieces of its own.
        let known = came.flatMap { $0.data.prefix(Int($0.result)) }
        guard let nameLength = known.count >= 2 ? Int(known[0]) << 8 | Int(known[1]) : nil,
            known.count >= 10 + nameLength
        else { return nil }
        let size = known[(2 + nameLength)..<(10 + nameLength)].reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
        let content = came.reduce(0) { $0 + Int($1.result) } - 10 - nameLength
        guard content > 0, size == UInt64(content) else { return nil }
        return say("all \(size) bytes of the file had come", "文件的 \(size) 字节已经全部收到")
    }

    /// All bytes of the file are here, and the program asks for more.
    static let readsBeyondTheFile = Cause("reads-beyond-the-file") { evidence in
        let calls = evidence.timeline.calls
        guard let waiting = calls.last(where: { $0.isReceive && $0.isBlocked }),
            calls.contains(where: { $0.isReceive && $0.result > 0 && $0.descriptor == waiting.descriptor })
        else { return nil }
        return waiting.callText
    }
}
