/// Lesson 10: options. What a socket can be told to do differently, what the kernel makes of it, and what changes.
public struct Lesson10: LessonContract {
    public static let slug = "10-options"

    /// Sets the options that are asked for, and no others. Throws `SocketError` with the option's name in `call`:
    /// `setsockopt(TCP_NODELAY)`.
    public var configure: (_ socket: Int32, _ options: SocketOptions) throws -> Void
    /// What the kernel says of them, and of the socket. Changes nothing. Throws `SocketError` with the option's name in
    /// `call`: `getsockopt(SO_SNDBUF)`.
    public var readOptions: (_ socket: Int32) throws -> SocketState
    /// Sends the request and returns an answer of exactly `answerLength` bytes, both on a socket that is non-blocking
    /// meanwhile; its flags are afterwards as they were before, whatever happens. Throws `StreamError.ended` if the stream
    /// ends first, `SocketError` if it breaks. The socket stays open.
    public var nonblockingExchange: (_ socket: Int32, _ request: [UInt8], _ answerLength: Int) throws -> [UInt8]
    /// Closes the connection with a reset: the peer's next call fails with `ECONNRESET`, and what was not delivered yet is
    /// dropped.
    public var resetClose: (_ socket: Int32) throws -> Void
    /// Answers each line with its length, a newline, and the line in upper case: `hello` becomes `5`, `HELLO`. No part of an
    /// answer waits for an acknowledgement. One client after another.
    public var requestServer: (_ host: String, _ port: UInt16) throws -> Void
    /// The same on a port that it shares with others of its kind.
    public var sharedServer: (_ host: String, _ port: UInt16) throws -> Void

    /// The longest line that the servers answer, without its newline.
    public static let longestLine = 1024

    public init(
        configure: @escaping (_ socket: Int32, _ options: SocketOptions) throws -> Void,
        readOptions: @escaping (_ socket: Int32) throws -> SocketState,
        nonblockingExchange: @escaping (_ socket: Int32, _ request: [UInt8], _ answerLength: Int) throws -> [UInt8],
        resetClose: @escaping (_ socket: Int32) throws -> Void,
        requestServer: @escaping (_ host: String, _ port: UInt16) throws -> Void,
        sharedServer: @escaping (_ host: String, _ port: UInt16) throws -> Void
    ) {
        self.configure = configure
        self.readOptions = readOptions
        self.nonblockingExchange = nonblockingExchange
        self.resetClose = resetClose
        self.requestServer = requestServer
        self.sharedServer = sharedServer
    }

    public var entries: [Entry] {
        [
            .function("configure") { a in
                try configure(try a.descriptor(0), try SocketOptions(Value.list(a.list(1))))
                return .none
            },
            .function("read-options") { a in try readOptions(try a.descriptor(0)).value },
            .function("nonblocking-exchange") { a in
                .bytes(try nonblockingExchange(try a.descriptor(0), try a.bytes(1), try a.int(2)))
            },
            .function("reset-close") { a in
                try resetClose(try a.descriptor(0))
                return .none
            },
            .server("request-server", requestServer),
            .server("shared-server", sharedServer),
        ]
    }
}

/// What a socket shall be told. Nil: that is left as it is.
public struct SocketOptions: Equatable, Sendable {
    /// `SO_SNDBUF`, in bytes.
    public var sendBuffer: Int32?
    /// `SO_RCVBUF`, in bytes.
    public var receiveBuffer: Int32?
    /// `TCP_NODELAY`.
    public var noDelay: Bool?
    /// `SO_KEEPALIVE`, and its three timers.
    public var keepAlive: KeepAlive?
    /// `SO_LINGER`.
    public var linger: Linger?
    /// `SO_REUSEPORT`.
    public var reusePort: Bool?
    /// `SO_RCVTIMEO`; 0: a receive waits for ever.
    public var receiveTimeout: Milliseconds?
    /// `SO_SNDTIMEO`; 0: a send waits for ever.
    public var sendTimeout: Milliseconds?

    public init(
        sendBuffer: Int32? = nil, receiveBuffer: Int32? = nil, noDelay: Bool? = nil, keepAlive: KeepAlive? = nil,
        linger: Linger? = nil, reusePort: Bool? = nil, receiveTimeout: Milliseconds? = nil,
        sendTimeout: Milliseconds? = nil
    ) {
        self.sendBuffer = sendBuffer
        self.receiveBuffer = receiveBuffer
        self.noDelay = noDelay
        self.keepAlive = keepAlive
        self.linger = linger
        self.reusePort = reusePort
        self.receiveTimeout = receiveTimeout
        self.sendTimeout = sendTimeout
    }
}

public enum KeepAlive: Equatable, Sendable {
    case off
    /// After `idle` seconds without a byte the kernel asks whether the peer is still there, every `interval` seconds
    /// (`TCP_KEEPIDLE`, `TCP_KEEPINTVL`); after `count` questions without an answer (`TCP_KEEPCNT`) the connection is broken.
    case on(idle: Int32, interval: Int32, count: Int32)
}

