// Servers that serve everybody in one thread: select-echo, epoll-echo, epoll-edge, epoll-idle.
import Course

extension Demo {
    static let selectEcho = Demo(
        "select-echo", Lesson06.slug, "many clients, one thread, one select", "许多客户端，一个线程，一个 select", port: 12000,
        [.serve, .client, .mine]
    ) { play in
        try play.converseWithThree(
            "select-server",
            say(
                "Three clients are connected and take turns. The server is one thread: it waits in select for all of them, "
                    + "and receives only from the one that select named.",
                "三个客户端都已连上，轮流说话。服务器只有一个线程：它在 select 里等所有人，只从 select 点名的那个接收。"))
    }

    static let epollEcho = Demo(
        "epoll-echo", Lesson07.slug, "the level-triggered server", "水平触发的服务器", port: 12000,
        [.serve, .client, .mine]
    ) { play in
        try play.converseWithThree(
            "epoll-server",
            say(
                "Three clients are connected and take turns. epoll_ctl puts each on the kernel's list once; epoll_wait names "
                    + "who is ready.",
                "三个客户端都已连上，轮流说话。epoll_ctl 把每个客户端放进内核的名单，只放一次；epoll_wait 点出准备好的。"))
    }

    static let epollEdge = Demo(
        "epoll-edge", Lesson07.slug, "the edge-triggered server", "边缘触发的服务器", port: 12000,
        [.serve, .client, .mine]
    ) { play in
        try play.converseWithThree(
            "edge-triggered-server",
            say(
                "Three clients are connected and take turns. Each arrival is told once, so the server receives until EAGAIN.",
                "三个客户端都已连上，轮流说话。每次到来只通知一次，所以服务器一直接收到 EAGAIN。"))
    }

    static let epollIdle = Demo(
        "epoll-idle", Lesson07.slug, "silent clients are closed", "不说话的客户端会被关闭", port: 12000,
        [.serve, .client, .mine]
    ) { play in
        let seconds = "\(Double(Lesson07.idleTimeout) / 1000)"
        try play.converse(
            .init(
                clientName: say("client", "客户端"),
                serverName: say("server (\(play.author))", "服务器（\(play.author)）"),
                server: (play.subject, "idle-timeout-server"),
                makeClient: { StreamClient(play, $0) },
                hint: say(
                    "Type a line, then wait: who says nothing for \(seconds) s is closed, and the next line finds that out.",
                    "输入一行，然后等着：\(seconds) 秒不说话就会被关闭，下一行会发现这一点。"),
                others: streamClients))
    }
}
