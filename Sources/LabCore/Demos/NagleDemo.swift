// nagle: how long an answer takes that goes out in two writes, measured here and now; then with TCP_NODELAY, then in one write.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension Demo {
    static let nagle = Demo(
        "nagle", Lesson10.slug,
        "one answer in two writes, measured here: where 40 ms come from, and how they go",
        "一个回答分两次写，当场测量：40 毫秒从哪里来，怎样消失", port: nil, [.mine, .json], isShow: true
    ) { play in
        try NagleShow(play).show()
    }
}

/// What was measured, as `--json` prints it.
struct NagleResult: Encodable {
    struct Row: Encodable {
        var name: String
        var answers: Int
        /// For one question and its answer: the middle one of all.
        var milliseconds: Double
        /// All of them together.
        var totalMilliseconds: Double
        /// Segments with data that the client got, for each answer; null where the system does not count them.
        var packets: Double?
    }
    var rows: [Row] = []
}

private final class NagleShow {
    private let play: Play
    private let columns: Int
    private var result = NagleResult()

    /// With 40 ms each this is a second.
    private static let answers = 25

    init(_ play: Play) {
        self.play = play
        columns = min(max(play.screen.columns, 44), 100)
    }

    func show() throws {
        if !play.options.json { introduce() }
        // Before anything is measured: a student who has not written it yet should not wait for that.
        let lesson = try startLesson()
        try measureOwn("two-writes", say("two writes", "分两次写"), noDelay: false)
        try measureOwn("two-writes-nodelay", say("two, TCP_NODELAY", "两次，TCP_NODELAY"), noDelay: true)
        try measure(lesson)
        if play.options.json { try printJSON() } else { draw() }
    }

    // MARK: Measuring

    /// A server of this demo's own.
    private func measureOwn(_ name: String, _ title: String, noDelay: Bool) throws {
        let server = try TwoWriteServer(noDelay: noDelay)
        try measure(name, title, at: server.address)
    }

    /// The request-server of the lesson, or the student's.
    private struct LessonServer {
        var subject: Subject
        var address: SocketAddress
    }

    private func startLesson() throws -> LessonServer {
        let subject = try play.stage.startUnwatched(play.subject, descriptorLimit: 64)
        let serving = try subject.startServing("request-server", host: "127.0.0.1", port: 0)
        return LessonServer(subject: subject, address: try play.reached(serving, subject, "127.0.0.1", 0))
    }

    private func measure(_ server: LessonServer) throws {
        do {
            try measure(
                "request-server", play.options.mine ? say("your server", "你的服务器") : say("one write", "一次写"),
                at: server.address)
        } catch let error as CommandError {
            if let place = server.subject.reachedTodo { throw Complaint.notStarted(place) }
            if let outcome = server.subject.outcomeOfServer {
                throw CommandError(
                    .notPassed, say("The server has stopped: it \(outcome.text).", "服务器停止了：它\(outcome.text)。"))
            }
            if server.subject.hasEnded != nil { throw Complaint.ended(server.subject) }
            throw error
        }
    }

    private func measure(_ name: String, _ title: String, at address: SocketAddress) throws {
        let client = try LineClient(to: address)
        var times: [Double] = []
        for number in 1...NagleShow.answers {
            if play.stage.draws, !play.options.json {
                play.screen.progress(
                    StyledText(
                        say(
                            "\(title): question \(number) of \(NagleShow.answers)",
                            "\(title)：第 \(number)/\(NagleShow.answers) 问"), .quiet))
            }
            times.append(try client.ask())
        }
        let middle = times.sorted()[times.count / 2]
        result.rows.append(
            .init(
                name: name, answers: times.count, milliseconds: rounded(middle),
                totalMilliseconds: rounded(times.reduce(0, +)),
                packets: receivedSegments(of: client.descriptor).map { rounded(Double($0) / Double(times.count)) }))
        titles.append(title)
    }

    private var titles: [String] = []

    // MARK: Drawing

    private func introduce() {
        guard play.stage.draws else { return }
        play.introduce(
            say(
                "A client asks \"hello\" \(NagleShow.answers) times over loopback, and waits for each answer: \"5\", a newline, "
                    + "\"HELLO\". Three servers: one writes the answer in two pieces, one does the same with TCP_NODELAY, one "
                    + "writes it at once.",
                "客户端在回环上问 \(NagleShow.answers) 次“hello”，每次等到回答：“5”、换行、“HELLO”。三个服务器："
                    + "一个分两次写出回答，一个同样分两次但设了 TCP_NODELAY，一个一次写完。"))
    }

    private func draw() {
        play.screen.eraseProgress()
        guard play.stage.draws else {
            return play.screen.print(result.rows.map { StyledText("\($0.name) \(text($0.milliseconds)) ms") })
        }
        let longest = result.rows.map(\.milliseconds).max() ?? 1
        let titleWidth = (titles.map { displayWidth($0) }.max() ?? 0) + 1
        // Two columns of numbers behind the bar.
        let barWidth = max(8, columns - titleWidth - 12 - 12)
        play.screen.print([
            StyledText(
                String(repeating: " ", count: titleWidth + barWidth) + say("one answer", "一个回答").leftPadded(to: 12)
                    + say("packets", "包数").leftPadded(to: 12), .quiet)
        ])
        for (row, title) in zip(result.rows, titles) {
            let eighths = max(1, Int(row.milliseconds / longest * Double(barWidth) * 8))
            let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
            let bar = String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
            let isSlow = row.milliseconds * 10 > longest
            play.screen.print([
                StyledText(title.padded(to: titleWidth))
                    + StyledText(bar.padded(to: barWidth), isSlow ? .waiting : .good)
                    + StyledText("\(text(row.milliseconds)) ms".leftPadded(to: 12), .strong)
                    + StyledText((row.packets.map { text($0) } ?? "–").leftPadded(to: 12), .quiet)
            ])
        }
        conclude()
    }

