// handshake: a TCP connection from its first segment to its last, call by call, with the state that the kernel gives each
// end after it.
import Course
import Foundation
import GraderKit
import Sockets

extension Demo {
    static let handshake = Demo(
        "handshake", Lesson04.slug,
        "three-way handshake, four-way close and TIME_WAIT, as the kernel sees them",
        "三次握手、四次挥手和 TIME_WAIT，内核眼中的样子",
        port: 2333, [], isShow: true
    ) { play in
        guard KernelSocket.all(port: 0) != nil else {
            throw CommandError.failure(
                say(
                    "handshake reads /proc/net/tcp, which this system does not have.",
                    "handshake 要读 /proc/net/tcp，这个系统没有。"))
        }
        try Handshake(play).show()
    }
}

private final class Handshake {
    private let play: Play
    private let client: Caller
    private let server: Caller
    private var endpoint: Endpoint
    /// The client's port of the connection that is shown now.
    private var clientPort: UInt16 = 0
    /// What the last step found, by side.
    private var seen: (client: String, server: String) = ("", "")

    init(_ play: Play) {
        self.play = play
        client = Caller(play, play.helper)
        server = Caller(play, play.helper, side: .right)
        endpoint = Endpoint(host: play.host, port: play.port)
    }

    func show() throws {
        let watch = "ss -tan '( sport = :\(play.port) or dport = :\(play.port) )'"
        play.introduce(
            say(
                "After every step the state of both ends, read from /proc/net/tcp as ss does, and beside the calls the "
                    + "segments that TCP sends for them. Between two steps a connection passes through more states "
                    + "(SYN-SENT, SYN-RECEIVED, FIN-WAIT-1, LAST-ACK), on loopback too quickly to be seen.",
                "每一步之后都显示两端的状态，和 ss 一样读自 /proc/net/tcp；调用旁边是 TCP 为它发送的报文段。两步之间连接还会经过别的状态"
                    + "（SYN-SENT、SYN-RECEIVED、FIN-WAIT-1、LAST-ACK），在环回接口上一闪而过，看不到。")
                + (play.port == 0 ? "" : say(" In another window: \(watch)", "可以另开窗口运行：\(watch)")))
        play.stage.heading(left: say("client", "客户端"), right: say("server", "服务器"))
        play.stage.showSegments()
        try open()
        try close()
        try closeTheOtherWay()
        if play.options.quiet { return }
        play.screen.print([StyledText()])
        play.screen.print(
            say(
                "Who closes first waits. A server that sets SO_REUSEADDR before bind can start again at once.",
                "谁先关闭，谁就要等。服务器在 bind 之前设置 SO_REUSEADDR，就能马上重新启动。"), .strong)
    }

    // MARK: Opening

    private func open() throws {
        try step(say("The server binds and listens.", "服务器绑定并监听。"), [.listen], nil) {
            try bind(reuse: true)
            try run(server, "listen")
        }
        try step(
            say(
                "The client connects: SYN, SYN ACK, ACK. The kernels do it between them: the server has not called accept, "
                    + "and the connection stands.",
                "客户端 connect：SYN、SYN ACK、ACK，三次握手。这是两边内核完成的：服务器还没有调用 accept，连接已经建立。"),
            [.established], [.established]
        ) { try connect() }
        try step(
            say("The server accepts: it takes the connection out of the queue.", "服务器 accept：从队列中取出这个连接。"),
            [.established], [.established]
        ) { try run(server, "accept") }
        try step(say("Bytes go over it.", "传送数据。"), [.established], [.established]) {
            try run(client, "send", .list([.bytes(Array("hello".utf8))]), .int(0))
            try run(server, "receive", .int(1024))
        }
    }

    // MARK: Closing

    private func close() throws {
        try step(
            say(
                "The client ends its side: FIN, ACK. It can send no more, and still receive.",
                "客户端结束自己的方向：FIN、ACK。它不能再发，但还能收。"), [.closeWait], [.finWait2]
        ) {
            try run(client, "shutdown")
            try run(server, "receive", .int(1024))
        }
        try step(
            say(
                "The server closes: FIN, ACK, the other two of the four. Its end is gone, the client's waits in TIME-WAIT: its "
                    + "last ACK may be lost, and then the server's FIN comes again.",
                "服务器 close：FIN、ACK，四次挥手的后两次。它这一端消失了，客户端那一端进入 TIME-WAIT：最后的 ACK 可能丢失，那时服务器的 FIN 会再来。"),
            [], [.timeWait]
        ) { try run(server, "close") }
        try step(
            say(
                "The client closes its descriptor. The process is done with it, the kernel is not.",
                "客户端关闭描述符。进程用完了，内核还没有。"), [], [.timeWait]
        ) { try run(client, "close") }
    }

