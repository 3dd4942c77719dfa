import Course
import Sockets

func uppercaseServer(host: String, port: UInt16) throws {
    signal(SIGPIPE, SIG_IGN)
    var hints = addrinfo()
    hints.ai_socktype = SOCK_STREAM
    hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, "\(port)", &hints, &list) == 0, let i = list?.pointee else {
        throw SocketError("getaddrinfo", EINVAL)
    }
    let s = socket(i.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0)
    var one: Int32 = 1
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, 4)
    if bind(s, i.ai_addr, i.ai_addrlen) != 0 { throw SocketError("bind", errno) }
    if listen(s, 4096) != 0 { throw SocketError("listen", errno) }
    let size = 100_000
    let buf = UnsafeMutablePointer<UInt8>.allocate(capacity: size)
    while true {
        var from = sockaddr_storage()
        var l = socklen_t(128)
        let c = withUnsafeMutablePointer(to: &from) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { accept4(s, $0, &l, Int32(SOCK_CLOEXEC.rawValue)) }
        }
        if c < 0 { continue }
        client: while true {
            let n = read(c, buf, size)
            if n == -1 && errno == EINTR { continue }
            if n <= 0 { break }
            for k in 0..<n where buf[k] >= 0x61 && buf[k] <= 0x7a { buf[k] ^= 0x20 }
            var o = 0
            while o < n {
                let m = write(c, buf + o, n - o)
                if m > 0 { o += m } else if errno != EINTR { break client }
            }
        }
        shutdown(c, Int32(SHUT_RDWR))
        close(c)
    }
}
