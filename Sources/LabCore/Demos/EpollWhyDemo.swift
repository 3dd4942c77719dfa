// epoll-why: how many messages a second the select server and the epoll server pass, measured here and now: with one client
// talking among more and more silent ones, and with all of them talking.
import Course
import Foundation
import GraderKit
import Sockets

extension Demo {
    static let epollWhy = Demo(
        "epoll-why", Lesson07.slug,
        "select against epoll, measured here: silent clients make the difference",
        "select 对 epoll，当场测量：差别出在不说话的客户端上", port: nil, [.mine, .json], isShow: true
    ) { play in
        try EpollWhy(play).show()
    }
}

/// What was measured, as `--json` prints it.
struct EpollWhyResult: Encodable {
    struct Point: Encodable {
        /// Silent clients beside the one that talks; or clients, all of which talk.
        var clients: Int
        /// Messages a second: the middle one of the rounds.
        var select: Int
        var epoll: Int
        /// select's messages for one of epoll's.
        var ratio: Double
    }
    /// Code that was built for debugging is slower, and the student's and the reference's servers alike.
    var build: String
    var oneTalksOthersAreSilent: [Point] = []
    var allTalk: [Point] = []
}

private final class EpollWhy {
    private let play: Play
    private let columns: Int
    private var result = EpollWhyResult(build: EpollWhy.build)
    /// The longest bar stands for so many messages a second.
    private var scale = 1.0

    /// A round of one server; both take turns, so that whatever else the machine does meets both.
    private static let round = 0.12
    private static let rounds = 5
    private static let silent = [0, 100, 300, 600, 900]
    private static let talking = [1, 100, 300, 900]
    /// Beside the clients: what a server and the lab have open themselves.
    private static let spare = 120

    private static var build: String {
        #if DEBUG
        "debug"
        #else
        "release"
        #endif
    }

    init(_ play: Play) {
        self.play = play
        columns = min(max(play.screen.columns, 44), 100)
    }

    func show() throws {
        let json = play.options.json
        let most = min(Int(clamping: descriptorsPermitted), 1024) - EpollWhy.spare
        let (silent, talking) = (EpollWhy.silent.filter { $0 < most }, EpollWhy.talking.filter { $0 <= most })
        if !json { introduce() }
        // Servers and load on one CPU: nobody waits for another one to wake up, and the ratios repeat.
        let freed = OneCPU.hold()
        defer { freed() }
        let select = try Measured(play, play.reference(Lesson06.slug), "select-server", name: "select")
        let epoll = try Measured(play, play.subject, "epoll-server", name: "epoll")
        if !json { heading(say("one client talks, and so many are silent", "一个客户端说话，这么多个不说话")) }
        for count in silent {
            let point = try measure(select, epoll, clients: count + 1, shownAs: count) { try $0.oneTalks(for: $1) }
            result.oneTalksOthersAreSilent.append(point)
            if !json { draw(point) }
        }
        if !json { heading(say("so many clients, and all of them talk", "这么多个客户端，全都说话")) }
        for count in talking {
            let point = try measure(select, epoll, clients: count, shownAs: count) { try $0.allTalk(for: $1) }
            result.allTalk.append(point)
            if !json { draw(point) }
        }
        if json { try printJSON() } else { conclude() }
    }

    // MARK: Measuring

    private func measure(
        _ select: Measured, _ epoll: Measured, clients: Int, shownAs number: Int,
        _ run: (EchoLoad, Double) throws -> Double
    ) throws -> EpollWhyResult.Point {
        let loads = [
            try EchoLoad(to: select.address, clients: clients), try EchoLoad(to: epoll.address, clients: clients),
        ]
        var rates: [[Double]] = [[], []]
        for round in 0..<EpollWhy.rounds {
            for (index, server) in [select, epoll].enumerated() {
                if play.stage.draws, !play.options.json {
                    play.screen.progress(
                        StyledText(
                            say(
                                "measuring: \(number) clients, \(server.name), round \(round + 1) of \(EpollWhy.rounds)",
                                "正在测量：\(number) 个客户端，\(server.name)，第 \(round + 1)/\(EpollWhy.rounds) 轮"), .quiet))
                }
                do { rates[index].append(try run(loads[index], EpollWhy.round)) } catch let error as EchoLoad.NoEcho {
                    throw server.explained(error)
                }
            }
        }
        let middle = rates.map { $0.sorted()[$0.count / 2] }
        return .init(
            clients: number, select: Int(middle[0]), epoll: Int(middle[1]),
            ratio: (middle[0] / max(middle[1], 1) * 100).rounded() / 100)
    }

    // MARK: Drawing

