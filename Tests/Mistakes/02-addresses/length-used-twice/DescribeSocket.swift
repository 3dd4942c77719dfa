import Course
import Sockets

func describeSocket(_ descriptor: Int32) throws -> SocketDescription {
    var type: Int32 = 0
    var size = socklen_t(4)
    try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size))

    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)

    let result = withUnsafeMutablePointer(to: &storage) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
    }
    try check("getsockname", result)
    let local = text(storage, length)

    // The storage is used again, so it is cleared.
    let family = storage.ss_family
    storage = sockaddr_storage()
    let second = withUnsafeMutablePointer(to: &storage) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(descriptor, $0, &length) }
    }
    var peer: String?
    if second == 0 {
        peer = text(storage, length)
    } else if errno != ENOTCONN {
        throw SocketError("getpeername", errno)
    }
    let families = [sa_family_t(AF_INET): "IPv4", sa_family_t(AF_INET6): "IPv6", sa_family_t(AF_UNIX): "Unix"]
    return SocketDescription(
        type: type == SOCK_STREAM ? "stream" : "datagram", family: families[family] ?? "?", local: local, peer: peer)
}

private func text(_ storage: sockaddr_storage, _ length: socklen_t) -> String {
    let bytes = withUnsafeBytes(of: storage) { Array($0.prefix(Int(length))) }
    switch Int32(storage.ss_family) {
    case AF_INET:
        let port = Int(bytes[2]) * 256 + Int(bytes[3])
        return "\((try? formatAddress(Array(bytes[4..<8]))) ?? ""):\(port)"
    case AF_INET6:
        let port = Int(bytes[2]) * 256 + Int(bytes[3])
        return "[\((try? formatAddress(Array(bytes[8..<24]))) ?? "")]:\(port)"
    default:
        return String(decoding: bytes.dropFirst(2).prefix { $0 != 0 }, as: UTF8.self)
    }
}
