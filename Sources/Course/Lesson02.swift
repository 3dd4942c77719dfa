/// Lesson 02: addresses. Text, numbers, and the structures that the kernel takes.
public struct Lesson02: LessonContract {
    public static let slug = "02-addresses"

    /// 4 bytes for IPv4, 16 for IPv6, in network order. Throws `AddressError.notAnAddress`.
    public var parseAddress: (String) throws -> [UInt8]
    /// The text of 4 or 16 bytes. Throws `AddressError.wrongLength`.
    public var formatAddress: ([UInt8]) throws -> String
    /// By hand, as strict as `inet_pton`; nil if the text is not an IPv4 address.
    public var parseIPv4: (String) -> [UInt8]?
    /// The exact bytes of a `sockaddr_in` or `sockaddr_in6`. Throws `AddressError.notAnAddress`.
    public var socketAddress: (_ host: String, _ port: UInt16) throws -> [UInt8]
    /// The exact bytes of a whole `sockaddr_un`. Throws `AddressError.pathTooLong`, or `notAnAddress` for a path that is
    /// empty or has a zero byte in it: the kernel would take either for another name.
    public var unixSocketAddress: (_ path: String) throws -> [UInt8]
    /// `127.0.0.1:80`, `[::1]:80`: a numeric address and a port. Throws `AddressError.notAnEndpoint`.
    public var parseEndpoint: (String) throws -> Endpoint
    /// Numeric addresses for a name, through `getaddrinfo`, in its order, none twice. Throws `ResolveError`.
    public var resolve: (_ name: String) throws -> [String]
    /// Throws `SocketError` if the descriptor is not a socket, or not open.
    public var describeSocket: (Int32) throws -> SocketDescription

    public init(
        parseAddress: @escaping (String) throws -> [UInt8],
        formatAddress: @escaping ([UInt8]) throws -> String,
        parseIPv4: @escaping (String) -> [UInt8]?,
        socketAddress: @escaping (_ host: String, _ port: UInt16) throws -> [UInt8],
        unixSocketAddress: @escaping (_ path: String) throws -> [UInt8],
        parseEndpoint: @escaping (String) throws -> Endpoint,
        resolve: @escaping (_ name: String) throws -> [String],
        describeSocket: @escaping (Int32) throws -> SocketDescription
    ) {
        self.parseAddress = parseAddress
        self.formatAddress = formatAddress
        self.parseIPv4 = parseIPv4
        self.socketAddress = socketAddress
        self.unixSocketAddress = unixSocketAddress
        self.parseEndpoint = parseEndpoint
        self.resolve = resolve
        self.describeSocket = describeSocket
    }

    public var entries: [Entry] {
        [
            .function("parse-address") { .bytes(try parseAddress(try $0.string(0))) },
            .function("format-address") { .string(try formatAddress(try $0.bytes(0))) },
            .function("parse-ipv4") { parseIPv4(try $0.string(0)).map(Value.bytes) ?? .none },
            .function("socket-address") { .bytes(try socketAddress(try $0.string(0), UInt16(try $0.int(1)))) },
            .function("unix-socket-address") { .bytes(try unixSocketAddress(try $0.string(0))) },
            .function("parse-endpoint") { arguments in
                let endpoint = try parseEndpoint(try arguments.string(0))
                return .list([.string(endpoint.host), .int(Int(endpoint.port))])
            },
            .function("resolve") { .list(try resolve(try $0.string(0)).map(Value.string)) },
            .function("describe-socket") { arguments in
                let description = try describeSocket(try arguments.descriptor(0))
                return .list([
                    .string(description.type), .string(description.family), .string(description.local),
                    description.peer.map(Value.string) ?? .none,
                ])
            },
        ]
    }
}

/// A host and a port.
public struct Endpoint: Equatable, Sendable {
    /// A numeric address as it was written, without brackets: `::1`.
    public var host: String
    /// In host order.
    public var port: UInt16

    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }
}

public enum AddressError: Error, Equatable, Sendable {
    /// The text that is not an address.
    case notAnAddress(String)
    /// Neither 4 nor 16 bytes: how many.
    case wrongLength(Int)
    /// A Unix path that does not fit `sun_path` with its final zero: its length in bytes.
    case pathTooLong(Int)
    /// The text that is not an endpoint.
    case notAnEndpoint(String)
}

/// What `getaddrinfo` returned. Its numbers are its own (`EAI_NONAME`), not `errno`'s.
public struct ResolveError: Error, Equatable, Sendable {
    public var code: Int32
    public init(code: Int32) { self.code = code }
}

/// What the kernel says of a socket.
public struct SocketDescription: Equatable, Sendable {
    /// `stream` or `datagram` (`SO_TYPE`).
    public var type: String
    /// `IPv4`, `IPv6` or `Unix`.
    public var family: String
    /// `127.0.0.1:12000`, `[::1]:12000`, or the path of a Unix socket; empty if a Unix socket has none.
    public var local: String
    /// The same for the other end; nil if the socket is not connected.
    public var peer: String?

    public init(type: String, family: String, local: String, peer: String?) {
        self.type = type
        self.family = family
        self.local = local
        self.peer = peer
    }
}
