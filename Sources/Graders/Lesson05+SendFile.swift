// Lesson 05: sendFile. The grader plays the receiver.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

let sendFileChecks: [Check] = [
    Check("send-file-bytes") { trial in
        for content in [Array("abc".utf8), [], trial.random.bytes(100_000)] {
            let file = try trial.writeFile("a.txt", content)
            let (call, peer) = try trial.beginSending([file])
            try peer.expectFile("a.txt", content, path: file, trial)
            _ = try call.value()
            try peer.expectSilence(trial)
        }
    },
    Check("send-file-names") { trial in
        for name in ["报告.txt", "two words", ".hidden", "cafe\u{301}"] {
            let file = try trial.writeFile("folder/deeper/" + name, Array("x".utf8))
            let (call, peer) = try trial.beginSending([file])
            try peer.expectFile(name, Array("x".utf8), path: file, trial)
            _ = try call.value()
        }
    },
    Check("send-file-short-sends", suspects: [.shortSend]) { trial in
        let content = trial.random.bytes(2000)
        let file = try trial.writeFile("short.bin", content)
        let plan = FaultPlan.fail(.send, every: 5, with: EINTR) + .most(7, each: .send)
        let (call, peer) = try trial.beginSending([file], plan: plan)
        try peer.expectFile("short.bin", content, path: file, trial)
        _ = try call.value()
        try peer.expectSilence(trial)
    },
    Check("send-file-two", suspects: [.closedTheSocket]) { trial in
        let contents = [trial.random.bytes(1000), trial.random.bytes(10)]
        let files = try ["first", "second"].enumerated().map { try trial.writeFile($0.element, contents[$0.offset]) }
        let (call, peer) = try trial.beginSending(files)
        try peer.expectFile("first", contents[0], path: files[0], trial)
        try peer.expectFile("second", contents[1], path: files[1], trial)
        _ = try call.value()
        try peer.expectSilence(trial)
    },
    Check("send-file-missing") { trial in
        try trial.makeFolder("folder")
        for name in ["no-such-file", "folder"] {
            let (call, peer) = try trial.beginSending([trial.folder + "/" + name])
            let what = name == "folder" ? say("for a folder", "传入目录时") : say("for a file that does not exist", "文件不存在时")
            let outcome = try call.outcome()
            let nothing = say("nothing is sent \(what)", "\(what)什么也不发")
            if case .bytes(let sent) = try peer.receive(64, until: Deadline(), expected: nothing) {
                throw Failure(expected: nothing, got: quoted(sent), cause: "header-before-open")
            }
            let expected = say("sendFile throws \(what)", "\(what) sendFile 抛出错误")
            try trial.expectError(name == "folder" ? nil : ENOENT, outcome, expected)
        }
        // It can be opened, it is a file, it has a size, and still it cannot be read: a thing of Linux.
        let unreadable = "/sys/class/net/lo/speed"
        guard fails(reading: unreadable) else { return }
        let (call, _) = try trial.beginSending([unreadable])
        try trial.expectError(
            nil, try call.outcome(), say("sendFile throws when read fails", "read 失败时 sendFile 抛出错误"))
    },
    Check("send-file-changes", suspects: [.spinsAtEndOfFile]) { trial in
        // No whole number of pieces, whatever the program takes for a piece: the last one ends at the size, not at its own.
        let size = largeSize - 1_001
        for newSize in [size + (1 << 20), size / 4] {
            let file = try trial.makeSparseFile("log", size)
            // At the end of the file errno is still the EINTR of a send before.
            let (call, peer) = try trial.beginSending([file], plan: .fail(.send, every: 5, with: EINTR))
            try peer.expectHeader("log", UInt64(size), path: file, trial)
            // Most of the file is still to be read, since nobody has taken a byte of it yet.
            try check("truncate", truncate(file, off_t(newSize)))
            trial.note(say("the file now has \(newSize) bytes", "文件现在有 \(newSize) 字节"))
            let (outcome, count) = try peer.takeAll(until: call)
            try trial.expectPromise(of: size, keptBy: outcome, count, shrunk: newSize < size)
        }
    },
    Check("send-file-memory") { trial in
        let process = try trial.launch()
        var peaks: [Int] = []
        for size in [1000, largeSize] {
            let file = try trial.makeSparseFile("large", size)
            let (call, peer) = try trial.beginSending([file], in: process)
            try peer.expectHeader("large", UInt64(size), path: file, trial)
            let (outcome, count) = try peer.takeAll(until: call)
            try trial.expectPromise(of: size, keptBy: outcome, count, shrunk: false)
            peaks.append(process.peakMemory)
        }
        try trial.expectLittleMemory(peaks)
    },
    Check("send-file-peer-leaves") { trial in
        let file = try trial.makeSparseFile("large", largeSize)
        // Send fails with ECONNRESET after a reset; with EPIPE after the end of the stream and then a reset.
        for endsFirst in [false, true] {
            let (call, peer) = try trial.beginSending([file])
            try peer.expectHeader("large", UInt64(largeSize), path: file, trial)
            if endsFirst { peer.halfClose() }
            peer.reset()
            let outcome = try call.outcome()
            guard case .returned = outcome else { continue }
            throw Failure(
                expected: say("sendFile throws, because the receiver left", "接收方离开了，sendFile 抛出错误"), got: outcome.text,
                cause: "break-unnoticed")
        }
    },
    Check("send-file-descriptors") { trial in
        let process = try trial.launch()
        let file = try trial.makeSparseFile("large", largeSize)
        // Three ways out: it went well, the receiver left, it is no file that can be sent.
        let (first, reader) = try trial.beginSending([file], in: process)
        _ = try reader.takeAll(until: first)
        let (second, leaver) = try trial.beginSending([file], in: process)
        try leaver.expectHeader("large", UInt64(largeSize), path: file, trial)
        leaver.reset()
        _ = try second.outcome()
        let (third, _) = try trial.beginSending([trial.folder], in: process)
        _ = try third.outcome()
        try trial.expectClosedFiles(process)
    },
]

