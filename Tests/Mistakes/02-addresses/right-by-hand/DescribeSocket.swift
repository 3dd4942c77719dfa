import Course
import Sockets

func describeSocket(_ descriptor: Int32) throws -> SocketDescription {
    let type = try option(descriptor, SO_TYPE)
    let local = try SocketAddress.local(of: descriptor)
    let family: String
    switch local.family {
    case AF_INET: family = "IPv4"
    case AF_INET6: family = "IPv6"
    case AF_UNIX: family = "Unix"
    default: family = "family \(local.family)"
    }
    var peer: String?
    do {
        peer = try SocketAddress.peer(of: descriptor).description
    } catch let error as SocketError {
        guard error.code == ENOTCONN else { throw error }
    }
    return SocketDescription(
        type: type == SOCK_DGRAM ? "datagram" : type == SOCK_STREAM ? "stream" : "type \(type)", family: family,
        local: local.description, peer: peer)
}

private func option(_ descriptor: Int32, _ name: Int32) throws -> Int32 {
    try withUnsafeTemporaryAllocation(of: Int32.self, capacity: 1) { value in
        var size = socklen_t(MemoryLayout<Int32>.size)
        try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, name, value.baseAddress, &size))
        return value[0]
    }
}
