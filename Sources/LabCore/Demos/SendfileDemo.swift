// sendfile: a file by read and send, and by sendfile; an answer in pieces by send, by copying, and by writev.
import Course
import Foundation
import GraderKit
import Sockets

extension Demo {
    static let sendfile = Demo(
        "sendfile", Lesson13.slug,
        "writev and sendfile against send: calls, speed and CPU time, measured here",
        "writev 和 sendfile 对比 send：当场测量调用次数、速度和 CPU 时间", port: nil, [.json], isShow: true
    ) { play in
        try Sendfile(play).show()
    }
}

private struct SendfileResult: Encodable {
    var fileBytes = Sendfile.fileSize
    var file: [MeasuredWay] = []
    /// 64 pieces of 200 bytes, and of 16 KiB.
    var shortPieces: [MeasuredWay] = []
    var longPieces: [MeasuredWay] = []
}

private final class Sendfile {
    private let play: Play

    static let fileSize = 16 << 20
    static let pieces = 64

    init(_ play: Play) { self.play = play }

    func show() throws {
        var result = SendfileResult()
        if !play.options.json {
            play.introduce(
                say(
                    "Over a TCP connection on loopback, three rounds in turns, the middle one shown. Calls and CPU time are the "
                        + "sender's. The receiver copies in any case, so look at the CPU time too.",
                    "经过本机回环 TCP 连接，轮流三轮，显示中间那轮。调用次数和 CPU 时间是发送方的。接收方总要复制一次，所以也要看 CPU 时间。"), gap: false)
        }
        let connection = try LoopbackConnection(LoopbackConnection.sink)
        // Not ended by Ctrl-C: who is sending then would be told of a broken connection.
        defer { connection.end() }
        let file = try makeFile()
        defer { close(file) }
        let files = fileContest(file, connection.near)
        result.file = try files.measure()
        if !play.options.json {
            files.draw(result.file, say("a file of 16 MiB, in the file cache", "16 MiB 的文件，已在文件缓存中"))
        }
        let short = pieceContest(200, connection.near)
        result.shortPieces = try short.measure()
        if !play.options.json {
            short.draw(
                result.shortPieces, say("an answer of 64 pieces, 200 bytes each", "由 64 段组成的回答，每段 200 字节"))
        }
        let long = pieceContest(16 << 10, connection.near)
        result.longPieces = try long.measure()
        if play.options.json { return try play.printMeasured(result) }
        long.draw(result.longPieces, say("64 pieces of 16 KiB each", "64 段，每段 16 KiB"))
    }

    // MARK: A file

    private func makeFile() throws -> Int32 {
        let path = play.stage.folder + "/content"
        guard FileManager.default.createFile(atPath: path, contents: Data(repeating: 65, count: Sendfile.fileSize))
        else {
            throw CommandError.failure(say("cannot write \(path)", "写不了 \(path)"))
        }
        return try check("open", open(path, O_RDONLY | O_CLOEXEC))
    }

    private func fileContest(_ file: Int32, _ socket: Int32) -> Contest {
        func copying(_ piece: Int) throws -> Int {
            var buffer = [UInt8](repeating: 0, count: piece)
            var (offset, calls) = (0, 0)
            while offset < Sendfile.fileSize {
                let count = try check("pread", pread(file, &buffer, piece, off_t(offset)))
                calls += 1
                guard count > 0 else { throw CommandError.failure(say("the file became shorter", "文件变短了")) }
                calls += try sendInPieces(count == piece ? buffer : Array(buffer[..<count]), piece, socket)
                offset += count
            }
            return calls
        }
        return Contest(
            play: play, bytes: Sendfile.fileSize,
            ways: [
                .init(name: "read and send, 8 KiB", title: say("read, send 8 KiB", "read+send 8 KiB")) {
                    try copying(8192)
                },
                .init(name: "read and send, 64 KiB", title: say("read, send 64 KiB", "read+send 64 KiB")) {
                    try copying(65_536)
                },
                .init(name: "sendfile", title: "sendfile") {
                    var (offset, calls) = (0, 0)
                    while offset < Sendfile.fileSize {
                        let count = sendPart(of: file, from: offset, count: Sendfile.fileSize - offset, to: socket)
                        calls += 1
                        if count < 0 && errno == EINTR { continue }
                        offset += try check("sendfile", count)
                    }
                    return calls
                },
            ])
    }

    // MARK: Pieces

    private func pieceContest(_ size: Int, _ socket: Int32) -> Contest {
        let pieces = (0..<Sendfile.pieces).map { [UInt8](repeating: UInt8(65 + $0 % 26), count: size) }
        return Contest(
            play: play, bytes: Sendfile.pieces * size,
            ways: [
                .init(name: "send each", title: say("send each", "逐段 send")) {
                    try pieces.reduce(0) { $0 + (try sendInPieces($1, $1.count, socket)) }
                },
                .init(name: "copy, send", title: say("copy, send once", "拼接后 send")) {
                    var whole: [UInt8] = []
                    whole.reserveCapacity(Sendfile.pieces * size)
                    for piece in pieces { whole.append(contentsOf: piece) }
                    return try sendInPieces(whole, whole.count, socket)
                },
                .init(name: "writev", title: "writev") {
                    // The socket blocks: it waits until all of it has been taken.
                    let count = withVectors(of: pieces[...]) { writev(socket, &$0, Int32($0.count)) }
                    guard try check("writev", count) == Sendfile.pieces * size else {
                        throw CommandError.failure(say("writev took only \(count) bytes", "writev 只接受了 \(count) 字节"))
                    }
                    return 1
                },
            ])
    }
}
