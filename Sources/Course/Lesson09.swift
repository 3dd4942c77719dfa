import Sockets

/// Lesson 09: WebSocket (RFC 6455). A connection that begins as HTTP and goes on with messages, both ways.
public struct Lesson09: LessonContract {
    public static let slug = "09-websocket"

    /// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`.
    public var acceptKey: (_ key: String) -> String
    /// What a server does with the bytes that have come so far: wait, accept, or refuse.
    ///
    /// `allowedOrigins`: the pages that may connect, as `http://localhost:8765`; nil allows all. A request without an
    /// `Origin` does not come from a page: it is always allowed.
    public var serverHandshake: (_ received: [UInt8], _ allowedOrigins: [String]?) -> ServerHandshake
    /// The request of a client, with the empty line at its end.
    public var clientRequest: (HandshakeRequest) -> [UInt8]
    /// Checks the server's answer to a request with `key`.
    ///
    /// Returns how many bytes the answer's head has, and what follows them are frames; nil if more bytes are needed.
    /// Throws `HandshakeError`.
    public var checkAnswer: (_ received: [UInt8], _ key: String) throws -> Int?
    /// One frame. `mask`: four bytes for a frame of a client, nil for one of a server.
    public var encodeFrame: (Opcode, _ payload: [UInt8], _ isFinal: Bool, _ mask: [UInt8]?) -> [UInt8]
    /// A decoder for what `role` receives; a message may have `limit` bytes.
    public var makeFrameDecoder: (_ role: WebSocketRole, _ limit: Int) -> any WebSocketDecoder
    /// Sends every message back as it came, to many clients at once; messages of up to `messageLimit`.
    public var echoServer: (_ host: String, _ port: UInt16) throws -> Void
    /// Answers `{"data": "hello", "timestamp": 1}` with `{"type": "echo", "data": "HELLO", "timestamp": 1}`.
    public var jsonEchoServer: (_ host: String, _ port: UInt16) throws -> Void
    /// Connects to a numeric address, shakes hands, and returns the open connection. Throws `SocketError` or
    /// `HandshakeError`; leaves no descriptor open then.
    public var openClient: (_ host: String, _ port: UInt16, HandshakeRequest) throws -> any WebSocketClient
    /// Sends every message on to the other members, or to all.
    public var chatServer: (_ host: String, _ port: UInt16, ChatRules) throws -> Void
    /// An echo server that pings its clients, and drops those that do not answer.
    public var heartbeatServer: (_ host: String, _ port: UInt16, Heartbeat) throws -> Void

    public init(
        acceptKey: @escaping (_ key: String) -> String,
        serverHandshake: @escaping (_ received: [UInt8], _ allowedOrigins: [String]?) -> ServerHandshake,
        clientRequest: @escaping (HandshakeRequest) -> [UInt8],
        checkAnswer: @escaping (_ received: [UInt8], _ key: String) throws -> Int?,
        encodeFrame: @escaping (Opcode, _ payload: [UInt8], _ isFinal: Bool, _ mask: [UInt8]?) -> [UInt8],
        makeFrameDecoder: @escaping (_ role: WebSocketRole, _ limit: Int) -> any WebSocketDecoder,
        echoServer: @escaping (_ host: String, _ port: UInt16) throws -> Void,
        jsonEchoServer: @escaping (_ host: String, _ port: UInt16) throws -> Void,
        openClient: @escaping (_ host: String, _ port: UInt16, HandshakeRequest) throws -> any WebSocketClient,
        chatServer: @escaping (_ host: String, _ port: UInt16, ChatRules) throws -> Void,
        heartbeatServer: @escaping (_ host: String, _ port: UInt16, Heartbeat) throws -> Void
    ) {
        self.acceptKey = acceptKey
        self.serverHandshake = serverHandshake
        self.clientRequest = clientRequest
        self.checkAnswer = checkAnswer
        self.encodeFrame = encodeFrame
        self.makeFrameDecoder = makeFrameDecoder
        self.echoServer = echoServer
        self.jsonEchoServer = jsonEchoServer
        self.openClient = openClient
        self.chatServer = chatServer
        self.heartbeatServer = heartbeatServer
    }

    /// A request or an answer may have so many bytes, with the empty line at its end.
    public static let headLimit = 16_384
    /// What the servers and the client of this lesson take as one message: 64 MiB.
    public static let messageLimit = 64 << 20
    /// How long a client waits for the server's part of closing.
    public static let closePatience: Milliseconds = 2000

