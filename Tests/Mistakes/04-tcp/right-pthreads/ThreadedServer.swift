import Course
import Foundation
import Sockets

func threadedServer(host: String, port: UInt16) throws {
    signal(SIGPIPE, SIG_IGN)
    let a = try SocketAddress(host: host, port: port)
    let s = try check("socket", socket(a.family, SOCK_STREAM, 0))
    var one: Int32 = 1
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, 4)
    try check("bind", a.withSockaddr { bind(s, $0, $1) })
    try check("listen", listen(s, SOMAXCONN))
    while true {
        let c = accept(s, nil, nil)
        if c < 0 {
            if errno == EMFILE { usleep(10000) }
            continue
        }
        var t = pthread_t()
        let box = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
        box.pointee = c
        pthread_create(
            &t, nil,
            { raw in
                let p = raw!.assumingMemoryBound(to: Int32.self)
                let c = p.pointee
                p.deallocate()
                let h = FileHandle(fileDescriptor: c, closeOnDealloc: false)
                _ = h
                var b = [UInt8](repeating: 0, count: 1000)
                outer: while true {
                    let n = recv(c, &b, 1000, 0)
                    if n < 0, errno == EINTR { continue }
                    if n <= 0 { break }
                    var rest = b.prefix(n).map { $0 > 96 && $0 < 123 ? $0 - 32 : $0 }
                    while !rest.isEmpty {
                        let m = send(c, rest, rest.count, 0)
                        if m < 0 { if errno == EINTR { continue }; break outer }
                        rest.removeFirst(m)
                    }
                }
                close(c)
                return nil
            }, box)
        pthread_detach(t)
    }
}
