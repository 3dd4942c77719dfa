// options: what a TCP socket is set to, what is asked of it, and what the kernel made of that. The functions are lesson 10's; the
// sockets are this process's own, and the functions get copies of their descriptors.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension Demo {
    static let options = Demo(
        "options", Lesson10.slug,
        "every option of the lesson: before, asked for, after",
        "本课的每个选项：原来、要求、之后", port: nil, [.mine], isShow: true
    ) { play in
        try OptionsShow(play).show()
    }
}

private final class OptionsShow {
    private let play: Play
    private let functions: Caller
    private var table: OptionTable

    init(_ play: Play) {
        self.play = play
        functions = Caller(play, play.subject, isDrawn: false)
        table = OptionTable(columns: min(max(play.screen.columns, 40), 100))
    }

    func show() throws {
        play.introduce(
            say(
                "A new TCP socket is asked what it is set to (readOptions), told something else (configure), and asked again.",
                "先问一个新的 TCP 套接字现在是怎样的（readOptions），再提出要求（configure），然后再问一遍。"))
        let socket = try DemoSocket(SOCK_STREAM)
        let before = try read(socket)
        let asked = SocketOptions(
            sendBuffer: 20_000, receiveBuffer: 20_000, noDelay: true, keepAlive: .on(idle: 60, interval: 10, count: 5),
            linger: .seconds(0), reusePort: true, receiveTimeout: 1500, sendTimeout: 1)
        try told(socket, asked)
        play.screen.print(table.heading + table.rows(before, asked, try read(socket)))
        try limits(socket)
        try refusals(socket)
    }

    /// How small and how large a buffer may become.
    private func limits(_ socket: DemoSocket) throws {
        play.step(say("How small may a buffer be, and how large?", "缓冲区最小能多小，最大能多大？"))
        for size in [1, 1_000_000_000] as [Int32] {
            try told(socket, SocketOptions(sendBuffer: size, receiveBuffer: size))
            let after = try read(socket)
            play.screen.print([
                table.row("SO_SNDBUF", "", "\(size)", "\(after.sendBuffer)", isNew: true),
                table.row("SO_RCVBUF", "", "\(size)", "\(after.receiveBuffer)", isNew: true),
            ])
        }
    }

    /// What the kernel does not accept, in the words of the error.
    private func refusals(_ socket: DemoSocket) throws {
        play.step(say("What is refused, and how it is said:", "会被拒绝的，以及怎样说出来："))
        let datagram = try DemoSocket(SOCK_DGRAM)
        let never = SocketOptions(keepAlive: .on(idle: 60, interval: 10, count: 0))
        let cases = [
            (say("keep-alive that asks 0 times", "保活，次数为 0"), socket, never),
            (say("TCP_NODELAY on a UDP socket", "UDP 套接字上的 TCP_NODELAY"), datagram, SocketOptions(noDelay: true)),
        ]
        for (what, socket, options) in cases {
            switch try outcome("configure", [.passed(socket.descriptor), options.value]) {
            case .threw(_, _, _, let description):
                play.screen.print([StyledText(what + "  ") + StyledText(description, .bad)].flatMap(wrapped))
            case .returned: play.screen.print([StyledText(what + "  ") + StyledText(say("accepted", "被接受了"), .good)])
            }
        }
    }

    private func wrapped(_ line: StyledText) -> [StyledText] { line.wrapped(to: play.screen.textWidth, hanging: 2) }

    // MARK: Lesson 10's functions

    private func read(_ socket: DemoSocket) throws -> SocketState {
        switch try outcome("read-options", [.passed(socket.descriptor)]) {
        case .returned(let value): return try SocketState(value)
        case .threw(_, _, _, let description): throw CommandError(.notPassed, "readOptions: \(description)")
        }
    }

    private func told(_ socket: DemoSocket, _ options: SocketOptions) throws {
        if case .threw(_, _, _, let description) = try outcome(
            "configure", [.passed(socket.descriptor), options.value])
        {
            throw CommandError(.notPassed, "configure: \(description)")
        }
    }

