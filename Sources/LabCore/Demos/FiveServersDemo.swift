// five-servers: the five servers of lesson 12 under the same load, one after another: how many clients each serves at once, what
// that takes, and how many connections a second come and go. Measured here and now; nothing is judged.
import Course
import Foundation
import GraderKit
import Sockets

extension Demo {
    static let fiveServers = Demo(
        "five-servers", Lesson12.slug,
        "five servers under the same load, measured here", "五个服务器承受同样的负载，当场测量", port: nil, [.json], isShow: true
    ) { play in
        try FiveServers(play).show()
    }
}

/// What was measured, as `--json` prints it.
struct FiveServersResult: Encodable {
    struct Server: Encodable {
        var name: String
        /// Of the clients that were connected at the same time and had asked: how many had their answer.
        var servedAtOnce: Int
        var threads: Int
        var processes: Int
        /// In bytes: of the server and its children, with the clients connected.
        var memory: Int
        /// Connections that came, asked, were answered and left, in a second: the middle one of the rounds.
        var connectionsPerSecond: Int
    }
    var clients: Int
    var servers: [Server] = []
}

private final class FiveServers {
    private let play: Play
    private let columns: Int
    private var result = FiveServersResult(clients: FiveServers.clients)
    private var scale = 0.0

    private static let clients = 30
    private static let round = 0.3
    private static let rounds = 3
    private static let entries = [
        ("iterative", "iterative-server"), ("fork", "fork-server"), ("threads", "thread-server"),
        ("pool", "pool-server"),
        ("async", "async-server"),
    ]

    init(_ play: Play) {
        self.play = play
        columns = min(max(play.screen.columns, 50), 100)
    }

    func show() throws {
        let json = play.options.json
        if !json { introduce() }
        for (name, entry) in FiveServers.entries {
            let server = try measure(name, entry)
            result.servers.append(server)
            if !json { draw(server) }
        }
        if json { try printJSON() } else { conclude() }
    }

    // MARK: Measuring

    private func measure(_ name: String, _ entry: String) throws -> FiveServersResult.Server {
        let subject = try play.stage.startUnwatched(
            play.reference(Lesson12.slug), descriptorLimit: min(Int(clamping: descriptorsPermitted), 1024))
        defer { subject.stop() }
        let address = try play.reached(
            try subject.startServing(entry, host: "127.0.0.1", port: 0), subject, "127.0.0.1", 0)
        do {
            let crowd = try VisitLoad(to: address, clients: FiveServers.clients)
            progress(say("\(name): \(FiveServers.clients) clients at once", "\(name)：\(FiveServers.clients) 个客户端同时连着"))
            let served = try crowd.answeredAtOnce()
            let children = subject.children.all.count
            var server = FiveServersResult.Server(
                name: name, servedAtOnce: served, threads: subject.threadCount + children, processes: 1 + children,
                memory: subject.memoryWithChildren, connectionsPerSecond: 0)
            crowd.leave()
            var rates: [Double] = []
            for round in 1...FiveServers.rounds {
                progress(
                    say(
                        "\(name): clients come and go, round \(round) of \(FiveServers.rounds)",
                        "\(name)：客户端来来去去，第 \(round)/\(FiveServers.rounds) 轮"))
                rates.append(try crowd.visits(for: FiveServers.round))
            }
            server.connectionsPerSecond = Int(rates.sorted()[rates.count / 2])
            return server
        } catch let error as EchoLoad.NoEcho {
            if subject.hasEnded != nil { throw Complaint.ended(subject) }
            throw CommandError(.notPassed, say("The \(name) server: ", "\(name) 服务器：") + error.text)
        }
    }

    private func progress(_ text: String) {
        if play.stage.draws, !play.options.json { play.screen.progress(StyledText(text, .quiet)) }
    }

    // MARK: Drawing

    private func introduce() {
        guard play.stage.draws else { return }
        play.introduce(
            say(
                "\(FiveServers.clients) clients connect to each server and ask: how many are answered while all stay, and with "
                    + "how many threads, processes and megabytes? Then clients come, ask, and leave, \(FiveServers.clients) at a "
                    + "time, as fast as they are served.",
                "每个服务器都有 \(FiveServers.clients) 个客户端连上来提问：大家都不走时，有多少得到回答？用了多少线程、进程和内存？"
                    + "然后客户端来了、问了、走了，始终保持 \(FiveServers.clients) 个，服务多快就来多快。"), gap: false)
        play.screen.print([
            StyledText(),
            StyledText(
                say("server", "服务器").padded(to: 10) + say("at once", "同时").leftPadded(to: 7)
                    + say("threads", "线程").leftPadded(to: 8) + say("proc.", "进程").leftPadded(to: 6)
                    + say("memory", "内存").leftPadded(to: 9)
                    + say("conn./s", "连接/秒").leftPadded(to: 9), .quiet),
        ])
    }

    private var barWidth: Int { max(0, columns - 10 - 7 - 8 - 6 - 9 - 9 - 1) }

    private func draw(_ server: FiveServersResult.Server) {
        play.screen.eraseProgress()
        let tenths = (server.memory * 10) >> 20
        let memory = "\(tenths / 10).\(tenths % 10) MB"
        guard play.stage.draws else {
            play.screen.print([
                StyledText(
                    "\(server.name) \(server.servedAtOnce) \(server.threads) \(server.processes) \(memory) "
                        + "\(server.connectionsPerSecond)")
            ])
            return
        }
        // The first one has nothing to start for a client, so few are faster.
        if scale == 0 { scale = Double(server.connectionsPerSecond) * 1.3 }
        let eighths = max(1, min(barWidth * 8, Int(Double(server.connectionsPerSecond) / scale * Double(barWidth) * 8)))
        let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
        let bar = barWidth == 0 ? "" : String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
        play.screen.print([
            StyledText(server.name.padded(to: 10), .strong)
                + StyledText(
                    "\(server.servedAtOnce)".leftPadded(to: 7), server.servedAtOnce == result.clients ? .good : .waiting
                )
                + StyledText("\(server.threads)".leftPadded(to: 8) + "\(server.processes)".leftPadded(to: 6))
                + StyledText(memory.leftPadded(to: 9) + grouped(server.connectionsPerSecond).leftPadded(to: 9))
                + StyledText(" " + bar, .waiting)
        ])
    }

    private func conclude() {
        guard play.stage.draws else { return }
        play.screen.print([StyledText()])
        play.screen.print(
            say(
                "Who is not answered at once is not lost: it waits, in the kernel's queue or in the pool's. Fork pays with a "
                    + "process for each client, threads with a stack; async keeps all in a few threads.",
                "没有马上得到回答的并没有丢，它在等：在内核的队列里，或者在池的队列里。fork 的代价是每个客户端一个进程，线程的代价是每人一个栈；"
                    + "async 用几个线程照看所有人。"), .strong)
    }

    private func printJSON() throws {
        play.screen.eraseProgress()
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        play.screen.print([StyledText(String(decoding: try encoder.encode(result), as: UTF8.self))])
    }
}
