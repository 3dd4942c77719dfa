import Course
import Dispatch
import Sockets
let largestMessage = 1 << 20
/// poll(2), one thread, nothing but read and write on non-blocking sockets.
func framedEchoServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK, 0))
    var on: Int32 = 1
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, 4)
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, 128))
    signal(SIGPIPE, SIG_IGN)
    final class Client {
        var decoder: any MessageDecoder = FrameDecoder(limit: largestMessage); var out: [UInt8] = []; var ended = false
    }
    var clients: [Int32: Client] = [:]
    while true {
        var set = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0)]
        for (fd, c) in clients {
            let events = (c.out.isEmpty && !c.ended ? Int16(POLLIN) : 0) | (c.out.isEmpty ? 0 : Int16(POLLOUT))
            set.append(pollfd(fd: fd, events: events, revents: 0))
        }
        if poll(&set, nfds_t(set.count), -1) < 0 { if errno == EINTR { continue }; throw SocketError("poll", errno) }
        for p in set where p.revents != 0 {
            if p.fd == listener {
                let fd = accept(listener, nil, nil)
                if fd >= 0 { _ = fcntl(fd, F_SETFL, O_NONBLOCK); clients[fd] = Client() }
                continue
            }
            guard let c = clients[p.fd] else { continue }
            var dead = false
            if c.out.isEmpty {
                var buffer = [UInt8](repeating: 0, count: 8192)
                let n = read(p.fd, &buffer, buffer.count)
                if n > 0 {
                    c.decoder.feed(Array(buffer.prefix(n)))
                    do { while let m = try c.decoder.next() { c.out += encodeFrame(message: m) } } catch { dead = true }
                } else if n == 0 {
                    c.ended = true
                } else if errno != EAGAIN && errno != EINTR {
                    dead = true
                }
            }
            if !c.out.isEmpty && !dead {
                let n = write(p.fd, c.out, c.out.count)
                if n > 0 { c.out.removeFirst(n) } else if n < 0 && errno != EAGAIN && errno != EINTR { dead = true }
            }
            if dead || (c.ended && c.out.isEmpty) { close(p.fd); clients[p.fd] = nil }
        }
    }
}
