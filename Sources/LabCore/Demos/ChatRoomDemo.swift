// chat-room: a room for terminals and browsers. The server, the gateway and the client are programs of lesson 14; the
// terminal stays with `lab`, which keeps the line that is being typed below what the others say.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension Demo {
    static let chatRoom = Demo(
        "chat-room", Lesson14.slug, "a chat room: terminals and browsers in one room", "聊天室：终端和浏览器同在一室", port: 8888,
        [.serve, .client, .mine]
    ) { play in
        if let server = play.options.client { return try ChatRoomTalk(play).join(server) }
        let room = try ChatRoomServers(play)
        if play.options.serve { return try room.stay() }
        try ChatRoomTalk(play).join(room.server.reachable, others: room.others)
    }
}

/// The chat server, and the gateway in front of it.
private struct ChatRoomServers {
    let play: Play
    let server: DemoServer
    let gateway: DemoServer

    init(_ play: Play) throws {
        self.play = play
        server = try play.serve(play.subject, "chat-server", host: play.host, port: play.port, isWatched: false)
        // The gateway looks for the server's address in a file beside it.
        let place = server.reachable
        try "\(place.host) \(place.port)\n".write(
            toFile: play.stage.folder + "/chat-server", atomically: true, encoding: .utf8)
        gateway = try ChatRoomServers.gateway(play)
    }

    /// On the port of the field's textbooks if it is free: it is the chat server's port that was asked for, not this one.
    private static func gateway(_ play: Play) throws -> DemoServer {
        if play.options.port == nil {
            do {
                return try play.serve(play.subject, "chat-gateway", host: play.host, port: 8765, isWatched: false)
            } catch let error as CommandError where error.exit == .failure {}
        }
        return try play.serve(play.subject, "chat-gateway", host: play.host, port: 0, isWatched: false)
    }

    var page: String { "http://\(gateway.reachable.written)/" }
    var others: [String] { ["lab run chat-room --client \(server.reachable.written)", page] }

    func stay() throws {
        try play.serving(server, others: others, lines: ["page \(page)"])
    }
}

/// One member, at this terminal.
private final class ChatRoomTalk {
    private let play: Play
    private let screen: DemoScreen
    private var editor = LineEditor()
    private let terminal = Terminal()
    private var name = ""
    private var waiting: [UInt8] = []

    init(_ play: Play) {
        self.play = play
        screen = play.screen
    }

    func join(_ server: Endpoint, others: [String] = []) throws {
        play.introduce(
            say(
                "What you type goes to all; Ctrl-D leaves. What others say appears above your line.",
                "你输入的会发给所有人，Ctrl-D 离开。别人说的话出现在你这一行的上方。"), gap: false)
        if play.stage.draws {
            for other in others {
                screen.print([StyledText(say("Others: ", "其他人："), .quiet) + StyledText(other, .code)])
            }
        }
        var keyboard = try makePipe()
        var sheet = try makePipe()
        defer { for end in [keyboard.read, keyboard.write, sheet.read, sheet.write] where end >= 0 { close(end) } }
        let names = try chosenNames()
        let client = try play.stage.start(play.subject, .left, isDrawn: false)
        try client.begin(
            "chat-terminal",
            [
                .string(server.host), .int(Int(server.port)), .list(names.map { .string($0) }),
                .passed(keyboard.read), .passed(sheet.write),
            ])
        // From here on they are the program's: were they open here, too, their ends would not be seen.
        for end in [keyboard.read, sheet.write] { close(end) }
        (keyboard.read, sheet.write) = (-1, -1)
        guard let first = try nextMessage(from: sheet.read), case .name(let name) = first else {
            throw reason(client, server)
        }
        self.name = name
        let hasLeft =
            screen.canEdit
            ? try talk(keyboard.write, sheet.read) : try answer(keyboard.write, sheet.read)
        if !hasLeft { throw reason(client, server) }
    }