    /// The server closes first, and TIME-WAIT is on its side, where it holds the port.
    private func closeTheOtherWay() throws {
        try step(
            say(
                "Once more, and now the server closes first: TIME-WAIT is on its side.",
                "再来一次，这回服务器先关闭：TIME-WAIT 到了它这一边。"),
            [.timeWait], []
        ) {
            try connect()
            try run(server, "accept")
            try run(server, "close")
            try run(client, "receive", .int(1024))
            try run(client, "close")
        }
        try step(
            say(
                "The server stops, and starts again without SO_REUSEADDR: bind fails, for TIME-WAIT holds the port.",
                "服务器停下，再启动，不设 SO_REUSEADDR：bind 失败，因为 TIME-WAIT 占着端口。"), [.timeWait], []
        ) {
            try run(server, "close-listener")
            do {
                try bind(reuse: false)
                throw CommandError.failure(say("bind has not failed.", "bind 没有失败。"))
            } catch is NoAnswer {}
        }
        try step(say("With SO_REUSEADDR it succeeds.", "设了 SO_REUSEADDR 就成功了。"), [.listen, .timeWait], []) {
            try bind(reuse: true)
            try run(server, "listen")
        }
    }

    // MARK: Steps

    private func bind(reuse: Bool) throws {
        try run(server, "bind", .string(endpoint.host), .int(Int(endpoint.port)), .bool(reuse))
        if let found = try server.timeline.calls("bind").last?.found { endpoint.port = found.port }
    }

    private func connect() throws {
        try run(client, "connect", .string(endpoint.host), .int(Int(endpoint.port)))
        clientPort = try client.timeline.calls("connect").last?.found?.port ?? 0
    }

    private func run(_ caller: Caller, _ entry: String, _ arguments: Value...) throws {
        _ = try caller.call(entry, arguments, server: endpoint)
    }

    /// Does something, draws it, and shows in which states both ends are then.
    private func step(
        _ text: String, _ serverStates: [KernelSocket.State], _ clientStates: [KernelSocket.State]?,
        _ body: () throws -> Void
    ) throws {
        play.step(text)
        do { try body() } catch let failure as NoAnswer {
            if let failed = try? server.timeline.calls("bind").last, failed.failed {
                throw Complaint.cannotServe(
                    "bind", failed.error, failure.text, host: endpoint.host, port: endpoint.port)
            }
            throw CommandError(failure.exit, failure.text)
        }
        play.stage.settle(showsWaiting: false)
        let found = states(serverStates, clientStates ?? [])
        let line = "\(found.client.isEmpty ? "–" : found.client)"
        if play.options.quiet {
            play.screen.print([StyledText("\(line) | \(found.server.isEmpty ? "–" : found.server)")])
        } else {
            play.stage.row(
                left: StyledText("▸ " + line, .waiting),
                right: StyledText("▸ " + (found.server.isEmpty ? "–" : found.server), .waiting))
            play.pause()
        }
    }

    /// The states of both ends. Segments that are under way may change them yet, and no call tells when they have: so it
    /// looks again until they are what they should be, for at most two seconds, and shows what there is.
    private func states(
        _ serverStates: [KernelSocket.State], _ clientStates: [KernelSocket.State]
    ) -> (client: String, server: String) {
        let deadline = Deadline(in: 2)
        while true {
            let all = KernelSocket.all(port: endpoint.port) ?? []
            let servers = all.filter {
                $0.localPort == endpoint.port && ($0.state == .listen || $0.remotePort == clientPort)
            }
            let clients = all.filter { $0.localPort == clientPort && $0.remotePort == endpoint.port }
            let expected = Set(serverStates).isSubset(of: servers.map(\.state)) && clients.map(\.state) == clientStates
            if expected || deadline.hasPassed { return (text(clients), text(servers)) }
            poll(nil, 0, 1)
        }
    }

    private func text(_ sockets: [KernelSocket]) -> String {
        sockets.sorted { $0.state == .listen && $1.state != .listen }.map { socket in
            guard socket.state == .timeWait else { return socket.state.name }
            return socket.state.name + say(" (\((socket.timer + 99) / 100) s)", "（\((socket.timer + 99) / 100) 秒）")
        }.joined(separator: ", ")
    }
}
