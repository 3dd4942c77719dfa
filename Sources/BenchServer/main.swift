// `BenchServer udp|tcp|select|epoll|pool|async|websocket|chat`, `BenchServer http FOLDER`: a reference server for `lab bench`,
// alone in a process: without the tap, without a grader, on a free port of 127.0.0.1, which it prints.
import CAnnounce
import Course
import Solution03
import Solution04
import Solution06
import Solution07
import Solution08
import Solution09
import Solution12
import Solution14
import Sockets

/// Runs until it is killed, or throws.
func serve(_ name: String, folder: String?) throws {
    let (host, port) = ("127.0.0.1", UInt16(0))
    switch (name, folder) {
    case ("udp", nil): try Solution03.reference.uppercaseServer(host, port)
    case ("tcp", nil): try Solution04.reference.threadedServer(host, port)
    case ("select", nil): try Solution06.reference.selectServer(host, port)
    case ("epoll", nil): try Solution07.reference.epollServer(host, port)
    case ("pool", nil):
        // As many threads as the load has connections: a pool of fewer would serve the rest never. Nobody stops it.
        let limits = PoolLimits(threads: 64, queue: 64, grace: Lesson12.grace)
        try Solution12.reference.poolServer(host, port, limits, -1)
    case ("async", nil):
        let serve = Solution12.reference.asyncServer
        Task.detached {
            do { try await serve(host, port, Lesson12.grace) } catch { end("\(error)", code: 1) }
        }
        while true { pause() }
    case ("http", let folder?): try Solution08.reference.fileServer(host, port, folder)
    case ("websocket", nil): try Solution09.reference.echoServer(host, port)
    case ("chat", nil): try Solution14.reference.chatServer(host, port, RoomRules())
    default: end("usage: BenchServer udp|tcp|select|epoll|pool|async|websocket|chat|http FOLDER", code: 2)
    }
}

func end(_ text: String, code: Int32) -> Never {
    (text + "\n").withCString { _ = write(2, $0, strlen($0)) }
    exit(code)
}

let arguments = CommandLine.arguments.dropFirst()
announce_servers()
do { try serve(arguments.first ?? "", folder: arguments.dropFirst().first) } catch { end("\(error)", code: 1) }
