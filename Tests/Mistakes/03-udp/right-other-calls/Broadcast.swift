import Course
import Foundation
import Sockets

/// connect to everybody, then write.
func broadcast(message: [UInt8], port: UInt16) throws {
    let fd = try check("socket", socket(AF_INET, SOCK_DGRAM, Int32(IPPROTO_UDP)))
    defer { close(fd) }
    var yes: Int32 = 1
    try check("setsockopt", setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, 4))
    var to = sockaddr_in()
    to.sin_family = sa_family_t(AF_INET)
    to.sin_port = htons(port)
    to.sin_addr.s_addr = inet_addr("127.255.255.255")
    let r = withUnsafePointer(to: &to) { p in
        p.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
    try check("connect", r)
    // write moves no empty datagram on some systems; send does.
    var n: Int
    repeat { n = send(fd, message, message.count, 0) } while n < 0 && errno == EINTR
    try check("send", n)
}
