/// The address of one end of a socket, kept as the exact bytes of its `sockaddr` (ip(7), ipv6(7), unix(7)).
///
/// Lesson 02 builds these bytes by hand; the lessons after it may use this type.
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    /// The `sockaddr_in`, `sockaddr_in6` or `sockaddr_un`, as long as the kernel should be told it is.
    public let bytes: [UInt8]

    /// - Parameter host: a numeric IPv4 or IPv6 address: `127.0.0.1`, `::1`, `0.0.0.0`, or `fe80::1%eth0`.
    /// - Parameter port: in host order; 0 lets the kernel choose.
    /// - Throws: `EINVAL` if `host` is neither. Names are for `getaddrinfo`, not for this.
    public init(host: String, port: UInt16) throws {
        var ipv4 = sockaddr_in()
        if inet_pton(AF_INET, host, &ipv4.sin_addr) == 1 {
            ipv4.sin_family = sa_family_t(AF_INET)
            ipv4.sin_port = port.bigEndian
            bytes = SocketAddress.bytes(of: ipv4)
            return
        }
        let parts = host.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        var ipv6 = sockaddr_in6()
        guard inet_pton(AF_INET6, String(parts[0]), &ipv6.sin6_addr) == 1 else {
            throw SocketError("inet_pton(\"\(host)\")", EINVAL)
        }
        if parts.count == 2 {
            ipv6.sin6_scope_id = if_nametoindex(String(parts[1]))
            guard ipv6.sin6_scope_id != 0 else { throw SocketError("if_nametoindex", ENODEV) }
        }
        ipv6.sin6_family = sa_family_t(AF_INET6)
        ipv6.sin6_port = port.bigEndian
        bytes = SocketAddress.bytes(of: ipv6)
    }

    /// - Parameter unixPath: where the socket's file is; at most 107 bytes on Linux (unix(7)).
    /// - Throws: `ENAMETOOLONG` if it does not fit with its final zero: it is never cut.
    public init(unixPath: String) throws {
        var address = sockaddr_un()
        let path = Array(unixPath.utf8) + [0]
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard path.count <= capacity else { throw SocketError("unix path", ENAMETOOLONG) }
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        bytes = SocketAddress.bytes(of: address)
    }

    /// - Parameter bytes: a `sockaddr` as the kernel gave it, at least as long as its family.
    public init?(bytes: [UInt8]) {
        guard bytes.count >= MemoryLayout<sa_family_t>.size else { return nil }
        self.bytes = bytes
    }

    /// `AF_INET`, `AF_INET6` or `AF_UNIX`.
    public var family: Int32 { withSockaddr { address, _ in Int32(address.pointee.sa_family) } }

    /// The port in host order; 0 for a Unix socket.
    public var port: UInt16 {
        switch family {
        case AF_INET: return read(sockaddr_in.self)?.sin_port.bigEndian ?? 0
        case AF_INET6: return read(sockaddr_in6.self)?.sin6_port.bigEndian ?? 0
        default: return 0
        }
    }

    /// The numeric address without its port, or the path of a Unix socket (empty if it has none).
    public var host: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        switch family {
        case AF_INET:
            guard var address = read(sockaddr_in.self)?.sin_addr else { return "" }
            inet_ntop(AF_INET, &address, &text, socklen_t(text.count))
        case AF_INET6:
            guard var address = read(sockaddr_in6.self)?.sin6_addr else { return "" }
            inet_ntop(AF_INET6, &address, &text, socklen_t(text.count))
        default:
            let start = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2
            return String(decoding: bytes.dropFirst(start).prefix { $0 != 0 }, as: UTF8.self)
        }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// `127.0.0.1:12000`, `[::1]:12000`, or a path.
    public var description: String {
        switch family {
        case AF_INET: return "\(host):\(port)"
        case AF_INET6: return "[\(host)]:\(port)"
        default: return host
        }
    }

    /// Lends the address in the form that `bind`, `connect` and `sendto` take.
    ///
    ///     try check("bind", address.withSockaddr { bind(fd, $0, $1) })
    @inlinable
    public func withSockaddr<Result, Failure: Error>(
        _ body: (UnsafePointer<sockaddr>, socklen_t) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        // A sockaddr_storage is aligned for every family; an array of bytes is not.
        var storage = sockaddr_storage()
        let length = min(bytes.count, MemoryLayout<sockaddr_storage>.size)
        withUnsafeMutableBytes(of: &storage) { $0.copyBytes(from: bytes.prefix(length)) }
        return try withUnsafePointer(to: &storage) { pointer throws(Failure) in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address throws(Failure) in
                try body(address, socklen_t(length))
            }
        }
    }

    /// Lends room for an address to `accept`, `recvfrom`, `getsockname` or `getpeername`, and returns what the call
    /// returned and the address that it wrote (nil if it wrote none).
    ///
    ///     let (count, sender) = SocketAddress.received { recvfrom(fd, buffer, size, 0, $0, $1) }
    ///
    /// The length is set anew on every call: the kernel overwrites it.
    @inlinable
    public static func received<Result>(
        _ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Result
    ) -> (result: Result, address: SocketAddress?) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, &length) }
        }
        let saved = errno
        let used = min(Int(length), MemoryLayout<sockaddr_storage>.size)
        let bytes = withUnsafeBytes(of: &storage) { Array($0.prefix(used)) }
        errno = saved
        return (result, storage.ss_family == 0 ? nil : SocketAddress(bytes: bytes))
    }

    private static func bytes<Address>(of address: Address) -> [UInt8] { withUnsafeBytes(of: address) { Array($0) } }

    private func read<Address>(_ type: Address.Type) -> Address? {
        guard bytes.count >= MemoryLayout<Address>.size else { return nil }
        return bytes.withUnsafeBytes { $0.loadUnaligned(as: type) }
    }
}

extension SocketAddress {
    /// The name that a socket is bound to (getsockname(2)).
    public static func local(of socket: Int32) throws -> SocketAddress {
        let (result, address) = received { getsockname(socket, $0, $1) }
        try check("getsockname", result)
        guard let address else { throw SocketError("getsockname", EAFNOSUPPORT) }
        return address
    }

    /// Who is at the other end of a connected socket (getpeername(2)).
    public static func peer(of socket: Int32) throws -> SocketAddress {
        let (result, address) = received { getpeername(socket, $0, $1) }
        try check("getpeername", result)
        guard let address else { throw SocketError("getpeername", EAFNOSUPPORT) }
        return address
    }
}