    private func introduce() {
        guard play.stage.draws else { return }
        play.introduce(
            say(
                "The same question to two servers: a message of 16 bytes there and back, again and again, for "
                    + "\(Int(EpollWhy.round * 1000)) ms, \(EpollWhy.rounds) times each in turn. Every answer is "
                    + "compared. Everything runs on one CPU of this machine, in a \(EpollWhy.build) build: what counts is "
                    + "how the two compare.",
                "同样的问题问两个服务器：16 字节的消息一来一回，不断重复，每次 \(Int(EpollWhy.round * 1000)) 毫秒，轮流各 \(EpollWhy.rounds) 次。"
                    + "每个回答都核对。全部在这台机器的一个 CPU 上运行，\(EpollWhy.build) 构建：要看的是两者的对比。"), gap: false)
    }

    /// `  900 select ████████  12,345  0.18`
    private var barWidth: Int { columns - 7 - 1 - 7 - 1 - 9 - 1 - 5 }

    private func heading(_ text: String) {
        guard play.stage.draws else { return }
        play.screen.eraseProgress()
        play.screen.print([
            StyledText(),
            StyledText(text, .strong),
            StyledText(
                say("clients", "客户端").leftPadded(to: 7)
                    + say("messages a second", "每秒消息数").leftPadded(to: 8 + barWidth + 10)
                    + say("ratio", "比值").leftPadded(to: 6), .quiet),
        ])
        scale = 0
    }

    private func draw(_ point: EpollWhyResult.Point) {
        play.screen.eraseProgress()
        guard play.stage.draws else {
            play.screen.print([StyledText("\(point.clients) \(point.select) \(point.epoll) \(ratio(point))")])
            return
        }
        // The first one is the fastest, give or take.
        if scale == 0 { scale = Double(max(point.select, point.epoll)) * 1.15 }
        play.screen.print([
            row("\(point.clients)", "select", point.select, .waiting, ratio: ""),
            row("", "epoll", point.epoll, .good, ratio: ratio(point)),
        ])
    }

    private func ratio(_ point: EpollWhyResult.Point) -> String {
        let hundredths = Int((point.ratio * 100).rounded())
        return "\(hundredths / 100)." + (hundredths % 100 < 10 ? "0" : "") + "\(hundredths % 100)"
    }

    private func row(_ label: String, _ name: String, _ rate: Int, _ style: Style, ratio: String) -> StyledText {
        // Eighths of a column.
        let eighths = max(1, min(barWidth * 8, Int(Double(rate) / scale * Double(barWidth) * 8)))
        let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
        let bar = String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
        return StyledText(label.leftPadded(to: 7) + " " + name.padded(to: 7))
            + StyledText(bar.padded(to: barWidth), style)
            + StyledText(" " + grouped(rate).leftPadded(to: 9)) + StyledText(" " + ratio.leftPadded(to: 5), .strong)
    }

    private func conclude() {
        guard play.stage.draws, let last = result.oneTalksOthersAreSilent.last, let all = result.allTalk.last else {
            return
        }
        play.screen.print([StyledText()])
        play.screen.print(
            say(
                "With \(last.clients) silent clients select does \(ratio(last)) of epoll's messages: for each one it looks "
                    + "at all of them. When all \(all.clients) talk it does \(ratio(all)): both have to look at everybody.",
                "有 \(last.clients) 个客户端不说话时，select 的消息数是 epoll 的 \(ratio(last))：每条消息它都要把所有人看一遍。"
                    + "\(all.clients) 个全都说话时是 \(ratio(all))：两者都得看所有人。"), .strong)
    }

    private func printJSON() throws {
        play.screen.eraseProgress()
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        play.screen.print([StyledText(String(decoding: try encoder.encode(result), as: UTF8.self))])
    }
}

/// `12,345`
func grouped(_ number: Int) -> String {
    var digits = "\(number)"
    var parts: [String] = []
    while digits.count > 3 {
        parts.insert(String(digits.suffix(3)), at: 0)
        digits.removeLast(3)
    }
    return ([digits] + parts).joined(separator: ",")
}

/// A server whose tap has ended, so that it is as fast as it is.
private struct Measured {
    let name: String
    let subject: Subject
    let address: SocketAddress

    init(_ play: Play, _ program: Program, _ entry: String, name: String) throws {
        self.name = name
        let server = try play.stage.startUnwatched(program, descriptorLimit: Int(clamping: descriptorsPermitted))
        subject = server
        address = try play.reached(
            try server.startServing(entry, host: "127.0.0.1", port: 0), server, "127.0.0.1", 0)
    }

    func explained(_ error: EchoLoad.NoEcho) -> CommandError {
        if subject.hasEnded != nil { return Complaint.ended(subject) }
        return CommandError(.notPassed, say("The \(name) server: ", "\(name) 服务器：") + error.text)
    }
}