    /// The name that this person has, or wants; then the same with numbers, should it be taken.
    private func chosenNames() throws -> [String] {
        let allowed = NSUserName().filter { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" }
        var name = allowed.isEmpty ? "guest" : String(allowed.prefix(8))
        if screen.isInteractive {
            guard let line = screen.readLine(prompt: say("Your name [\(name)]: ", "你的名字 [\(name)]：")) else {
                throw CommandError.usage(say("A name is needed to come in.", "要有名字才能进来。"))
            }
            let typed = String(decoding: line, as: UTF8.self).trimmingCharacters(in: .whitespaces)
            if !typed.isEmpty { name = typed }
        }
        return [name] + (2...9).map { "\(name)-\($0)" }
    }

    // MARK: On a terminal

    /// - Returns: false if the server has ended.
    private func talk(_ keyboard: Int32, _ sheet: Int32) throws -> Bool {
        screen.print([StyledText(say("You are \(visible(name)).", "你是 \(visible(name))。"), .quiet)])
        let resized = try Mailbox<Never>()
        resized.listenForResizes()
        terminal.enter(alternateScreen: false)
        defer {
            screen.endPrompt()
            terminal.leave()
        }
        showLine()
        while true {
            var events = [STDIN_FILENO, sheet, resized.descriptor].map {
                pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
            }
            guard poll(&events, nfds_t(events.count), -1) > 0 else { continue }
            if events[2].revents != 0 {
                _ = resized.take()
                showLine()
            }
            if events[1].revents != 0 {
                guard try receive(from: sheet) else { return false }
                while let message = takeMessage() { screen.print(lines(message)) }
            }
            if events[0].revents != 0 {
                var buffer = [UInt8](repeating: 0, count: 4096)
                let count = read(STDIN_FILENO, &buffer, buffer.count)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { return true }
                for event in editor.feed(Array(buffer[..<count])) {
                    switch event {
                    case .end: return true
                    case .suspend: suspend()
                    case .line(let line):
                        if line.allSatisfy(\.isWhitespace) { continue }
                        guard writeAll(keyboard, Array((line + "\n").utf8)) else { return false }
                    }
                }
                showLine()
            }
        }
    }

    private func suspend() {
        screen.endPrompt()
        terminal.leave()
        raise(SIGTSTP)
        terminal.enter(alternateScreen: false)
    }

    private func showLine() {
        let prompt = StyledText(visible(name), Style(color(of: name), bold: true)) + StyledText("> ")
        screen.show(
            prompt: editor.drawn(
                prompt: screen.rendered(prompt), promptWidth: displayWidth(prompt.plain),
                columns: terminal.size.columns))
    }

    private func lines(_ message: ChatMessage) -> [StyledText] {
        switch message {
        case .chatMessage(let line):
            let clock = StyledText(clockText(line.timestamp) + " ", .quiet)
            let style = Style(color(of: line.username), bold: line.username == name)
            let head = clock + StyledText(visible(line.username), style) + StyledText(": ")
            let indent = displayWidth(head.plain)
            let texts = visibleLines(line.content)
            return texts.enumerated().flatMap { index, text in
                ((index == 0 ? head : StyledText(String(repeating: " ", count: indent))) + StyledText(text))
                    .wrapped(to: max(20, terminal.size.columns - 1), hanging: indent)
            }
        case .userJoined(let name):
            return [StyledText(say("→ \(visible(name)) has come", "→ \(visible(name)) 来了"), .quiet)]
        case .userLeft(let name):
            return [StyledText(say("← \(visible(name)) has gone", "← \(visible(name)) 走了"), .quiet)]
        case .error(.badContent):
            return [StyledText(say("A message has at most 4,096 bytes.", "一条消息最多 4096 字节。"), .bad)]
        case .error(let problem): return [StyledText(problem.rawValue, .bad)]
        default: return []
        }
    }

    /// The same name has the same colour everywhere.
    private func color(of name: String) -> Style.Color {
        let colors: [Style.Color] = [.green, .yellow, .blue, .magenta, .cyan]
        return colors[name.utf8.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xFFFF } % colors.count]
    }

