import Course
import Sockets

func client(message: [UInt8], host: String, port: UInt16) throws -> [UInt8] {
    var hints = addrinfo()
    hints.ai_socktype = SOCK_STREAM
    hints.ai_flags = AI_NUMERICHOST
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, String(port), &hints, &list) == 0, let info = list else {
        throw SocketError("getaddrinfo", EINVAL)
    }
    defer { freeaddrinfo(list) }
    let fd = socket(info.pointee.ai_family, info.pointee.ai_socktype, info.pointee.ai_protocol)
    if fd < 0 { throw SocketError("socket", errno) }
    _ = fcntl(fd, F_SETFL, O_NONBLOCK)
    var connected = connect(fd, info.pointee.ai_addr, info.pointee.ai_addrlen) == 0
    if !connected && errno != EINPROGRESS && errno != EINTR {
        let e = errno; close(fd); throw SocketError("connect", e)
    }
    var out = message[...]
    var answer = [UInt8]()
    var shut = false
    while true {
        if connected && out.isEmpty && !shut { shutdown(fd, Int32(SHUT_WR)); shut = true }
        var p = pollfd(fd: fd, events: Int16(POLLIN) | (shut ? 0 : Int16(POLLOUT)), revents: 0)
        if poll(&p, 1, -1) < 0 { continue }
        if !connected {
            var e: Int32 = 0
            var l = socklen_t(4)
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &l)
            if e != 0 { close(fd); throw SocketError("connect", e) }
            connected = true
            continue
        }
        if p.revents & Int16(POLLOUT) != 0 && !out.isEmpty {
            let n = out.withUnsafeBytes { send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if n < 0 && errno != EINTR && errno != EAGAIN { let e = errno; close(fd); throw SocketError("send", e) }
            if n > 0 { out = out.dropFirst(n) }
        }
        if p.revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 {
            var b = [UInt8](repeating: 0, count: 3000)
            let n = recvfrom(fd, &b, b.count, 0, nil, nil)
            if n == 0 { close(fd); return answer }
            if n < 0 && errno != EINTR && errno != EAGAIN { let e = errno; close(fd); throw SocketError("recv", e) }
            if n > 0 { answer += b[..<n] }
        }
    }
}
