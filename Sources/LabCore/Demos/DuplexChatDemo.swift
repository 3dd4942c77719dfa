// duplex-chat: a keyboard and a peer, both of which may speak at any time. Alone it brings a peer of its own; with --serve
// and --client two people talk, each in a window.
//
// The program under the tap gets three descriptors: a socket, and two pipes that stand for the keyboard and the screen.
// The terminal stays with `lab`, which draws above the prompt what happens meanwhile.
import Course
import Foundation
import GraderKit
import Sockets

extension Demo {
    static let duplexChat = Demo(
        "duplex-chat", Lesson06.slug,
        "keyboard and peer at the same time, in one thread",
        "键盘和对端同时进行，只用一个线程", port: 8888, [.serve, .client, .mine]
    ) { play in
        if play.options.serve { return try Chatting(play).serve() }
        if let server = play.options.client { return try Chatting(play).join(server) }
        try Chatting(play).withPeer()
    }
}

private final class Chatting {
    private let play: Play
    private let chat: Caller

    init(_ play: Play) {
        self.play = play
        chat = Caller(play, play.subject)
    }

    private func introduce(_ text: String, right: String) {
        play.introduce(
            text
                + say(
                    " Descriptor 3 is the socket, 4 the keyboard, 5 the screen. Ctrl-D ends your side.",
                    "描述符 3 是套接字，4 是键盘，5 是屏幕。按 Ctrl-D 结束你这一边。"))
        play.stage.heading(
            left: say("duplex-chat (\(play.author))", "duplex-chat（\(play.author)）"), right: right)
    }

    // MARK: With whom

    /// A peer of the demo's own: it greets, answers in upper case, and speaks up when it hears nothing for a while.
    func withPeer() throws {
        introduce(
            say(
                "Type a line, or wait: the peer speaks unasked, too. select names whoever has something.",
                "输入一行，或者等着：对端不问也会说话。谁有数据，select 就点谁的名。"),
            right: say("peer", "对端"))
        let peer = Caller(play, play.helper, side: .right)
        var endpoint = Endpoint(host: play.host, port: play.port)
        do {
            _ = try peer.call(
                "bind", [.string(endpoint.host), .int(Int(endpoint.port)), .bool(true)], server: endpoint)
        } catch let failure as NoAnswer {
            let code = try peer.timeline.calls("bind").last?.error ?? 0
            throw Complaint.cannotServe("bind", code, failure.text, host: endpoint.host, port: endpoint.port)
        }
        if let found = try peer.timeline.calls("bind").last?.found { endpoint.port = found.port }
        _ = try peer.call("listen", [], server: endpoint)
        try peer.begin(
            "chat-peer",
            [
                .bytes(Array((say("who is there?", "哪位？") + "\n").utf8)),
                .bytes(Array((say("are you still there?", "还在吗？") + "\n").utf8)), .int(Chatting.patience),
                .bytes(Array((say("bye", "再见") + "\n").utf8)),
            ])
        try talk(over: connected(to: endpoint), isClient: true, server: endpoint)
    }

    /// How long the peer hears nothing before it speaks up (ms).
    private static let patience = 4000

    func join(_ server: Endpoint) throws {
        introduce(say("You and whoever is there.", "你和对面的人。"), right: server.written)
        try talk(over: connected(to: server), isClient: true, server: server)
    }

    /// Waits for one peer, and talks with it.
    func serve() throws {
        let listener = try listening()
        defer { close(listener) }
        let address = try SocketAddress.local(of: listener)
        // In these words in any language: scripts wait for this line.
        play.screen.print([StyledText("listening on \(address)")])
        let place = DemoServer.reachable(address)
        if play.stage.draws {
            play.screen.print(
                say(
                    "In another window: lab run duplex-chat --client \(place.written)",
                    "另开窗口运行：lab run duplex-chat --client \(place.written)"),
                .quiet)
        }
        let connection = try check("accept", retrying { accept(listener, nil, nil) })
        let peer = try SocketAddress.peer(of: connection)
        introduce(say("You and whoever has come.", "你和来的人。"), right: "\(peer)")
        try talk(over: connection, isClient: false, server: place)
    }

    // MARK: Talking

