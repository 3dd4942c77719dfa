// ping and traceroute: lesson 15's functions on a real ICMP socket, and what they find, a line each.
import Course
import Foundation
import GraderKit
import Sockets

extension Demo {
    static let ping = Demo(
        "ping", Lesson15.slug,
        "is it there, and how far away: ICMP echo, packet by packet",
        "在不在，有多远：逐个包地看 ICMP 回显", port: nil, [.mine, .target], isShow: true
    ) { play in
        try PingShow(play).run()
    }

    static let traceroute = Demo(
        "traceroute", Lesson15.slug,
        "the routers between here and there",
        "这里与那里之间的路由器", port: nil, [.mine, .target], isShow: true
    ) { play in
        play.introduce(
            say(
                "Each packet may go one router farther than the one before; the router that stops it says so.",
                "每个包都比前一个多走一个路由器；拦下它的路由器会说一声。"))
        play.stage.heading(left: say("traceroute (\(play.author))", "traceroute（\(play.author)）"), right: play.host)
        let caller = Caller(play, play.subject)
        let most = 15
        let hops = try play.permitted(
            caller, "traceroute-host", [.string(play.host), .int(most), .int(1000)], within: Double(most) + 10,
            needsRaw: true)
        play.stage.settle(showsWaiting: false)
        for (index, hop) in hops.enumerated() {
            let place: String
            if case .string(let address) = hop { place = address } else { place = say("* no answer", "* 没有回答") }
            play.screen.print([StyledText("\(index + 1)  \(place)", .strong)])
        }
    }
}

/// Requests, one a second, and a summary however it ends.
private final class PingShow: @unchecked Sendable {
    private let play: Play
    private let lock = NSLock()
    private var times: [UInt64?] = []
    private var hasSummed = false

    /// Where nobody sits there to end it.
    private static let fewRequests = 3

    init(_ play: Play) { self.play = play }

    func run() throws {
        play.introduce(
            say(
                "An ICMP echo request a second; the time is from just before it is sent until its reply is here.",
                "每秒一个 ICMP 回显请求；时间从发送之前算到应答到达。"))
        play.stage.heading(left: say("ping (\(play.author))", "ping（\(play.author)）"), right: play.host)
        play.stage.atEnd { [self] in sum() }
        // The calls of the first are shown; of the others the result.
        try request(Caller(play, play.subject))
        let caller = Caller(play, play.subject, isDrawn: false)
        while play.screen.outputIsTerminal || times.count < PingShow.fewRequests {
            if play.screen.outputIsTerminal { Thread.sleep(forTimeInterval: 1) }
            try request(caller)
        }
        if !times.contains(where: { $0 != nil }) {
            throw CommandError.failure(say("No answer from \(play.host).", "\(play.host) 没有回答。"))
        }
    }

    private func request(_ caller: Caller) throws {
        let values = try play.permitted(
            caller, "ping-host", [.string(play.host), .int(1), .int(2000)], within: 10, needsRaw: false)
        play.stage.settle(showsWaiting: false)
        var time: UInt64?
        if case .unsigned(let nanoseconds)? = values.first { time = nanoseconds }
        let number = lock.withLock {
            times.append(time)
            return times.count
        }
        let text =
            time.map {
                say(
                    "reply \(number) from \(play.host)  \(milliseconds($0))",
                    "来自 \(play.host) 的应答 \(number)  \(milliseconds($0))")
            } ?? say("no reply \(number) within 2 s", "2 秒内没有应答 \(number)")
        play.screen.print([StyledText(text, time == nil ? .bad : .strong)])
    }

    /// As ping(8) ends.
    private func sum() {
        let times = lock.withLock { () -> [UInt64?] in
            defer { hasSummed = true }
            return hasSummed ? [] : self.times
        }
        guard !times.isEmpty else { return }
        let came = times.compactMap { $0 }
        var text = say(
            "\(times.count) sent, \(came.count) answered, \((times.count - came.count) * 100 / times.count)% lost",
            "发出 \(times.count) 个，收到 \(came.count) 个应答，丢失 \((times.count - came.count) * 100 / times.count)%")
        if let least = came.min(), let most = came.max() {
            let mean = came.reduce(0, +) / UInt64(came.count)
            text += say(
                "; least \(milliseconds(least)), mean \(milliseconds(mean)), most \(milliseconds(most))",
                "；最短 \(milliseconds(least))，平均 \(milliseconds(mean))，最长 \(milliseconds(most))")
        }
        play.screen.endLine()
        play.screen.print(text)
    }

    private func milliseconds(_ time: UInt64) -> String {
        let tenthOfMicroseconds = time / 1000
        let fraction = String(1000 + tenthOfMicroseconds % 1000).dropFirst()
        return "\(tenthOfMicroseconds / 1000).\(fraction) ms"
    }
}

extension Play {
    /// What a function that needs an ICMP socket has returned; where the system refuses one, how to permit it.
    fileprivate func permitted(
        _ caller: Caller, _ entry: String, _ arguments: [Value], within seconds: Double, needsRaw: Bool
    ) throws -> [Value] {
        try caller.begin(entry, arguments)
        switch try caller.poll(until: Deadline(in: seconds)) {
        case .returned(.list(let values))?: return values
        case .threw("SocketError", "inet_pton(\"\(host)\")", _, _)?, .threw("SocketError", _, EAFNOSUPPORT, _)?,
            .threw("SocketError", "connect", EINVAL, _)?:
            throw CommandError.failure(
                say(
                    "\(host) is no IPv4 address: this \(demo.id) speaks IPv4.",
                    "\(host) 不是 IPv4 地址：这个 \(demo.id) 只用 IPv4。"))
        case .threw("SocketError", "socket", let code, _)? where [EPERM, EACCES, EPROTONOSUPPORT].contains(code):
            let program = options.mine ? ".build/debug/Lesson15" : ".build/debug/lab"
            throw CommandError.failure(
                say(
                    "This system permits no ICMP sockets here (\(errorName(code))). Run it as root, or: sudo setcap "
                        + "cap_net_raw+ep \(program) (again after each build)"
                        + (needsRaw ? "." : "; or: sudo sysctl net.ipv4.ping_group_range=\"0 2147483647\"."),
                    "这里的系统不允许 ICMP 套接字（\(errorName(code))）。请用 root 运行，或者：sudo setcap "
                        + "cap_net_raw+ep \(program)（每次构建后都要再做）"
                        + (needsRaw ? "。" : "；或者：sudo sysctl net.ipv4.ping_group_range=\"0 2147483647\"。")))
        case .threw(_, _, _, let description)?: throw CommandError.failure(description)
        case let outcome?: throw CommandError.failure(outcome.text)
        case nil: throw CommandError.failure(say("It has not come back.", "它没有返回。"))
        }
    }
}