private func fails(reading path: String) -> Bool {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return false }
    defer { close(file) }
    var status = stat()
    var byte: UInt8 = 0
    return fstat(file, &status) == 0 && status.st_size > 0 && read(file, &byte, 1) < 0
}

/// More than the buffers of a connection hold.
let largeSize = 64 << 20

extension Trial {
    fileprivate func beginSending(_ files: [String], plan: FaultPlan? = nil, in process: Subject? = nil) throws
        -> (PendingCall, StreamPeer)
    {
        let listener = try listen()
        let call = try begin(
            "send-file", [listener.socketArgument, .list(files.map(Value.string))], plan: plan, in: process)
        return (call, try listener.accept(from: call))
    }

    /// - Returns: the path.
    func writeFile(_ name: String, _ content: [UInt8]) throws -> String {
        let path = folder + "/" + name
        try FileManager.default.createDirectory(
            atPath: String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)]), withIntermediateDirectories: true)
        guard FileManager.default.createFile(atPath: path, contents: Data(content)) else {
            throw LabError("cannot write \(path)")
        }
        return path
    }

    func makeFolder(_ name: String) throws {
        try FileManager.default.createDirectory(atPath: folder + "/" + name, withIntermediateDirectories: true)
    }

    /// A file of zeros that takes no room on the disk.
    fileprivate func makeSparseFile(_ name: String, _ size: Int) throws -> String {
        let path = try writeFile(name, [])
        try check("truncate", truncate(path, off_t(size)))
        return path
    }

    /// It threw, and if that is a SocketError, with this errno.
    func expectError(_ code: Int32?, _ outcome: PendingCall.Outcome, _ expected: String) throws {
        switch outcome {
        case .threw("SocketError", _, let thrown, _) where thrown != code ?? thrown: break
        case .threw: return
        case .returned: break
        }
        let name = code.map { say(" (\(errorName($0)))", "（\(errorName($0))）") } ?? ""
        throw Failure(expected: expected + name, got: outcome.text)
    }

    /// After a call that sent `count` bytes of content: it sent all that it had announced, or it threw.
    fileprivate func expectPromise(
        of size: Int, keptBy outcome: PendingCall.Outcome?, _ count: Int, shrunk: Bool
    ) throws {
        let expected =
            shrunk
            ? say("sendFile throws, because the file has become too short", "文件变短了，sendFile 抛出错误")
            : say("exactly \(size) bytes of content, as announced", "正好 \(size) 字节的内容，与宣布的一致")
        switch outcome {
        case .threw? where shrunk: return
        case .returned? where count == size: return
        case nil:
            throw Failure(
                expected: expected, got: say("\(count) bytes, and it is still running", "\(count) 字节，而且仍在运行"))
        case .threw(_, _, _, let description)?:
            throw Failure(
                expected: expected,
                got: say("it sent \(count) bytes and threw \(description)", "发送了 \(count) 字节并抛出 \(description)"),
                cause: !shrunk && count == size ? "growth-refused" : nil)
        case .returned?:
            throw Failure(
                expected: expected, got: say("it sent \(count) bytes and returned", "发送了 \(count) 字节就返回了"),
                cause: "announced-size-broken")
        }
    }

    /// - Parameter peaks: of the memory of a process, before and after a large file.
    func expectLittleMemory(_ peaks: [Int]) throws {
        let grown = (peaks.last ?? 0) - (peaks.first ?? 0)
        guard grown > 32 << 20 else { return }
        throw Failure(
            expected: say(
                "a file of \(largeSize >> 20) MiB takes at most 32 MiB of memory",
                "\(largeSize >> 20) MiB 的文件最多占用 32 MiB 内存"),
            got: say("\(grown >> 20) MiB", "\(grown >> 20) MiB"), cause: "whole-file-in-memory")
    }

    /// No file of the trial's folder is open any more (proc(5)).
    func expectClosedFiles(_ process: Subject) throws {
        #if os(Linux)
        let descriptors = "/proc/\(process.processNumber)/fd"
        let own = URL(fileURLWithPath: folder).resolvingSymlinksInPath().path
        let open = try FileManager.default.contentsOfDirectory(atPath: descriptors).sorted().compactMap { number in
            try? FileManager.default.destinationOfSymbolicLink(atPath: descriptors + "/" + number)
        }.filter { $0 == own || $0.hasPrefix(own + "/") }
        if let one = open.first {
            let name = one == own ? say("the folder", "那个目录") : String(one.dropFirst(own.count + 1))
            throw Failure(
                expected: say("no file is open any more", "没有还开着的文件"),
                got: say("\(open.count) still open: \(name) is one", "还开着 \(open.count) 个，其中有 \(name)"),
                cause: "file-left-open")
        }
        #else
        throw Unavailable(say("open files can be seen on Linux only", "只有在 Linux 上才能看到打开的文件"))
        #endif
    }
}