    /// - Parameter connection: is closed in any case.
    private func talk(over connection: Int32, isClient: Bool, server: Endpoint) throws {
        defer { close(connection) }
        var (keyboard, screen) = try (pipeEnds(), pipeEnds())
        defer { for end in [keyboard.read, keyboard.write, screen.read, screen.write] where end >= 0 { close(end) } }
        try chat.adopt(
            local: try SocketAddress.local(of: connection), remote: try SocketAddress.peer(of: connection),
            isClient: isClient)
        try chat.begin("duplex-chat", [.passed(connection), .passed(keyboard.read), .passed(screen.write)])
        // From here on they are the program's: were they open here, too, their ends would not be seen.
        for end in [keyboard.read, screen.write] { close(end) }
        (keyboard.read, screen.write) = (-1, -1)

        let typing = keyboard.write
        keyboard.write = -1
        Thread.detachNewThread { [play] in
            while let line = play.screen.readLine() {
                guard writeAll(typing, line + [UInt8(ascii: "\n")]) else { break }
            }
            close(typing)
        }
        let shown = DispatchSemaphore(value: 0)
        let showing = screen.read
        screen.read = -1
        Thread.detachNewThread { [play] in
            play.show(from: showing)
            close(showing)
            shown.signal()
        }

        var outcome: PendingCall.Outcome?
        while outcome == nil { outcome = try chat.poll(until: Deadline(in: 3600)) }
        play.stage.settle(showsWaiting: false)
        // With the program goes its end of the screen, so everything that it wrote is shown before we go on.
        chat.end()
        shown.wait()
        play.screen.endPrompt()
        if case .threw(_, _, let code, let description)? = outcome {
            throw CommandError.failure(
                code == ECONNRESET || code == EPIPE
                    ? say("The peer broke off the connection.", "对端中断了连接。")
                    : say("The chat has ended: \(description)", "聊天结束了：\(description)"))
        }
        if play.stage.draws { play.screen.print(say("The peer has ended the chat.", "对端结束了聊天。"), .quiet) }
    }

    // MARK: Sockets

    private func connected(to server: Endpoint) throws -> Int32 {
        let address = try SocketAddress(host: server.host, port: server.port)
        let connection = try closeOnExec(socket(address.family, SOCK_STREAM, 0))
        guard address.withSockaddr({ connect(connection, $0, $1) }) == 0 else {
            let code = errno
            close(connection)
            throw CommandError.failure(
                Complaint.noAnswer(
                    .threw(type: "SocketError", name: "connect", code: code, description: errorText(code)), server))
        }
        return connection
    }

    private func listening() throws -> Int32 {
        let address = try SocketAddress(host: play.host, port: play.port)
        let listener = try closeOnExec(socket(address.family, SOCK_STREAM, 0))
        var on: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        do {
            try check("bind", address.withSockaddr { bind(listener, $0, $1) })
            try check("listen", listen(listener, 1))
        } catch {
            close(listener)
            throw error
        }
        return listener
    }
}

extension Play {
    /// What the program writes to its screen: lines for a person, the very bytes for a script.
    fileprivate func show(from descriptor: Int32) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var rest: [UInt8] = []
        while true {
            let count = retrying { read(descriptor, &buffer, buffer.count) }
            guard count > 0 else { break }
            guard screen.outputIsTerminal else {
                screen.pass(Array(buffer[..<count]))
                continue
            }
            rest += buffer[..<count]
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                stage.settle(showsWaiting: false)
                screen.answer(Array(rest[..<end]))
                rest.removeFirst(end + 1)
            }
        }
        if !rest.isEmpty { screen.answer(rest) }
    }
}

private func pipeEnds() throws -> (read: Int32, write: Int32) {
    var ends: [Int32] = [-1, -1]
    try check("pipe", pipe(&ends))
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
}

private func closeOnExec(_ descriptor: Int32) throws -> Int32 {
    try check("socket", descriptor)
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    return descriptor
}

private func retrying<Result: FixedWidthInteger & SignedInteger>(_ call: () -> Result) -> Result {
    while true {
        let result = call()
        if result == -1 && errno == EINTR { continue }
        return result
    }
}
