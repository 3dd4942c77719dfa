/// Lesson 14: a chat room. Its protocol is described in Lessons/14-chat-room/PROTOCOL.md.
public struct Lesson14: LessonContract {
    public static let slug = "14-chat-room"

    /// A message as a JSON object in UTF-8, without the length before it.
    public var encodeMessage: (ChatMessage) -> [UInt8]
    /// What a frame says. Throws `MessageError`, whatever the bytes are.
    public var decodeMessage: ([UInt8]) throws -> ChatMessage
    /// The rules of a room, without I/O.
    public var makeRoom: (RoomRules) -> any ChatRoom
    /// Serves a room to many clients at once.
    public var chatServer: (_ host: String, _ port: UInt16, RoomRules) throws -> Void
    /// Connects to a numeric address. Throws `SocketError`; leaves no descriptor open then.
    public var openClient: (_ host: String, _ port: UInt16) throws -> any ChatClient
    /// A WebSocket in front, a connection to a chat server behind it, for each browser.
    public var gateway: (_ host: String, _ port: UInt16, GatewayRules) throws -> Void

    public init(
        encodeMessage: @escaping (ChatMessage) -> [UInt8],
        decodeMessage: @escaping ([UInt8]) throws -> ChatMessage,
        makeRoom: @escaping (RoomRules) -> any ChatRoom,
        chatServer: @escaping (_ host: String, _ port: UInt16, RoomRules) throws -> Void,
        openClient: @escaping (_ host: String, _ port: UInt16) throws -> any ChatClient,
        gateway: @escaping (_ host: String, _ port: UInt16, GatewayRules) throws -> Void
    ) {
        self.encodeMessage = encodeMessage
        self.decodeMessage = decodeMessage
        self.makeRoom = makeRoom
        self.chatServer = chatServer
        self.openClient = openClient
        self.gateway = gateway
    }

    /// The most bytes of a frame, not counting its length.
    public static let frameLimit = 65_536
    /// How long a client waits for the answer to its login or logout.
    public static let clientPatience: Milliseconds = 3000

    public var entries: [Entry] {
        [
            // A message as a list: see `value`.
            .function("encode-message") { a in .bytes(encodeMessage(try ChatMessage(value: try a.list(0)))) },
            .function("decode-message") { a in
                do { return try decodeMessage(try a.bytes(0)).value } catch let error as MessageError {
                    return .list([.string(error.name)])
                }
            },
            // How many messages the history has, and what happens: see `play`.
            .function("room") { a in try play(makeRoom(RoomRules(historyLength: try a.int(0))), try a.list(1)) },
            .server("chat-server") { host, port in try chatServer(host, port, RoomRules()) },
            .server("chat-server-impatient") { host, port in
                try chatServer(host, port, RoomRules(loginPatience: 1500))
            },
            // Host, port, and what to do: see `converse`.
            .function("chat-client") { a in
                try converse(openClient(try a.string(0), UInt16(try a.int(1))), try a.list(2))
            },
            // Host, port, names, and two pipes: a keyboard and a screen. See `talk`.
            .function("chat-terminal") { a in
                let names = try a.list(2).indices.map { try a.list(2).string($0) }
                try talk(
                    try a.string(0), UInt16(try a.int(1)), as: names, keyboard: try a.descriptor(3),
                    screen: try a.descriptor(4))
                return .none
            },
            .server("gateway") { host, port in
                try gateway(host, port, try GatewayRules.fromFolder(page: GatewayRules.smallPage))
            },
            // For people and their browsers: the page and its origin.
            .server("chat-gateway") { host, port in
                let port = port == 0 ? try freePort(host) : port
                var rules = try GatewayRules.fromFolder(page: chatRoomPage)
                rules.allowedOrigins = ChatRules.room(host: host, port: port).allowedOrigins
                try gateway(host, port, rules)
            },
        ]
    }
}

// MARK: Messages

/// What the two sides say to each other. The texts for people, `message` in the JSON, are not part of it.
public enum ChatMessage: Equatable, Sendable {
    // From a client.
    case login(username: String)
    case chat(content: String)
    case logout

    // From the server.
    /// `refusal`: nil if the login succeeded.
    case loginResponse(refusal: ChatProblem?)
    case chatMessage(ChatLine)
    case userJoined(username: String)
    case userLeft(username: String)
    case logoutResponse
    case error(ChatProblem)
}

/// Something that was said in the room, and that all members get.
public struct ChatLine: Equatable, Sendable {
    /// 1, 2, 3 … in the order of the room.
    public var id: Int
    public var username: String
    public var content: String
    /// When the server got it: seconds since 1970.
    public var timestamp: Double

    public init(id: Int, username: String, content: String, timestamp: Double) {
        self.id = id
        self.username = username
        self.content = content
        self.timestamp = timestamp
    }
}