extension StreamPeer {
    /// Exactly `count` bytes, or nil if the stream ended or fell silent before them.
    private func take(_ count: Int, expected: String) throws -> [UInt8] {
        let deadline = Deadline()
        var got: [UInt8] = []
        while got.count < count {
            let end: String
            switch try receive(count - got.count, until: deadline, expected: expected) {
            case .bytes(let bytes):
                got += bytes
                continue
            case .late: end = say("nothing more came", "之后没有数据")
            case .end: end = say("the stream ended", "流结束了")
            case .broken(let code): end = say("the connection broke: ", "连接断开：") + errorText(code)
            }
            throw Failure(
                expected: expected,
                got: say("\(got.count) of \(count) bytes, then \(end)", "\(count) 字节中的 \(got.count) 字节，\(end)"),
                cause: nil)
        }
        return got
    }

    fileprivate func expectHeader(_ name: String, _ size: UInt64, path: String, _ trial: Trial) throws {
        let bytes = Array(name.utf8)
        let lengthText = say("the length of the name (u16)", "名字的长度（u16）")
        let length = try take(2, expected: lengthText)
        let mistakes: [(String, Int)] = [
            ("length-host-order", bytes.count << 8), ("name-in-characters", name.count),
            ("path-as-name", path.utf8.count),
        ]
        let sent = Int(length[0]) << 8 | Int(length[1])
        let right = bigEndianBytes(UInt16(bytes.count))
        if length != right {
            let comesLater = isBehind(length, right + bytes + bigEndianBytes(size))
            try trial.expect(
                length, equals: right, lengthText,
                cause: mistakes.first { sent == $0.1 }?.0 ?? (comesLater ? "sent-before-header" : nil))
        }
        let nameText = say("the name \(quoted(bytes))", "名字 \(quoted(bytes))")
        try trial.expect(try take(bytes.count, expected: nameText), equals: bytes, nameText)
        let sizeText = say("the size of the content, \(size) (u64)", "内容的大小 \(size)（u64）")
        let sentSize = try take(8, expected: sizeText)
        try trial.expect(
            sentSize, equals: bigEndianBytes(size), sizeText,
            cause: sentSize == bigEndianBytes(size.byteSwapped) ? "length-host-order" : nil)
        trial.note(say("\(self.name): received the header of \(name)", "\(self.name)：收到 \(name) 的头部"))
    }

