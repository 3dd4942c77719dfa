// buffering: the same bytes one by one, in lines, and through a buffer, written and read: how many calls, how fast.
import Course
import Foundation
import GraderKit
import Sockets

extension Demo {
    static let buffering = Demo(
        "buffering", Lesson13.slug,
        "the same bytes one by one, in lines, and buffered: calls and speed, measured here",
        "同样的字节逐个发、逐行发、缓冲后发：当场测量调用次数和速度", port: nil, [.json], isShow: true
    ) { play in
        try Buffering(play).show()
    }
}

private struct BufferingResult: Encodable {
    var bytes = Buffering.size
    var writing: [MeasuredWay] = []
    var reading: [MeasuredWay] = []
}

private final class Buffering {
    private let play: Play
    /// Lines of 64 bytes.
    private let text: [UInt8]

    static let size = 256 << 10
    private static let line = 64
    private static let buffer = 8192

    init(_ play: Play) {
        self.play = play
        text = (0..<Buffering.size).map { $0 % Buffering.line == Buffering.line - 1 ? UInt8(ascii: "\n") : 65 }
    }

    func show() throws {
        var result = BufferingResult()
        if !play.options.json {
            play.introduce(
                say(
                    "256 KiB of lines over a TCP connection on loopback, three rounds in turns, the middle one shown. Calls and "
                        + "CPU time are those of the side that is measured; the other side uses a large buffer.",
                    "256 KiB 的文本行，经过本机回环 TCP 连接，轮流三轮，显示中间那轮。调用次数和 CPU 时间是被测一侧的；另一侧用大缓冲区。"), gap: false)
        }
        // Not ended by Ctrl-C: who is sending then would be told of a broken connection.
        let away = try LoopbackConnection(LoopbackConnection.sink)
        defer { away.end() }
        let writing = write(away.near)
        result.writing = try writing.measure()
        if !play.options.json { writing.draw(result.writing, say("writing", "写")) }
        let back = try LoopbackConnection { [text] far in
            while (try? sendInPieces(text, 1 << 16, far)) != nil {}
        }
        defer { back.end() }
        let reading = read(back.near)
        result.reading = try reading.measure()
        if play.options.json { return try play.printMeasured(result) }
        reading.draw(result.reading, say("reading", "读"))
        conclude(result)
    }

    private func conclude(_ result: BufferingResult) {
        guard play.stage.draws, let slow = result.writing.first, let fast = result.writing.last else { return }
        let times = Int(fast.megabytesPerSecond / max(slow.megabytesPerSecond, 0.1))
        let call = slow.cpuMilliseconds * 1_000_000 / Double(max(slow.calls, 1))
        play.screen.print([StyledText()])
        play.screen.print(
            say(
                "One send took \(Int(call)) ns of CPU, for a single byte. Buffered, the same bytes go \(times) times as fast.",
                "一次 send 占用 CPU \(Int(call)) 纳秒，只为一个字节。缓冲之后，同样的字节快了 \(times) 倍。"), .strong)
    }

    // MARK: Writing

    private func write(_ socket: Int32) -> Contest {
        func way(_ name: String, _ title: String, _ piece: Int) -> Contest.Way {
            Contest.Way(name: name, title: title) { [text] in try sendInPieces(text, piece, socket) }
        }
        return Contest(
            play: play, bytes: text.count,
            ways: [
                way("one by one", say("one by one", "逐个字节"), 1),
                way("in lines", say("in lines of 64", "每行 64 字节"), Buffering.line),
                way("buffered", say("buffered, 8 KiB", "缓冲 8 KiB"), Buffering.buffer),
            ])
    }

    // MARK: Reading

    /// The far end sends without end; each way takes as many bytes as the text has.
    private func read(_ socket: Int32) -> Contest {
        func way(_ name: String, _ title: String, _ piece: Int) -> Contest.Way {
            Contest.Way(name: name, title: title) { try receiveInPieces(Buffering.size, piece, socket) }
        }
        return Contest(
            play: play, bytes: text.count,
            ways: [
                way("one by one", say("one by one", "逐个字节"), 1),
                way("in lines", say("in lines of 64", "每行 64 字节"), Buffering.line),
                way("buffered", say("buffered, 8 KiB", "缓冲 8 KiB"), Buffering.buffer),
            ])
    }
}

/// - Returns: how many calls it took.
func sendInPieces(_ bytes: [UInt8], _ piece: Int, _ socket: Int32) throws -> Int {
    try bytes.withUnsafeBytes { bytes in
        var (sent, calls) = (0, 0)
        while sent < bytes.count {
            let count = send(socket, bytes.baseAddress! + sent, min(piece, bytes.count - sent), MSG_NOSIGNAL)
            calls += 1
            if count < 0 && errno == EINTR { continue }
            sent += try check("send", count)
        }
        return calls
    }
}

/// Whatever recv gives, asked for in pieces of this size.
private func receiveInPieces(_ total: Int, _ piece: Int, _ socket: Int32) throws -> Int {
    try withUnsafeTemporaryAllocation(byteCount: piece, alignment: 16) { room in
        var (received, calls) = (0, 0)
        while received < total {
            let count = recv(socket, room.baseAddress, min(piece, total - received), 0)
            calls += 1
            if count < 0 && errno == EINTR { continue }
            guard try check("recv", count) > 0 else { throw SocketError("recv", ECONNRESET) }
            received += count
        }
        return calls
    }
}
