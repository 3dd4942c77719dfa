// connection-pool: many requests, with a connection each and with a pool: connects, ports in TIME-WAIT, time.
import Course
import Foundation
import GraderKit
import Sockets

extension Demo {
    static let connectionPool = Demo(
        "connection-pool", Lesson13.slug,
        "many requests with and without a pool: connects, ports in TIME-WAIT, time",
        "许多请求，有池和没有池：连接次数、TIME-WAIT 端口、用时", port: nil, [.mine, .json], isShow: true
    ) { play in
        try PoolShow(play).show()
    }
}

struct PoolResult: Encodable {
    struct Way: Encodable {
        /// `alone`, `pool`
        var name: String
        var requests: Int
        var connects: Int
        /// Nil where the system does not tell.
        var timeWait: Int?
        var milliseconds: Double
    }
    var ways: [Way] = []
}

private final class PoolShow {
    private let play: Play
    private static let threads = 4
    private static let each = 150
    private static let limit = 4
    private static let request = Array("question".utf8)
    /// How long all the requests of one way may take (s).
    private static let patience = 60.0

    init(_ play: Play) { self.play = play }

    func show() throws {
        if !play.options.json {
            play.introduce(
                say(
                    "\(PoolShow.threads) threads ask \(PoolShow.each) times each: 8 bytes there, 8 bytes back. First with a "
                        + "connection for each request, then over a pool of at most \(PoolShow.limit) (\(play.author)). On loopback "
                        + "connect is cheap: over a network each one costs a round trip more.",
                    "\(PoolShow.threads) 个线程各问 \(PoolShow.each) 次：发 8 字节，收 8 字节。先是每个请求一个连接，再用最多 \(PoolShow.limit) 个连接的池"
                        + "（\(play.author)）。在回环上 connect 很便宜；在真正的网络上，每次还要多一个来回。"), gap: false)
        }
        let client = try play.stage.start(play.subject, .left, isDrawn: false)
        var result = PoolResult()
        for name in ["alone", "pool"] { result.ways.append(try run(name, client)) }
        if play.options.json { return try play.printMeasured(result) }
        draw(result.ways)
        conclude(result.ways)
    }

    /// - Parameter name: `alone` or `pool`.
    private func run(_ name: String, _ client: Subject) throws -> PoolResult.Way {
        let server = try EchoingServer()
        defer { server.stop() }
        let address = server.address
        let made = try call(
            client, "pool-make", [.string(address.host), .int(Int(address.port)), .int(PoolShow.limit), .int(60_000)])
        guard case .int(let number) = made else { throw CommandError.failure("pool-make") }
        let job = Value.list([
            .string(name == "pool" ? "ask" : "alone"), .int(30_000), .bytes(PoolShow.request),
            .int(PoolShow.request.count), .int(PoolShow.each), .bytes(address.bytes),
        ])
        let began = now()
        let outcomes = try call(
            client, "pool-do", [.int(number), .list(Array(repeating: job, count: PoolShow.threads))])
        let took = Double(now() - began) / 1e6
        if case .list(let outcomes) = outcomes { for outcome in outcomes { try expectDone(outcome) } }
        // Closed by the client first, so that TIME-WAIT is on its side.
        _ = try call(client, "pool-close", [.int(number)])
        let waiting = KernelSocket.all(port: address.port)?.filter {
            $0.state == .timeWait && $0.remotePort == address.port
        }
        return PoolResult.Way(
            name: name, requests: PoolShow.threads * PoolShow.each, connects: server.accepted,
            timeWait: waiting?.count, milliseconds: (took * 10).rounded() / 10)
    }

    private func call(_ client: Subject, _ entry: String, _ arguments: [Value]) throws -> Value {
        switch try client.call(entry, arguments, until: Deadline(in: PoolShow.patience)) {
        case .returned(let value)?: return value
        case .threw(_, _, _, let description)?: throw CommandError(.notPassed, "\(entry): \(description)")
        case nil:
            throw CommandError(
                .notPassed,
                say(
                    "\(entry) has not come back in \(Int(PoolShow.patience)) s.",
                    "\(entry) 在 \(Int(PoolShow.patience)) 秒内没有返回。"))
        }
    }

    /// A job that threw says so: `[[threw, type, text, errno], milliseconds]`.
    private func expectDone(_ outcome: Value) throws {
        guard case .list(let pair) = outcome, case .list(let words)? = pair.first, words.count == 4,
            case .string(let text) = words[2]
        else { return }
        throw CommandError(.notPassed, say("A request failed: \(text)", "有一个请求失败了：\(text)"))
    }