    /// Something else came first, and then the header.
    private func isBehind(_ first: [UInt8], _ header: [UInt8]) -> Bool {
        var got = first
        let deadline = Deadline(in: 1)
        while got.count < header.count + 8,
            case .bytes(let more)? = try? receive(header.count + 8 - got.count, until: deadline, expected: "")
        {
            got += more
        }
        return (1...8).contains { got.dropFirst($0).starts(with: header) }
    }

    fileprivate func expectFile(_ name: String, _ content: [UInt8], path: String, _ trial: Trial) throws {
        try expectHeader(name, UInt64(content.count), path: path, trial)
        let text = say("\(content.count) bytes of content", "\(content.count) 字节的内容")
        let got = try take(content.count, expected: text)
        guard got == content else {
            throw Failure(
                expected: text, got: say("other bytes", "字节不同"),
                difference: byteDifference(expected: content, got: got))
        }
    }

    /// Nothing follows what has been received. The call has returned, so the end of the stream is near; a program that
    /// holds it back has at least sent nothing.
    fileprivate func expectSilence(_ trial: Trial) throws {
        let expected = say("nothing after the content", "内容之后什么也没有")
        guard case .bytes(let more) = try receive(64, until: Deadline(), expected: expected) else { return }
        throw Failure(expected: expected, got: quoted(more), cause: "announced-size-broken")
    }

    /// Reads and counts whatever comes until the stream ends, as it does when the call has an outcome; nil if it has none
    /// in time.
    fileprivate func takeAll(until call: PendingCall) throws -> (PendingCall.Outcome?, Int) {
        let drain = try Drain(descriptor)
        let outcome: PendingCall.Outcome?
        do { outcome = try call.outcome() } catch is Failure {
            outcome = nil
        } catch {
            _ = drain.stop(after: 0)
            throw error
        }
        // Bytes that the call left in the buffers are still on their way.
        return (outcome, drain.stop(after: outcome == nil ? 0 : Deadline.patience))
    }
}

/// Reads a socket on a thread of its own, and counts.
private final class Drain: @unchecked Sendable {
    private let descriptor: Int32
    /// Closing the writer asks the thread to end.
    private var stopReader: Int32 = -1
    private var stopWriter: Int32 = -1
    private let isDone = DispatchSemaphore(value: 0)
    private var count = 0

    init(_ descriptor: Int32) throws {
        self.descriptor = descriptor
        var ends: [Int32] = [-1, -1]
        try check("pipe", pipe(&ends))
        (stopReader, stopWriter) = (ends[0], ends[1])
        try startThread { [self] in run() }
    }

    /// Waits for the end of the stream, but not for ever, and says how much came.
    func stop(after seconds: Double) -> Int {
        let ended = isDone.wait(timeout: .now() + seconds * Deadline.scale) == .success
        close(stopWriter)
        if !ended { isDone.wait() }
        close(stopReader)
        return count
    }

    private func run() {
        defer { isDone.signal() }
        var buffer = [UInt8](repeating: 0, count: 1 << 18)
        var events = [
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: stopReader, events: Int16(POLLIN), revents: 0),
        ]
        while true {
            if poll(&events, 2, -1) < 0 && errno == EINTR { continue }
            if events[1].revents != 0 { return }
            let got = recv(descriptor, &buffer, buffer.count, MSG_DONTWAIT)
            if got < 0 && (errno == EINTR || errno == EAGAIN) { continue }
            if got <= 0 { return }
            count += got
        }
    }
}

extension Cause {
    /// All that the file still holds has been sent, and the program is busy without sending anything.
    static let spinsAtEndOfFile = Cause("spins-at-end-of-file") { evidence in
        evidence.ending == nil && evidence.loadNow > 0.2 && evidence.timeline.blocked.isEmpty
    }

    /// The program ended a connection that was not its own to end.
    static let closedTheSocket = Cause("closed-the-socket") { evidence in
        let calls = evidence.timeline.calls
        guard let socket = calls.first(where: { $0.isSend || $0.isReceive })?.descriptor,
            let end = calls.firstIndex(where: {
                ["close", "shutdown"].contains($0.name) && $0.descriptor == socket
            }),
            calls[end...].contains(where: { ($0.isSend || $0.isReceive) && $0.descriptor == socket })
        else { return nil }
        return calls[end].callText
    }
}
