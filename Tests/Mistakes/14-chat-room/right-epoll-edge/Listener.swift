import Course
import Sockets

func makeListener(host: String, port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let descriptor = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        var one: Int32 = 1
        try check("setsockopt", setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, 4))
        try check("bind", address.withSockaddr { bind(descriptor, $0, $1) })
        try check("listen", listen(descriptor, 4096))
        try check("fcntl", fcntl(descriptor, F_SETFL, O_NONBLOCK))
    } catch {
        close(descriptor)
        throw error
    }
    return descriptor
}
