// file-transfer: a file over a connection, and one that is cut short half way.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension Demo {
    static let fileTransfer = Demo(
        "file-transfer", Lesson05.slug,
        "a file over TCP: whole, then cut short",
        "通过 TCP 传文件：先完整传输，再中途断开", port: 8888, [.serve, .client, .mine], isShow: true
    ) { play in
        let transfer = FileTransfer(play)
        if play.options.serve { return try transfer.serve() }
        if let server = play.options.client { return try transfer.sendLines(to: server) }
        try transfer.show()
    }
}

private final class FileTransfer {
    private let play: Play
    private let received: String

    init(_ play: Play) {
        self.play = play
        received = play.stage.folder + "/received"
    }

    // MARK: The show

    /// How large the example is, and how fast the wire for a person to watch (bytes a second).
    private static let size = 16 << 20
    private static let speed = 8 << 20

    func show() throws {
        play.introduce(
            say(
                "sendFile and receiveFile (\(play.author)) are two programs with a connection between them. The lab holds "
                    + "the wire: it counts the bytes, slows them down so that you can watch, and cuts it in the second part.",
                "sendFile 和 receiveFile（\(play.author)）是两个程序，中间是一个连接。网线握在实验环境手里：它数字节，放慢速度让你看清，第二部分还会把线剪断。"), gap: false)
        try FileManager.default.createDirectory(atPath: received, withIntermediateDirectories: true)
        let wire = try FileWire(
            host: play.host, port: play.port, speed: play.screen.outputIsTerminal ? FileTransfer.speed : nil)
        defer { wire.close() }

        play.step(say("1. A file of 16 MiB.", "1. 一个 16 MiB 的文件。"))
        let whole = try makeFile("photo.bin")
        listFolder(say("before", "之前"))
        let first = try run(wire, whole, cutAfter: nil)
        guard first.succeeded else { throw CommandError(.notPassed, first.text) }
        if !play.options.quiet { play.screen.print(header(wire.head)) }
        listFolder(say("after", "之后"))
        guard FileManager.default.contentsEqual(atPath: whole, andPath: received + "/photo.bin") else {
            throw CommandError(.notPassed, say("The file that arrived is not the one that was sent.", "收到的文件与发送的不同。"))
        }
        play.screen.print([StyledText("✔ ", .good) + StyledText(say("the same bytes at both ends", "两端的字节完全相同"))])
        play.pause()

        play.step(say("2. Another one; half way the wire is cut.", "2. 再传一个，传到一半把线剪断。"))
        let second = try run(wire, try makeFile("film.bin"), cutAfter: FileTransfer.size / 2)
        play.screen.print(second.text)
        listFolder(say("after", "之后"))
        let names = try FileManager.default.contentsOfDirectory(atPath: received)
        guard names == ["photo.bin"] else {
            throw CommandError(
                .notPassed, say("The transfer that was cut short left something behind.", "被剪断的传输留下了东西。"))
        }
        play.screen.print([
            StyledText("✔ ", .good)
                + StyledText(
                    say("nothing of it is left: it had another name until it was whole", "什么也没留下：收全之前它用的是别的名字"))
        ])
        try sendTyped(wire)
    }

    /// A person may send files of their own.
    private func sendTyped(_ wire: FileWire) throws {
        guard play.screen.isInteractive else { return }
        play.screen.print([StyledText()])
        play.screen.print(say("Type the path of a file to send it (Ctrl-D ends).", "输入文件的路径就发送它（Ctrl-D 结束）。"), .quiet)
        while let line = play.screen.readLine(prompt: say("file> ", "文件> ")) {
            guard let path = path(line) else { continue }
            play.screen.print(try run(wire, path, cutAfter: nil).text)
            listFolder(say("received", "已收到"))
        }
    }

    private func makeFile(_ name: String) throws -> String {
        let path = play.stage.folder + "/" + name
        guard let source = FileHandle(forReadingAtPath: "/dev/urandom"),
            FileManager.default.createFile(atPath: path, contents: try source.read(upToCount: FileTransfer.size))
        else { throw CommandError.failure(say("\(path) cannot be written.", "写不了 \(path)。")) }
        return path
    }

