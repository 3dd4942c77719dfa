import Course
import Sockets
func describeSocket(_ fd: Int32) throws -> SocketDescription {
    let local = try SocketAddress.local(of: fd)
    var peer: SocketAddress?
    do { peer = try SocketAddress.peer(of: fd) } catch let e as SocketError where e.code == ENOTCONN {} catch {
        throw error
    }
    var t: Int32 = 0, n = socklen_t(4)
    try check("getsockopt", getsockopt(fd, SOL_SOCKET, SO_TYPE, &t, &n))
    return SocketDescription(
        type: t == SOCK_STREAM ? "stream" : "datagram",
        family: [AF_INET: "IPv4", AF_INET6: "IPv6", AF_UNIX: "Unix"][local.family]!, local: local.description,
        peer: peer?.description)
}