    private func conclude() {
        guard result.rows.count == 3 else { return }
        let (two, noDelay, lesson) = (result.rows[0], result.rows[1], result.rows[2])
        play.screen.print([StyledText()])
        let factor = Int(two.milliseconds / max(noDelay.milliseconds, 0.001))
        if factor >= 10 {
            play.screen.print(
                say(
                    "In two writes an answer took \(factor) times as long. Between its halves everybody waits: the server's kernel "
                        + "for an ACK before it lets the second small packet go (Nagle), the client's kernel for something that "
                        + "the ACK could go along with (delayed ACK).",
                    "分两次写，一个回答用了 \(factor) 倍的时间。两半之间大家都在等：服务器的内核要等到 ACK 才放走第二个小包（Nagle），"
                        + "客户端的内核在等可以捎带 ACK 的数据（延迟确认）。"), .strong)
        } else {
            play.screen.print(say("Here the second write was not held back for long.", "这一次，第二次写并没有被扣住多久。"), .strong)
        }
        guard play.options.mine, lesson.milliseconds > 10 * noDelay.milliseconds else { return }
        play.screen.print(
            say(
                "Yours is slow, too: is its answer two sends, without TCP_NODELAY?",
                "你的服务器也慢：它的回答是不是分了两次 send，又没有设 TCP_NODELAY？"), .waiting)
    }

    /// `43.9`, `0.02`
    private func text(_ number: Double) -> String {
        number >= 1 ? String(format: "%.1f", number) : String(format: "%.2f", number)
    }

    private func rounded(_ number: Double) -> Double { (number * 1000).rounded() / 1000 }

    private func printJSON() throws {
        play.screen.eraseProgress()
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        play.screen.print([StyledText(String(decoding: try encoder.encode(result), as: UTF8.self))])
    }
}

/// The server that everybody writes once: one client, and an answer in two sends.
private final class TwoWriteServer {
    let address: SocketAddress

    init(noDelay: Bool) throws {
        let any = try SocketAddress(host: "127.0.0.1", port: 0)
        let listener = try closeOnExecSocket(AF_INET, SOCK_STREAM)
        do {
            try check("bind", any.withSockaddr { bind(listener, $0, $1) })
            try check("listen", listen(listener, 1))
            address = try SocketAddress.local(of: listener)
        } catch {
            close(listener)
            throw error
        }
        Thread.detachNewThread {
            defer { close(listener) }
            let connection = acceptCloseOnExec(listener)
            guard connection >= 0 else { return }
            defer { close(connection) }
            var on: Int32 = noDelay ? 1 : 0
            setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
            var buffer = [UInt8](repeating: 0, count: 64)
            while true {
                let count = recv(connection, &buffer, buffer.count, 0)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { return }
                // One question at a time, and a send of so few bytes takes all of them: what fails here ends the connection,
                // and the client says so.
                for half in ["5\n", "HELLO"] {
                    guard send(connection, half, half.utf8.count, MSG_NOSIGNAL) == half.utf8.count else { return }
                }
            }
        }
    }
}

/// Asks, waits for the answer, and says how long that took.
private final class LineClient {
    let descriptor: Int32
    private let question = Array("hello\n".utf8)
    private let answer = Array("5\nHELLO".utf8)
    /// How long an answer may take (s).
    private static let patience = 10

    init(to address: SocketAddress) throws {
        descriptor = try closeOnExecSocket(address.family, SOCK_STREAM)
        var limit = timeval(tv_sec: LineClient.patience, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        try check("connect", address.withSockaddr { connect(descriptor, $0, $1) })
    }

    deinit { close(descriptor) }

    /// - Returns: milliseconds.
    func ask() throws -> Double {
        let began = now()
        guard send(descriptor, question, question.count, MSG_NOSIGNAL) == question.count else {
            throw wrong(say("the connection is broken: \(errorText(errno))", "连接断开：\(errorText(errno))"))
        }
        var got: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64)
        while got.count < answer.count {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            if count < 0 && errno == EAGAIN {
                throw wrong(say("no answer within \(LineClient.patience) s", "\(LineClient.patience) 秒内没有回答"))
            }
            guard count > 0 else { throw wrong(say("the connection was closed", "连接被关闭")) }
            got += buffer[..<count]
        }
        guard got == answer else { throw wrong(quoted(got)) }
        return Double(now() - began) / 1e6
    }

    private func wrong(_ what: String) -> CommandError {
        CommandError(
            .notPassed,
            say(
                "The server does not answer \"5\\nHELLO\" to \"hello\\n\": \(what).",
                "服务器没有用“5\\nHELLO”回答“hello\\n”：\(what)。"))
    }
}