    public var entries: [Entry] {
        [
            .function("accept-key") { a in .string(acceptKey(try a.string(0))) },
            // The bytes so far, and a list of origins or nothing.
            .function("server-handshake") { a in
                var origins: [String]?
                if case .list(let list)? = a.dropFirst().first {
                    origins = try list.indices.map { try list.string($0) }
                }
                return serverHandshake(try a.bytes(0), origins).value
            },
            // Host, path, key, and an origin or nothing.
            .function("client-request") { a in .bytes(clientRequest(try request(a, at: 0))) },
            .function("check-answer") { a in
                (try checkAnswer(try a.bytes(0), try a.string(1))).map(Value.int) ?? Value.none
            },
            // Opcode, payload, whether it is final, and a mask or nothing.
            .function("encode-frame") { a in
                var mask: [UInt8]?
                if case .bytes(let bytes)? = a.dropFirst(3).first { mask = bytes }
                return .bytes(encodeFrame(try opcode(a, at: 0), try a.bytes(1), try a.bool(2), mask))
            },
            // A role, a limit, a stream, and how to cut it: see `chunks`. See `decode` for the answer.
            .function("frame-decoder") { a in
                let decoder = makeFrameDecoder(try role(a, at: 0), try a.int(1))
                return decode(with: decoder, chunks: try chunks(Array(a.dropFirst())))
            },
            // A role, a limit, a beginning, a pattern, how often it is repeated, and the size of a chunk.
            .function("frame-decoder-cost") { a in try cost(of: makeFrameDecoder(try role(a, at: 0), try a.int(1)), a)
            },
            .server("echo-server", echoServer),
            .server("json-echo-server", jsonEchoServer),
            // Host, port, path, key, an origin or nothing, and what to do: see `converse`.
            .function("client") { a in
                let request = HandshakeRequest(
                    host: "\(try a.string(0)):\(try a.int(1))", path: try a.string(2), key: try a.string(3),
                    origin: try optionalString(a, at: 4))
                let client = try openClient(try a.string(0), UInt16(try a.int(1)), request)
                return try converse(client, try a.list(5))
            },
            .server("chat-server") { host, port in try chatServer(host, port, ChatRules(page: ChatRules.smallPage)) },
            // For people and their browsers: the page has to know the port before the server has one.
            .server("chat-room") { host, port in
                let port = port == 0 ? try freePort(host) : port
                try chatServer(host, port, ChatRules.room(host: host, port: port))
            },
            .server("chat-server-to-all") { host, port in try chatServer(host, port, ChatRules(echoesToSender: true)) },
            .server("heartbeat-server") { host, port in try heartbeatServer(host, port, Heartbeat()) },
        ]
    }
}

// MARK: The handshake

/// What `serverHandshake` makes of the bytes so far.
public enum ServerHandshake: Equatable, Sendable {
    /// The empty line that ends the request is not here yet.
    case incomplete
    /// Send `response` (101). The request had `length` bytes: what follows them are frames.
    case accepted(response: [UInt8], length: Int)
    /// Send `response`, and close. Its status is 400, 403, 426 or 431.
    case refused(status: Int, response: [UInt8])
}

/// What a client asks for.
public struct HandshakeRequest: Equatable, Sendable {
    /// For the field `Host`: `localhost:8765`.
    public var host: String
    /// `/` or `/chat?room=1`
    public var path: String
    /// 16 random bytes in base64.
    public var key: String
    /// The page that asks; nil for a program that is no browser.
    public var origin: String?

    public init(host: String, path: String = "/", key: String, origin: String? = nil) {
        self.host = host
        self.path = path
        self.key = key
        self.origin = origin
    }
}

/// Why a client does not trust a server's answer.
public enum HandshakeError: Error, Equatable, Sendable {
    /// Not the head of an HTTP/1.1 response, or longer than `Lesson09.headLimit`.
    case notHTTP
    /// Another status than 101.
    case status(Int)
    /// No `Upgrade: websocket`, or no `Connection: Upgrade`.
    case notUpgraded
    /// No `Sec-WebSocket-Accept`, or not the one that belongs to the key.
    case wrongAcceptKey
    /// An extension or a subprotocol that nobody asked for.
    case unexpectedExtension
}

// MARK: Frames

/// RFC 6455 section 5.2.
public enum Opcode: UInt8, Equatable, Sendable, CaseIterable {
    case continuation = 0x0
    case text = 0x1
    case binary = 0x2
    case close = 0x8
    case ping = 0x9
    case pong = 0xA

    /// Close, ping and pong: at most 125 bytes, never in fragments, allowed between the fragments of a message.
    public var isControl: Bool { rawValue & 0x8 != 0 }
}

/// Who decodes: a server receives masked frames and a client receives frames without mask, and nothing else.
public enum WebSocketRole: String, Sendable {
    case server
    case client
}

