// Servers that answer in upper case, and the clients of lessons 03 and 04: udp-echo, udp-client, tcp-echo, tcp-client,
// tcp-threads, tcp-fork.
import Course

extension Demo {
    static let udpEcho = Demo(
        "udp-echo", Lesson03.slug,
        "an upper-case server over UDP",
        "UDP 大写服务器", port: 12000, [.serve, .client, .mine]
    ) { play in
        try play.converse(
            .init(
                clientName: say("client (connected-client)", "客户端（connected-client）"),
                serverName: say("server (\(play.author))", "服务器（\(play.author)）"),
                server: (play.subject, "uppercase-server"),
                makeClient: { DatagramClient(play, play.reference(Lesson03.slug), $0) },
                hint: say(
                    "Type a line: it travels in one datagram, and comes back in one.",
                    "输入一行：它装在一个数据报里送去，回答也装在一个数据报里送回。"),
                others: datagramClients))
    }

    static let udpClient = Demo(
        "udp-client", Lesson03.slug,
        "one question over UDP, call by call, and what a closed port looks like",
        "一次 UDP 提问，逐个调用地看，以及端口关闭时的样子", port: 12000,
        [.client, .mine]
    ) { play in
        try play.converse(
            .init(
                clientName: say("connected-client (\(play.author))", "connected-client（\(play.author)）"),
                serverName: "",
                makeClient: { DatagramClient(play, play.subject, $0) },
                hint: say(
                    "Type a line: it is sent in one datagram, and one is awaited. A server: lab run udp-echo --serve",
                    "输入一行：用一个数据报发出，再等一个数据报。服务器可以用：lab run udp-echo --serve"),
                others: datagramClients))
    }

    static let tcpEcho = Demo(
        "tcp-echo", Lesson04.slug,
        "an upper-case server over TCP, one client after another",
        "TCP 大写服务器，一个客户端接一个",
        port: 12000, [.serve, .client, .mine]
    ) { play in
        try play.converse(
            .init(
                clientName: say("client", "客户端"),
                serverName: say("server (\(play.author))", "服务器（\(play.author)）"),
                server: (play.subject, "uppercase-server"),
                makeClient: { StreamClient(play, $0) },
                hint: say(
                    "Type a line: it goes over one connection that stays open until you end (Ctrl-D). Meanwhile this "
                        + "server serves nobody else: try nc in another window.",
                    "输入一行：同一个连接一直用到你结束（Ctrl-D）。在此期间这个服务器不服务别人：可以另开窗口用 nc 试试。"),
                others: streamClients))
    }

    static let tcpClient = Demo(
        "tcp-client", Lesson04.slug,
        "a client that asks, half-closes and collects the answer",
        "提问、半关闭、收齐回答的客户端", port: 12000, [.client, .mine]
    ) { play in
        try play.converse(
            .init(
                clientName: say("client (\(play.author))", "客户端（\(play.author)）"),
                serverName: "",
                makeClient: { ConnectionPerLineClient(play, play.subject, $0) },
                hint: say(
                    "Type a line: a connection of its own takes it there, and its end says that the line is whole. "
                        + "T1 is the client's other thread: it sends while the main one receives. A server: lab run "
                        + "tcp-echo --serve",
                    "输入一行：每行用一个新连接送去，发送方向的结束表示这一行完了。T1 是客户端的另一个线程：它发送，主线程同时接收。"
                        + "服务器可以用：lab run tcp-echo --serve"),
                others: streamClients))
    }

    static let tcpThreads = Demo(
        "tcp-threads", Lesson04.slug,
        "the same server with a thread for each client",
        "同一个服务器，每个客户端一个线程",
        port: 2333, [.serve, .client, .mine]
    ) { play in
        try play.converseWithThree(
            "threaded-server",
            say(
                "Three clients are connected and take turns: your first line is client 1's. T1, T2 and T3 are the "
                    + "server's threads: each waits for its own client, and for nobody else's.",
                "三个客户端都已连上，轮流说话：第一行由 1 号发出。T1、T2、T3 是服务器的线程：每个只等自己的客户端。"))
    }

    static let tcpFork = Demo(
        "tcp-fork", Lesson04.slug,
        "the same server with a process for each client",
        "同一个服务器，每个客户端一个进程",
        port: 8888, [.serve, .client, .mine]
    ) { play in
        try play.converseWithThree(
            "forking-server",
            say(
                "Three clients are connected and take turns: your first line is client 1's. C1, C2 and C3 are the "
                    + "server's children. See what parent and child close after each fork.",
                "三个客户端都已连上，轮流说话：第一行由 1 号发出。C1、C2、C3 是服务器的子进程。注意每次 fork 之后父子进程各关闭了什么。"))
    }
}

extension Play {
    func converseWithThree(_ entry: String, _ hint: String) throws {
        try converse(
            .init(
                clientName: say("clients 1, 2, 3", "客户端 1、2、3"),
                serverName: say("server (\(author))", "服务器（\(author)）"),
                server: (subject, entry),
                makeClient: { StreamClient(self, $0, count: 3) },
                hint: hint,
                others: streamClients))
    }
}

private func datagramClients(_ server: Endpoint) -> [String] {
    ["nc -u \(server.host) \(server.port)", "lab run udp-client --client \(server.written)"]
}

func streamClients(_ server: Endpoint) -> [String] {
    ["nc \(server.host) \(server.port)", "lab run tcp-client --client \(server.written)"]
}

extension Endpoint {
    /// As `--client` takes it.
    var written: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
