import Course
import Foundation
import Sockets

/// epoll, recvmsg, a dictionary by text.
func discover(port: UInt16, timeout: Milliseconds) throws -> [Discovered] {
    let fd = try check("socket", socket(AF_INET, SOCK_DGRAM, 0))
    defer { close(fd) }
    var yes: Int32 = 1
    try check("setsockopt", setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, 4))
    _ = fcntl(fd, F_SETFL, O_NONBLOCK)
    let all = try SocketAddress(host: "127.255.255.255", port: port)
    let question = Data("WHO IS THERE?".utf8)
    var n: Int
    repeat {
        n = question.withUnsafeBytes { b in all.withSockaddr { sendto(fd, b.baseAddress, b.count, 0, $0, $1) } }
    } while n < 0 && errno == EINTR
    try check("sendto", n)
    let ep = try check("epoll_create1", epoll_create1(0))
    defer { close(ep) }
    var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(fd: fd))
    try check("epoll_ctl", epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event))
    let clock = SuspendingClock()
    let end = clock.now + .milliseconds(timeout)
    var found: [String: Discovered] = [:]
    while clock.now < end {
        let left = clock.now.duration(to: end)
        let ms = left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000
        var out = epoll_event()
        if epoll_wait(ep, &out, 1, Int32(ms) + 1) <= 0 { continue }
        var from = sockaddr_in()
        var buffer = [UInt8](repeating: 0, count: 65_535)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let got = withUnsafeMutablePointer(to: &from) { p in
            p.withMemoryRebound(to: sockaddr.self, capacity: 1) { recvfrom(fd, &buffer, buffer.count, 0, $0, &length) }
        }
        if got < 0 { continue }
        let host = String(cString: inet_ntoa(from.sin_addr))
        let port = UInt16(bigEndian: from.sin_port)
        let key = "\(host) \(port)"
        if found[key] == nil { found[key] = Discovered(host: host, port: port, answer: Array(buffer[..<got])) }
    }
    return Array(found.values)
}
