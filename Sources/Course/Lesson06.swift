import Sockets

/// Lesson 06: select. One thread that waits for many descriptors at once.
public struct Lesson06: LessonContract {
    public static let slug = "06-select"

    /// Upper-cases what every client sends, all clients in one thread over select(2).
    public var selectServer: (_ host: String, _ port: UInt16) throws -> Void
    /// A connected, blocking descriptor, or `SocketError`: `ECONNREFUSED` if nobody is there, `ETIMEDOUT` if nobody
    /// answered within the timeout.
    public var connectWithTimeout: (_ host: String, _ port: UInt16, _ timeout: Milliseconds) throws -> Int32
    /// Copies `input` to `socket` and `socket` to `output` at the same time. The end of `input` half-closes the socket;
    /// the end of the socket ends the chat. A terminal program passes 0 and 1. Closes none of the three.
    public var duplexChat: (_ socket: Int32, _ input: Int32, _ output: Int32) throws -> Void

    public init(
        selectServer: @escaping (_ host: String, _ port: UInt16) throws -> Void,
        connectWithTimeout: @escaping (_ host: String, _ port: UInt16, _ timeout: Milliseconds) throws -> Int32,
        duplexChat: @escaping (_ socket: Int32, _ input: Int32, _ output: Int32) throws -> Void
    ) {
        self.selectServer = selectServer
        self.connectWithTimeout = connectWithTimeout
        self.duplexChat = duplexChat
    }

    public var entries: [Entry] {
        [
            .server("select-server", selectServer),
            // The answer: does the descriptor block, and who is at the other end of it? Then it is closed.
            .function("connect-with-timeout") { a in
                let descriptor = try connectWithTimeout(try a.string(0), UInt16(try a.int(1)), try a.int(2))
                defer { close(descriptor) }
                let blocks = fcntl(descriptor, F_GETFL) & O_NONBLOCK == 0
                guard let peer = try? SocketAddress.peer(of: descriptor) else { return .list([.bool(blocks), .none]) }
                return .list([.bool(blocks), .string("\(peer)")])
            },
            .function("duplex-chat") { a in
                try duplexChat(try a.descriptor(0), try a.descriptor(1), try a.descriptor(2))
                return .none
            },
        ]
    }
}