/// What can be wrong, by the `code` of a `login_response` or an `error`.
public enum ChatProblem: String, Equatable, Sendable, CaseIterable, Error {
    case badName = "bad_name"
    case nameTaken = "name_taken"
    case notLoggedIn = "not_logged_in"
    case alreadyLoggedIn = "already_logged_in"
    case badContent = "bad_content"
    case badMessage = "bad_message"
    case unknownType = "unknown_type"
    case tooLong = "too_long"
}

/// Bytes that are no message.
public enum MessageError: Error, Equatable, Sendable {
    /// A JSON object with a `type` that is a string, but none of this protocol.
    case unknownType(String)
    /// Anything else: not UTF-8, not JSON, not an object, a field missing or of the wrong kind. The text is for people.
    case badMessage(String)

    fileprivate var name: String {
        switch self {
        case .unknownType: "unknownType"
        case .badMessage: "badMessage"
        }
    }
}

// MARK: The room

public struct RoomRules: Equatable, Sendable {
    /// So many of the last chat messages are sent to who joins.
    public var historyLength: Int
    /// A client for which more bytes than this wait, because it does not read, is dropped.
    public var queueLimit: Int
    /// A connection that has not logged in after this time is closed.
    public var loginPatience: Milliseconds

    public init(historyLength: Int = 50, queueLimit: Int = 1 << 20, loginPatience: Milliseconds = 30_000) {
        self.historyLength = historyLength
        self.queueLimit = queueLimit
        self.loginPatience = loginPatience
    }

    /// Bytes of UTF-8.
    public static let nameLimit = 32
    /// Bytes of UTF-8.
    public static let contentLimit = 4096
}

/// Events in, deliveries out, no sockets. Connections are known by a number that the server gives them.
public protocol ChatRoom {
    /// - Parameter message: any message, also one that a client must not send.
    /// - Parameter time: seconds since 1970.
    /// - Returns: what to do now, in this order.
    mutating func receive(_ message: ChatMessage, from connection: Int, at time: Double) -> [Delivery]

    /// The connection is gone, in whatever way; it may never have logged in. Nothing is delivered to it any more.
    mutating func leave(_ connection: Int) -> [Delivery]
}

public enum Delivery: Equatable, Sendable {
    /// The same message to each of these connections.
    case send(ChatMessage, to: [Int])
    /// Close it when all is sent. The room has forgotten it already: `leave` need not be called.
    case close(Int)
}

// MARK: Client and gateway

/// One connection to a chat server, from the client's side. Blocks where it has to wait.
public protocol ChatClient: AnyObject {
    /// Logs in. Messages that come before the answer are kept for `receive`.
    ///
    /// - Throws: the `ChatProblem` that the server answers, in a `login_response` or an `error`; the connection stays
    /// open,
    ///   and another name may be tried. `SocketError` `ETIMEDOUT` after `Lesson14.clientPatience` without an answer: then,
    ///   and with every other error, the descriptor is closed.
    func login(_ username: String) throws

    /// Says something.
    func chat(_ content: String) throws

    /// Waits for the next message, as long as it takes. Types that it does not know are passed over.
    ///
    /// - Returns: nil if the server has ended the connection, between two frames.
    /// - Throws: `SocketError`, `ECONNRESET` too if the stream ends within a frame; `MessageError.badMessage`;
    ///   `FramingError.tooLong`. The descriptor is closed then.
    func receive() throws -> ChatMessage?

    /// Logs out, waits for the answer (what comes before that is thrown away), and closes the descriptor.
    ///
    /// - Throws: `SocketError` `ETIMEDOUT` as `login`; `ECONNRESET` if the connection ends without an answer. The
    ///   descriptor is closed all the same.
    func logout() throws

    /// Closes the descriptor, without a word. May be called again.
    func close()
}

public struct GatewayRules: Equatable, Sendable {
    /// Where the chat server is: a numeric address.
    public var serverHost: String
    public var serverPort: UInt16
    /// See `Lesson09.serverHandshake`.
    public var allowedOrigins: [String]?
    /// A whole HTTP response, sent in place of the 426 to who asks for no WebSocket: the page of the chat.
    public var page: [UInt8]

    public init(
        serverHost: String = "127.0.0.1", serverPort: UInt16 = 8888,
        allowedOrigins: [String]? = ["http://localhost:8765", "http://127.0.0.1:8765"], page: [UInt8]
    ) {
        self.serverHost = serverHost
        self.serverPort = serverPort
        self.allowedOrigins = allowedOrigins
        self.page = page
    }

    /// What graders and the command line give the gateway as its page.
    public static let smallPage = Array(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: close\r\n\r\nthe room page"
            .utf8)
}