public enum Linger: Equatable, Sendable {
    case off
    /// `close` waits so long until what was sent has been acknowledged; with 0 it drops it, and resets the connection.
    case seconds(Int32)
}

/// What the kernel says of a socket, in its own numbers.
public struct SocketState: Equatable, Sendable {
    public var sendBuffer: Int32
    public var receiveBuffer: Int32
    /// Nil: it is not a TCP socket.
    public var noDelay: Bool?
    public var keepAlive: KeepAlive
    public var linger: Linger
    public var reusePort: Bool
    public var receiveTimeout: Milliseconds
    public var sendTimeout: Milliseconds
    /// `SO_ACCEPTCONN`: `listen` was called on it.
    public var isListening: Bool
    /// `O_NONBLOCK`, which is no option but a flag of the open file (fcntl(2)).
    public var isNonblocking: Bool

    public init(
        sendBuffer: Int32, receiveBuffer: Int32, noDelay: Bool?, keepAlive: KeepAlive, linger: Linger, reusePort: Bool,
        receiveTimeout: Milliseconds, sendTimeout: Milliseconds, isListening: Bool, isNonblocking: Bool
    ) {
        self.sendBuffer = sendBuffer
        self.receiveBuffer = receiveBuffer
        self.noDelay = noDelay
        self.keepAlive = keepAlive
        self.linger = linger
        self.reusePort = reusePort
        self.receiveTimeout = receiveTimeout
        self.sendTimeout = sendTimeout
        self.isListening = isListening
        self.isNonblocking = isNonblocking
    }
}

// MARK: What graders send and get

extension SocketOptions {
    public var value: Value {
        func number(_ number: Int32?) -> Value { number.map { .int(Int($0)) } ?? .none }
        return .list([
            number(sendBuffer), number(receiveBuffer), noDelay.map(Value.bool) ?? .none, keepAlive?.value ?? .none,
            linger?.value ?? .none, reusePort.map(Value.bool) ?? .none, receiveTimeout.map(Value.int) ?? .none,
            sendTimeout.map(Value.int) ?? .none,
        ])
    }

    /// - Throws: `ArgumentError` if it is not such a list.
    public init(_ value: Value) throws {
        let fields = try [value].list(0)
        func given<Field>(_ index: Int, _ read: (Int) throws -> Field) throws -> Field? {
            fields[index] == .none ? nil : try read(index)
        }
        self.init(
            sendBuffer: try given(0) { Int32(try fields.int($0)) },
            receiveBuffer: try given(1) { Int32(try fields.int($0)) }, noDelay: try given(2, fields.bool),
            keepAlive: try given(3) { try KeepAlive(fields[$0]) }, linger: try given(4) { try Linger(fields[$0]) },
            reusePort: try given(5, fields.bool), receiveTimeout: try given(6, fields.int),
            sendTimeout: try given(7, fields.int))
    }
}

extension SocketState {
    public var value: Value {
        .list([
            .int(Int(sendBuffer)), .int(Int(receiveBuffer)), noDelay.map(Value.bool) ?? .none, keepAlive.value,
            linger.value, .bool(reusePort), .int(receiveTimeout), .int(sendTimeout), .bool(isListening),
            .bool(isNonblocking),
        ])
    }

    /// - Throws: `ArgumentError` if it is not such a list.
    public init(_ value: Value) throws {
        let fields = try [value].list(0)
        self.init(
            sendBuffer: Int32(try fields.int(0)), receiveBuffer: Int32(try fields.int(1)),
            noDelay: fields[2] == .none ? nil : try fields.bool(2), keepAlive: try KeepAlive(fields[3]),
            linger: try Linger(fields[4]), reusePort: try fields.bool(5), receiveTimeout: try fields.int(6),
            sendTimeout: try fields.int(7), isListening: try fields.bool(8), isNonblocking: try fields.bool(9))
    }
}

extension KeepAlive {
    fileprivate var value: Value {
        switch self {
        case .off: .list([])
        case .on(let idle, let interval, let count): .list([idle, interval, count].map { .int(Int($0)) })
        }
    }

    fileprivate init(_ value: Value) throws {
        let timers = try [value].list(0)
        self =
            timers.isEmpty
            ? .off
            : .on(idle: Int32(try timers.int(0)), interval: Int32(try timers.int(1)), count: Int32(try timers.int(2)))
    }
}

extension Linger {
    fileprivate var value: Value {
        switch self {
        case .off: .list([])
        case .seconds(let seconds): .list([.int(Int(seconds))])
        }
    }

    fileprivate init(_ value: Value) throws {
        let pair = try [value].list(0)
        self = pair.isEmpty ? .off : .seconds(Int32(try pair.int(0)))
    }
}
