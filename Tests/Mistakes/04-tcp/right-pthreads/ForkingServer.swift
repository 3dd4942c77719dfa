import Course
import Sockets

func forkingServer(host: String, port: UInt16) throws {
    let a = try SocketAddress(host: host, port: port)
    let s = try check("socket", socket(a.family, SOCK_STREAM, 0))
    var one: Int32 = 1
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, 4)
    try check("bind", a.withSockaddr { bind(s, $0, $1) })
    try check("listen", listen(s, 200))
    while true {
        let c = accept(s, nil, nil)
        if c == -1 { continue }
        // Twice, so that the grandchild is nobody's zombie here.
        let p = forkProcess()
        if p == 0 {
            close(s)
            if forkProcess() == 0 {
                signal(SIGPIPE, SIG_IGN)
                var b = [UInt8](repeating: 0, count: 5000)
                while true {
                    let n = read(c, &b, b.count)
                    if n == -1 && errno == EINTR { continue }
                    if n <= 0 { _exit(0) }
                    do { try sendAll(c, b[0..<n].map { $0 >= 97 && $0 <= 122 ? $0 & 0xdf : $0 }) } catch { _exit(1) }
                }
            }
            _exit(0)
        }
        close(c)
        if p > 0 { while waitpid(p, nil, 0) == -1 && errno == EINTR {} }
    }
}
