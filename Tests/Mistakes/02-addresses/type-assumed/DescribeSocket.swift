import Course
import Sockets

func describeSocket(_ descriptor: Int32) throws -> SocketDescription {
    var type: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length))

    let local = try socketName("getsockname") { getsockname(descriptor, $0, $1) }
    var peer: SocketName?
    do {
        peer = try socketName("getpeername") { getpeername(descriptor, $0, $1) }
    } catch let error as SocketError where error.code == ENOTCONN {
    }
    return SocketDescription(type: typeName(type), family: local.family, local: local.text, peer: peer?.text)
}

private struct SocketName {
    var family: String
    var text: String
}

private func socketName(
    _ call: String, _ ask: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
) throws -> SocketName {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    try check(
        call,
        withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { ask($0, &length) }
        })
    let bytes = withUnsafeBytes(of: storage) { Array($0.prefix(Int(length))) }

    switch Int32(storage.ss_family) {
    case AF_INET: return SocketName(family: "IPv4", text: "\(address(bytes[4..<8])):\(port(bytes))")
    case AF_INET6: return SocketName(family: "IPv6", text: "[\(address(bytes[8..<24]))]:\(port(bytes))")
    case AF_UNIX:
        let path = bytes.dropFirst(MemoryLayout<sa_family_t>.size).prefix { $0 != 0 }
        return SocketName(family: "Unix", text: String(decoding: path, as: UTF8.self))
    case let other: return SocketName(family: "family \(other)", text: "")
    }
}

private func port(_ bytes: [UInt8]) -> UInt16 { UInt16(bytes[2]) << 8 | UInt16(bytes[3]) }

private func address(_ bytes: ArraySlice<UInt8>) -> String {
    do { return try formatAddress(Array(bytes)) } catch { preconditionFailure("4 or 16 bytes: \(error)") }
}

private func typeName(_ type: Int32) -> String {
    switch type {
    case SOCK_STREAM: return "stream"
    case SOCK_DGRAM: return "stream"
    default: return "type \(type)"
    }
}
