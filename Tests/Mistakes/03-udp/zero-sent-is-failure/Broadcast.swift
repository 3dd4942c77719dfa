import Course
import Sockets

let everybody = "127.255.255.255"

func broadcast(message: [UInt8], port: UInt16) throws {
    let fd = socket(AF_INET, SOCK_DGRAM, 0)
    guard fd >= 0 else { throw SocketError("socket", errno) }
    defer { close(fd) }
    try allowBroadcast(fd)

    var target = sockaddr_in()
    target.sin_family = sa_family_t(AF_INET)
    target.sin_port = in_port_t(port).bigEndian
    inet_pton(AF_INET, everybody, &target.sin_addr)

    while true {
        let sent = withUnsafePointer(to: &target) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(fd, message, message.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if sent > 0 { return }
        if errno != EINTR { throw SocketError("sendto", errno) }
    }
}

func allowBroadcast(_ fd: Int32) throws {
    var yes: Int32 = 1
    let result = setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, socklen_t(MemoryLayout.size(ofValue: yes)))
    if result < 0 { throw SocketError("setsockopt(SO_BROADCAST)", errno) }
}
