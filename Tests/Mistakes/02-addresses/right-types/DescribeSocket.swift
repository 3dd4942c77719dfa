import Course
import Sockets

private struct Name {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)

    /// Calls with room for any name, every time anew.
    init(_ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32, _ call: String) throws {
        let result = withUnsafeMutableBytes(of: &storage) {
            body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
        }
        try check(call, result)
    }

    func load<Structure>(as type: Structure.Type) -> Structure {
        withUnsafeBytes(of: storage) { $0.loadUnaligned(as: type) }
    }

    var family: String {
        [AF_INET: "IPv4", AF_INET6: "IPv6", AF_UNIX: "Unix"][Int32(storage.ss_family)] ?? "unknown"
    }

    var text: String {
        switch Int32(storage.ss_family) {
        case AF_INET:
            let name = load(as: sockaddr_in.self)
            return "\(Address.v4(name.sin_addr).text):\(UInt16(bigEndian: name.sin_port))"
        case AF_INET6:
            let name = load(as: sockaddr_in6.self)
            return "[\(Address.v6(name.sin6_addr).text)]:\(UInt16(bigEndian: name.sin6_port))"
        default:
            return withUnsafeBytes(of: storage) { bytes in
                let path = bytes.prefix(Int(length)).dropFirst(MemoryLayout<sa_family_t>.size)
                return String(decoding: path.prefix { $0 != 0 }, as: UTF8.self)
            }
        }
    }
}

func describeSocket(_ descriptor: Int32) throws -> SocketDescription {
    let local = try Name({ getsockname(descriptor, $0, $1) }, "getsockname")
    var type: Int32 = -1
    var size = socklen_t(MemoryLayout<Int32>.size)
    try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size))
    var peer: Name?
    do { peer = try Name({ getpeername(descriptor, $0, $1) }, "getpeername") } catch let error as SocketError {
        if error.code != ENOTCONN { throw error }
    }
    let kinds: [Int32: String] = [SOCK_STREAM: "stream", SOCK_DGRAM: "datagram"]
    return SocketDescription(
        type: kinds[type] ?? "type \(type)", family: local.family, local: local.text, peer: peer?.text)
}
