/// Lesson 04: TCP. A stream of bytes, in order, with no marks in it.
public struct Lesson04: LessonContract {
    public static let slug = "04-tcp"

    /// All of it, however little `send` takes at a time. Throws `SocketError`.
    public var sendAll: (Int32, [UInt8]) throws -> Void
    /// Exactly `count` bytes. Throws `StreamError.ended` if the stream ends first, `SocketError` if it breaks.
    public var receiveExactly: (Int32, _ count: Int) throws -> [UInt8]
    /// Says "no more from me", reads what the peer still sends to its end, then closes: once, also if the connection breaks
    /// (then it may throw `SocketError`).
    public var closeGracefully: (Int32) throws -> Void
    /// Connects, sends, half-closes, and returns everything that comes back, however much it is: both directions are used
    /// at the same time. Throws `SocketError` rather than return a part of an answer.
    public var client: (_ message: [UInt8], _ host: String, _ port: UInt16) throws -> [UInt8]
    /// Answers each byte as it comes, in upper case (ASCII), until the client ends its side; then closes. One client after
    /// another. Throws `SocketError` if it cannot listen, and for nothing that a client does.
    public var uppercaseServer: (_ host: String, _ port: UInt16) throws -> Void
    /// The same for many at once, a thread each.
    public var threadedServer: (_ host: String, _ port: UInt16) throws -> Void
    /// The same for many at once, a child process each; no zombies.
    public var forkingServer: (_ host: String, _ port: UInt16) throws -> Void

    public init(
        sendAll: @escaping (Int32, [UInt8]) throws -> Void,
        receiveExactly: @escaping (Int32, _ count: Int) throws -> [UInt8],
        closeGracefully: @escaping (Int32) throws -> Void,
        client: @escaping (_ message: [UInt8], _ host: String, _ port: UInt16) throws -> [UInt8],
        uppercaseServer: @escaping (_ host: String, _ port: UInt16) throws -> Void,
        threadedServer: @escaping (_ host: String, _ port: UInt16) throws -> Void,
        forkingServer: @escaping (_ host: String, _ port: UInt16) throws -> Void
    ) {
        self.sendAll = sendAll
        self.receiveExactly = receiveExactly
        self.closeGracefully = closeGracefully
        self.client = client
        self.uppercaseServer = uppercaseServer
        self.threadedServer = threadedServer
        self.forkingServer = forkingServer
    }

    public var entries: [Entry] {
        [
            .function("send-all") { a in
                try sendAll(try a.descriptor(0), try a.bytes(1))
                return .none
            },
            .function("receive-exactly") { a in .bytes(try receiveExactly(try a.descriptor(0), try a.int(1))) },
            .function("close-gracefully") { a in
                try closeGracefully(try a.descriptor(0))
                return .none
            },
            .function("client") { a in
                .bytes(try client(try a.bytes(0), try a.string(1), UInt16(try a.int(2))))
            },
            .server("uppercase-server", uppercaseServer),
            .server("threaded-server", threadedServer),
            .server("forking-server", forkingServer),
        ]
    }
}

public enum StreamError: Error, Equatable, Sendable {
    /// The peer closed after `received` of the bytes that were wanted.
    case ended(received: Int)
}