    // MARK: Drawing

    private func draw(_ ways: [PoolResult.Way]) {
        guard play.stage.draws else {
            for way in ways {
                let waiting = way.timeWait.map { "\($0)" } ?? "?"
                play.screen.print([StyledText("\(way.name): \(way.connects) \(waiting) \(way.milliseconds)")])
            }
            return
        }
        let columns = min(max(play.screen.columns, 60), 100)
        let width = columns - 18 - 10 - 11 - 12
        let slowest = ways.map(\.milliseconds).max() ?? 1
        play.screen.print([
            StyledText(),
            StyledText(
                String(repeating: " ", count: 18 + width) + say("connects", "连接次数").leftPadded(to: 10)
                    + "TIME-WAIT".leftPadded(to: 11) + say("ms", "毫秒").leftPadded(to: 12), .quiet),
        ])
        for way in ways {
            let title =
                way.name == "pool" ? say("a pool", "连接池") : say("one for each", "每次一个连接")
            let bar = String(repeating: "█", count: max(1, Int(way.milliseconds / max(slowest, 0.1) * Double(width))))
            play.screen.print([
                StyledText("  " + title.padded(to: 16))
                    + StyledText(bar.padded(to: width), way.name == "pool" ? .good : .waiting)
                    + StyledText(grouped(way.connects).leftPadded(to: 10))
                    + StyledText((way.timeWait.map(grouped) ?? "?").leftPadded(to: 11))
                    + StyledText("\(way.milliseconds)".leftPadded(to: 12), .strong)
            ])
        }
    }

    private func conclude(_ ways: [PoolResult.Way]) {
        guard play.stage.draws, let alone = ways.first, let waiting = alone.timeWait, waiting > 0 else { return }
        let rate = Double(alone.requests) * 1000 / max(alone.milliseconds, 0.1)
        let seconds = max(1, Int(28_000 / rate))
        play.screen.print([StyledText()])
        play.screen.print(
            say(
                "\(grouped(waiting)) ports wait for a minute now, and cannot be used for this server meanwhile. Of about 28,000, at this "
                    + "pace, none would be left after \(seconds) s.",
                "现在有 \(grouped(waiting)) 个端口要等一分钟，期间不能再用来连这个服务器。端口约有 28,000 个，照这个速度，\(seconds) 秒就用完了。"), .strong)
    }
}

/// Sends back whatever comes; one thread for all its clients.
private final class EchoingServer: @unchecked Sendable {
    let address: SocketAddress
    private let listener: Int32
    private let stopReader: Int32
    private let stopWriter: Int32
    private let isDone = DispatchSemaphore(value: 0)
    private let lock = NSLock()
    private var count = 0

    /// How many clients have come.
    var accepted: Int { lock.withLock { count } }

    init() throws {
        let any = try SocketAddress(host: "127.0.0.1", port: 0)
        let listener = try closeOnExecSocket(AF_INET, SOCK_STREAM)
        self.listener = listener
        try check("bind", any.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, 128))
        address = try SocketAddress.local(of: listener)
        _ = fcntl(listener, F_SETFL, O_NONBLOCK)
        var ends: [Int32] = [-1, -1]
        try check("pipe", pipe(&ends))
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        (stopReader, stopWriter) = (ends[0], ends[1])
        try startThread { [self] in run() }
    }

    /// To be called once.
    func stop() {
        close(stopWriter)
        isDone.wait()
        close(stopReader)
        close(listener)
    }

    private func run() {
        defer { isDone.signal() }
        var clients: [Int32] = []
        defer { for client in clients { close(client) } }
        var buffer = [UInt8](repeating: 0, count: 256)
        while true {
            var events = ([stopReader, listener] + clients).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            if poll(&events, nfds_t(events.count), -1) < 0 { continue }
            if events[0].revents != 0 { return }
            for event in events.dropFirst(2) where event.revents != 0 {
                let got = recv(event.fd, &buffer, buffer.count, 0)
                if got < 0 && (errno == EINTR || errno == EAGAIN) { continue }
                // So few bytes always fit in.
                if got > 0, send(event.fd, buffer, got, MSG_NOSIGNAL) == got { continue }
                close(event.fd)
                clients.removeAll { $0 == event.fd }
            }
            guard events[1].revents != 0 else { continue }
            let client = acceptCloseOnExec(listener)
            guard client >= 0 else { continue }
            clients.append(client)
            lock.withLock { count += 1 }
        }
    }
}