    /// What came before the content: the length of the name (u16), the name, the size (u64).
    private func header(_ head: [UInt8]) -> [StyledText] {
        guard head.count >= 2 else { return [] }
        let nameLength = Int(head[0]) << 8 | Int(head[1])
        guard head.count >= 2 + nameLength + 8 else { return [] }
        let name = Array(head[2..<2 + nameLength])
        let sizeBytes = Array(head[2 + nameLength..<2 + nameLength + 8])
        let size = sizeBytes.reduce(0) { $0 << 8 | UInt64($1) }
        let rows = [
            (Array(head.prefix(2)), say("the length of the name, \(nameLength)", "文件名的长度，\(nameLength)")),
            (name, say("the name, ", "文件名，") + shownText(name, total: nameLength, room: 30)),
            (sizeBytes, say("the size, \(size); then the content", "大小，\(size)；后面是内容")),
        ]
        return [StyledText(say("on the wire:", "网线上："), .quiet)]
            + rows.map { bytes, meaning in
                StyledText("  " + bytes.prefix(12).map(hex).joined(separator: " ").padded(to: 37), Style(.green))
                    + StyledText(meaning, .quiet)
            }
    }

    private func listFolder(_ when: String) {
        guard !play.options.quiet else { return }
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: received)) ?? []).sorted()
        let list = names.map { name -> String in
            let size = (try? FileManager.default.attributesOfItem(atPath: received + "/" + name))?[.size] as? Int
            return "\(name) (\(megabytes(size ?? 0)))"
        }
        play.screen.print([
            StyledText(say("receiver's folder, \(when): ", "接收方的目录，\(when)："), .quiet)
                + StyledText(list.isEmpty ? say("empty", "空") : list.joined(separator: ", "), .code)
        ])
    }

    // MARK: One transfer

    private struct Result {
        var sender: PendingCall.Outcome?
        var receiver: PendingCall.Outcome?

        var succeeded: Bool {
            if case .returned? = sender, case .returned? = receiver { true } else { false }
        }

        var text: String {
            say("sender: \(text(sender)); receiver: \(text(receiver))", "发送方：\(text(sender))；接收方：\(text(receiver))")
        }

        private func text(_ outcome: PendingCall.Outcome?) -> String {
            switch outcome {
            case .returned(.list(let names))? where !names.isEmpty: return say("received ", "收到 ") + names[0].text
            case .returned?: return say("done", "完成")
            case .threw(_, _, _, let description)?: return say("threw \(description)", "抛出 \(description)")
            case nil: return say("still waits", "仍在等待")
            }
        }
    }

    private func run(_ wire: FileWire, _ path: String, cutAfter: Int?) throws -> Result {
        let sender = Caller(play, play.subject, isDrawn: false)
        let receiver = Caller(play, play.subject, side: .right, isDrawn: false)
        defer {
            sender.end()
            receiver.end()
        }
        let end = Value.socket(type: SOCK_STREAM, address: wire.address.bytes)
        try sender.begin("send-file", [end, .list([.string(path)])])
        let from = try wire.accept { _ = try sender.poll() }
        try receiver.begin("receive-file", [end, .string(received), .int(1)])
        let to = try wire.accept { _ = try receiver.poll() }
        let size = (try? FileManager.default.attributesOfItem(atPath: path))?[.size] as? Int ?? 0
        var result = Result()
        try wire.carry(from: from, to: to, atMost: cutAfter) { progress in
            showProgress(progress, of: size)
            result.sender = try result.sender ?? sender.poll()
            result.receiver = try result.receiver ?? receiver.poll()
            // The receiver has all it wants, or wants no more; the sender has sent all, or cannot.
            return result.receiver != nil || (result.sender != nil && progress.isIdle)
        }
        endProgress(wire.carried, of: size)
        // Both sides hear of the end of the wire.
        let deadline = Deadline(in: 5)
        while result.sender == nil || result.receiver == nil, !deadline.hasPassed {
            result.sender = try result.sender ?? sender.poll(until: Deadline(in: 0.05))
            result.receiver = try result.receiver ?? receiver.poll(until: Deadline(in: 0.05))
        }
        return result
    }

    private func showProgress(_ progress: FileWire.Progress, of size: Int) {
        guard progress.isNews, !play.options.quiet else { return }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: received)) ?? []
        let partial = names.first { $0.hasPrefix(".") }.map { "  " + $0 } ?? ""
        play.screen.progress(bar(progress.carried, of: size) + StyledText(partial, .code))
    }

    private func endProgress(_ carried: Int, of size: Int) {
        guard !play.options.quiet else { return }
        play.screen.endProgress(bar(carried, of: size))
    }

    private func bar(_ carried: Int, of size: Int) -> StyledText {
        // The header before the file is carried, too.
        let share = size == 0 ? 1 : min(1, Double(carried) / Double(size))
        let width = 24
        let full = Int(share * Double(width))
        return StyledText(String(repeating: "█", count: full), .good)
            + StyledText(String(repeating: "░", count: width - full), .quiet)
            + StyledText("\(Int(share * 100))%".leftPadded(to: 5) + "  \(megabytes(min(carried, size)))")
    }

    private func megabytes(_ bytes: Int) -> String {
        guard bytes >= 1 << 20 else { return say("\(bytes) bytes", "\(bytes) 字节") }
        let tenths = (bytes * 10) >> 20
        return "\(tenths / 10).\(tenths % 10) MiB"
    }

    // MARK: --serve and --client

    /// Receives a file from each connection, one after another, into `received` in the folder where the lab was started.
    func serve() throws {
        let folder = FileManager.default.currentDirectoryPath + "/received"
        let wire = try FileWire(host: play.host, port: play.port, speed: nil)
        defer { wire.close() }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        play.screen.print([StyledText("listening on \(wire.address)")])
        if play.stage.draws {
            play.screen.print(
                say("Files come into \(folder). Ctrl-C stops.", "文件收进 \(folder)。按 Ctrl-C 停止。"), .quiet)
        }
        while true {
            let connection = try wire.accept(until: nil)
            let receiver = Caller(play, play.subject, side: .right, isDrawn: false)
            defer { receiver.end() }
            do {
                defer { close(connection) }
                try receiver.begin("receive-file", [.passed(connection), .string(folder), .int(1)])
            }
            let outcome = try receiver.poll(until: Deadline(in: 3600))
            let text = outcome?.text ?? say("gave up after an hour", "等了一小时，放弃了")
            if play.stage.draws { play.screen.print([StyledText(say("the receiver \(text)", "接收方\(text)"))]) }
        }
    }

    /// Sends the files that the lines name.
    func sendLines(to server: Endpoint) throws {
        play.introduce(say("Type the path of a file to send it (Ctrl-D ends).", "输入文件的路径就发送它（Ctrl-D 结束）。"))
        let address = try SocketAddress(host: server.host, port: server.port)
        while let line = play.screen.readLine(prompt: say("file> ", "文件> ")) {
            guard let path = path(line) else { continue }
            let sender = Caller(play, play.subject, isDrawn: false)
            // Its end is the end of the connection.
            defer { sender.end() }
            do {
                _ = try sender.call(
                    "send-file", [.socket(type: SOCK_STREAM, address: address.bytes), .list([.string(path)])],
                    server: server, within: 3600)
                play.screen.answer(Array(say("\(path): sent", "\(path)：已发送").utf8))
            } catch let failure as NoAnswer {
                guard play.screen.isInteractive else { throw CommandError(failure.exit, failure.text) }
                play.screen.complain(failure.text)
            }
        }
    }

    /// From where the lab was started; nil, after having said so, if there is no such file.
    private func path(_ line: [UInt8]) -> String? {
        let text = String(decoding: line, as: UTF8.self).trimmingCharacters(in: .whitespaces)
        guard !text.isEmpty else { return nil }
        let path = URL(fileURLWithPath: text).path
        if FileManager.default.isReadableFile(atPath: path) { return path }
        play.screen.complain(say("There is no file \(path) that can be read.", "没有可读的文件 \(path)。"))
        return nil
    }
}