/// Bytes in, events out, no sockets.
///
///     decoder.feed(bytes)                        // whatever one recv gave
///     while let event = try decoder.next() { … }
///
/// Events are asked for one by one, so those before an error arrive however the stream was cut.
public protocol WebSocketDecoder {
    /// - Parameter bytes: the next bytes of the stream, cut anywhere; perhaps none.
    mutating func feed(_ bytes: [UInt8])

    /// - Returns: the next event, or nil if more bytes are needed for it. After `.close` always nil: what follows a close
    ///   frame is not looked at.
    /// - Throws: `WebSocketError`, as soon as the bytes that are here prove it. The decoder is not asked again.
    mutating func next() throws -> WebSocketEvent?
}

/// What a stream of frames says.
public enum WebSocketEvent: Equatable, Sendable {
    /// A whole message, its fragments joined: valid UTF-8.
    case text([UInt8])
    /// A whole message, its fragments joined.
    case binary([UInt8])
    case ping([UInt8])
    case pong([UInt8])
    /// The peer closes. No code: its close frame was empty.
    case close(code: UInt16?, reason: String)
}

/// How the peer broke the protocol; `closeCode` is what to tell it before the connection is closed.
public enum WebSocketError: Error, Equatable, Sendable {
    /// 1002. The text says what was wrong; it is for people and may be anything.
    case protocolError(String)
    /// 1007: a text, or the reason of a close, is not UTF-8.
    case invalidText
    /// 1009: a message over the limit, known from the lengths of its frames alone.
    case tooLong(limit: Int)

    public var closeCode: UInt16 {
        switch self {
        case .protocolError: 1002
        case .invalidText: 1007
        case .tooLong: 1009
        }
    }
}

// MARK: Servers and clients

/// An open connection, from the client's side.
public protocol WebSocketClient: AnyObject {
    /// Sends one message in one frame.
    ///
    /// - Parameter opcode: `.text` or `.binary`, or `.ping`.
    func send(_ opcode: Opcode, _ payload: [UInt8]) throws

    /// Waits for what comes next: `.text`, `.binary`, `.pong`, or `.close`. Pings are answered meanwhile, and not returned.
    /// A close is answered, too; then the descriptor is closed, and nothing more is received or sent.
    ///
    /// - Throws: `WebSocketError` after the server was told so (1002, 1007, 1009) and the descriptor closed;
    ///   `SocketError` if the connection breaks, `ECONNRESET` too if it ends without a close frame.
    func receive() throws -> WebSocketEvent

    /// Sends a close frame, waits for the server's (what comes before that is thrown away), and closes the descriptor.
    ///
    /// - Returns: the server's answer.
    /// - Throws: `SocketError` `ETIMEDOUT` if there is none within `Lesson09.closePatience`; as `receive`, otherwise. The
    ///   descriptor is closed all the same.
    @discardableResult
    func close(code: UInt16, reason: String) throws -> WebSocketEvent
}

public struct ChatRules: Equatable, Sendable {
    /// A message goes to its sender, too.
    public var echoesToSender: Bool
    /// A member for whom more bytes than this wait, because it does not read, is dropped.
    public var queueLimit: Int
    /// A longer message closes its sender's connection (1009): in a room of hundreds it is kept for each of them.
    public var messageLimit: Int
    /// See `Lesson09.serverHandshake`.
    public var allowedOrigins: [String]?
    /// A whole HTTP response, sent in place of the 426 to who asks for no WebSocket: the page of the chat. Nil: none.
    public var page: [UInt8]?

    public init(
        echoesToSender: Bool = false, queueLimit: Int = 1 << 20, messageLimit: Int = 65_536,
        allowedOrigins: [String]? = ["http://localhost:8765", "http://127.0.0.1:8765"], page: [UInt8]? = nil
    ) {
        self.echoesToSender = echoesToSender
        self.queueLimit = queueLimit
        self.messageLimit = messageLimit
        self.allowedOrigins = allowedOrigins
        self.page = page
    }

    /// What graders and the command line give `chatServer` as its page.
    public static let smallPage = Array(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: close\r\n\r\nthe chat page"
            .utf8)
}

/// When a server asks "are you still there?", and for how long it waits for the answer.
public struct Heartbeat: Equatable, Sendable {
    /// From the handshake to the first ping, and between two pings to one client.
    public var interval: Milliseconds
    /// From a ping to its pong; a client that takes longer is dropped. Longer than `interval`, so several pings may be on
    /// their way: the pong to a later one answers those before it, too (RFC 6455, section 5.5.3).
    public var timeout: Milliseconds

    public init(interval: Milliseconds = 500, timeout: Milliseconds = 1500) {
        self.interval = interval
        self.timeout = timeout
    }
}
