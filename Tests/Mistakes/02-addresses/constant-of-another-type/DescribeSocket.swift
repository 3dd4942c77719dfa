import Course
import Sockets

func describeSocket(_ descriptor: Int32) throws -> SocketDescription {
    let kind = try socketType(descriptor)
    let here = try SocketAddress.local(of: descriptor)
    return SocketDescription(
        type: kind, family: familyName(here.family), local: here.description,
        peer: try peer(of: descriptor)?.description)
}

private func socketType(_ descriptor: Int32) throws -> String {
    var value: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.stride)
    try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &value, &size))
    return [SOCK_STREAM: "stream", SOCK_DGRAM: "datagram"][value] ?? "type \(value)"
}

private func familyName(_ family: Int32) -> String {
    [AF_INET: "IPv4", AF_INET6: "IPv6", AF_UNIX: "Unix"][family] ?? "family \(family)"
}

private func peer(of descriptor: Int32) throws -> SocketAddress? {
    do {
        return try SocketAddress.peer(of: descriptor)
    } catch let error as SocketError {
        guard error.code == ENOTCONN else { throw error }
        return nil
    }
}