    private func outcome(_ entry: String, _ arguments: [Value]) throws -> PendingCall.Outcome {
        try functions.begin(entry, arguments)
        if let outcome = try functions.poll(until: Deadline()) { return outcome }
        throw CommandError(.notPassed, say("\(entry) does not come back.", "\(entry) 没有返回。"))
    }
}

/// A socket of this process.
private final class DemoSocket {
    let descriptor: Int32

    init(_ type: Int32) throws { descriptor = try closeOnExecSocket(AF_INET, type) }

    deinit { close(descriptor) }
}

/// `SO_SNDBUF     16384        20000        40000`
struct OptionTable {
    let columns: Int

    init(columns: Int) { self.columns = columns }

    var heading: [StyledText] {
        [
            line(
                say("option", "选项"), say("before", "原来"), say("asked for", "要求"),
                StyledText(say("after", "之后"), .quiet), .quiet)
        ]
    }

    func rows(_ before: SocketState, _ asked: SocketOptions, _ after: SocketState) -> [StyledText] {
        func flag(_ on: Bool?) -> String { on.map { $0 ? say("on", "开") : say("off", "关") } ?? "–" }
        func time(_ milliseconds: Milliseconds?) -> String {
            milliseconds.map { $0 == 0 ? say("for ever", "一直等") : say("\($0) ms", "\($0) 毫秒") } ?? "–"
        }
        func number(_ number: Int32?) -> String { number.map { "\($0)" } ?? "–" }
        func keepAlive(_ keepAlive: KeepAlive?) -> String {
            switch keepAlive {
            case nil: "–"
            case .off?: say("off", "关")
            case .on(let idle, let interval, let count)?: "\(idle) s+\(count)×\(interval) s"
            }
        }
        func linger(_ linger: Linger?) -> String {
            switch linger {
            case nil: "–"
            case .off?: say("off", "关")
            case .seconds(let seconds)?: "\(seconds) s"
            }
        }
        let doubled = after.sendBuffer == asked.sendBuffer.map { 2 * $0 }
        let ticks = asked.sendTimeout != after.sendTimeout
        return [
            row("SO_SNDBUF", number(before.sendBuffer), number(asked.sendBuffer), number(after.sendBuffer))
                + note(doubled ? say("  doubled", "  翻倍") : ""),
            row("SO_RCVBUF", number(before.receiveBuffer), number(asked.receiveBuffer), number(after.receiveBuffer)),
            row("TCP_NODELAY", flag(before.noDelay), flag(asked.noDelay), flag(after.noDelay)),
            row("SO_KEEPALIVE", keepAlive(before.keepAlive), keepAlive(asked.keepAlive), keepAlive(after.keepAlive)),
            row("SO_LINGER", linger(before.linger), linger(asked.linger), linger(after.linger))
                + note(say("  close resets", "  close 会重置")),
            row("SO_REUSEPORT", flag(before.reusePort), flag(asked.reusePort), flag(after.reusePort)),
            row("SO_RCVTIMEO", time(before.receiveTimeout), time(asked.receiveTimeout), time(after.receiveTimeout)),
            row("SO_SNDTIMEO", time(before.sendTimeout), time(asked.sendTimeout), time(after.sendTimeout))
                + note(ticks ? say("  in the kernel's ticks", "  按内核的节拍") : ""),
        ].map { $0.truncated(to: columns) }
    }

    func row(_ name: String, _ before: String, _ asked: String, _ after: String, isNew: Bool = false) -> StyledText {
        line(name, before, asked, StyledText(after, isNew || before != after ? .good : .plain), .plain)
    }

    /// A narrow terminal has no room for what was before.
    private var isNarrow: Bool { columns < 60 }

    private func line(_ name: String, _ before: String, _ asked: String, _ after: StyledText, _ style: Style)
        -> StyledText
    {
        let width = isNarrow ? 12 : 14
        return StyledText(name.padded(to: 13), style == .plain ? .code : style)
            + StyledText((isNarrow ? "" : before.leftPadded(to: width)) + asked.leftPadded(to: width) + " ", style)
            + StyledText(String(repeating: " ", count: max(0, width - after.width))) + after
    }

    private func note(_ text: String) -> StyledText { StyledText(text, .quiet) }
}
