// The names that only macOS has. Not run there yet.
#if canImport(Darwin)
import Sockets

extension Call {
    static let systemOptions: [(level: Int32, option: Int32, name: String)] = [
        (SOL_SOCKET, SO_NOSIGPIPE, "SO_NOSIGPIPE"), (IPPROTO_TCP, TCP_KEEPALIVE, "TCP_KEEPALIVE"),
    ]

    /// There is no MSG_MORE.
    public var saysMore: Bool { false }

    static let systemMessageFlags: [(bit: Int32, name: String)] = []

    var requestName: String { "\(arguments.0)" }
    var watchText: String { "\(arguments.0)" }
    var eventNames: String { "\(arguments.1)" }
    static func eventNames(_ bits: Int32) -> String { "\(bits)" }
}
#endif
