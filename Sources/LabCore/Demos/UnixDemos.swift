// unix-echo: the server of lesson 15 at a path, and a client that stays connected.
import Course
import Foundation
import GraderKit

extension Demo {
    static let unixEcho = Demo(
        "unix-echo", Lesson15.slug,
        "an echo server at a path, and a client that is one of its kind",
        "路径上的回显服务器和它的客户端", port: nil, [.serve, .mine, .path]
    ) { play in
        play.stage.showNoSegments()
        try play.converse(
            .init(
                clientName: say("client", "客户端"),
                serverName: say("unix-echo-server (\(play.author))", "unix-echo-server（\(play.author)）"),
                server: (play.subject, "unix-echo-server"),
                makeClient: { StreamClient(play, $0) },
                hint: say(
                    "Type a line: it goes to a socket whose address is the path \(play.host), and comes back. `ls -l` shows the "
                        + "file while the server runs; it is gone afterwards.",
                    "输入一行：它送到地址为路径 \(play.host) 的套接字，再原样送回。服务器运行时用 `ls -l` 能看到这个文件，结束后就没有了。"),
                others: { ["nc -U \($0.host)", "ls -l \($0.host)"] },
                removesFile: true))
    }
}