    private func clockText(_ timestamp: Double) -> String {
        // A server can say anything.
        var time = time_t(exactly: timestamp.rounded(.down)) ?? 0
        var parts = tm()
        localtime_r(&time, &parts)
        func two(_ number: Int32) -> String { (number < 10 ? "0" : "") + "\(number)" }
        return two(parts.tm_hour) + ":" + two(parts.tm_min)
    }

    // MARK: In a pipe

    /// Says each line, and answers with what was heard up to it.
    ///
    /// - Returns: false if the server has ended.
    private func answer(_ keyboard: Int32, _ sheet: Int32) throws -> Bool {
        while let line = screen.readLine() {
            let text = String(decoding: line, as: UTF8.self)
            if text.isEmpty { continue }
            guard writeAll(keyboard, Array((text + "\n").utf8)) else { return false }
            var isSaid = false
            while !isSaid {
                guard let next = try nextMessage(from: sheet) else { return false }
                guard case .message(let message) = next else { continue }
                switch message {
                case .chatMessage(let line):
                    screen.answer(Array("\(line.username): \(line.content)".utf8))
                    isSaid = line.username == name && line.content == text
                case .error(let problem):
                    screen.complain(problem.rawValue)
                    isSaid = true
                default: break
                }
            }
        }
        return true
    }

    // MARK: What the client writes

    private enum Shown {
        case name(String)
        case message(ChatMessage)
    }

    /// Waits for it; nil at the end.
    private func nextMessage(from sheet: Int32) throws -> Shown? {
        while true {
            if let shown = try takeShown() { return shown }
            guard try receive(from: sheet) else { return nil }
        }
    }

    private func takeMessage() -> ChatMessage? {
        while let shown = try? takeShown() { if case .message(let message) = shown { return message } }
        return nil
    }

    private func takeShown() throws -> Shown? {
        guard let end = waiting.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        let line = Data(waiting[..<end])
        waiting.removeFirst(end + 1)
        let value = try [JSONDecoder().decode(Value.self, from: line)].list(0)
        if try value.string(0) == "name" { return .name(try value.string(1)) }
        return .message(try ChatMessage(value: value))
    }

    /// - Returns: false at the end.
    private func receive(from sheet: Int32) throws -> Bool {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = read(sheet, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            if try check("read", count) == 0 { return false }
            waiting += buffer[..<count]
            return true
        }
    }

    /// Why the client's program has come to its end.
    private func reason(_ client: Subject, _ server: Endpoint) -> any Error {
        do {
            switch try client.outcome(until: Deadline()) {
            case .threw("ChatProblem", "badName", _, _)?:
                return CommandError.usage(
                    say("A name has 1 to 32 bytes, and no spaces.", "名字是 1 到 32 字节，不能有空格。"))
            case .threw("ChatProblem", _, _, let problem)?:
                return CommandError.failure(
                    say("The server does not let you in: \(problem).", "服务器不让你进来：\(problem)。"))
            case .threw("SocketError", _, ECONNREFUSED, _)?:
                return CommandError.failure(
                    say(
                        "Nobody listens on \(server.written) (connect: ECONNREFUSED).",
                        "没有人在 \(server.written) 上监听（connect：ECONNREFUSED）。"))
            case let outcome?:
                if case .returned = outcome {
                    return CommandError.failure(say("The server has ended the connection.", "服务器结束了连接。"))
                }
                return CommandError.failure(say("The chat has ended: \(outcome.text)", "聊天结束了：\(outcome.text)"))
            case nil: return CommandError.failure(say("The chat has ended.", "聊天结束了。"))
            }
        } catch { return error }
    }

    private func makePipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [-1, -1]
        try check("pipe", pipe(&ends))
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }
}
