/// Lesson 03: UDP. Datagrams: whole, or not at all.
public struct Lesson03: LessonContract {
    public static let slug = "03-udp"

    /// Answers each datagram with the same bytes, a…z turned into A…Z, from the port that it was sent to.
    public var uppercaseServer: (_ host: String, _ port: UInt16) throws -> Void
    /// Answers each datagram with its arrival: decimal milliseconds since 1970, one space, and the datagram. An answer
    /// that would be longer than a datagram can be is not sent.
    public var timestampServer: (_ host: String, _ port: UInt16) throws -> Void
    /// One question over a bad network. Each attempt is one datagram: request number and attempt (from 1), both u32 and
    /// big-endian, then the message; an answer is the same 8 bytes, then the server's payload. `timeout` is for each
    /// attempt. Throws `RequestError.noAnswer` after the last one, `SocketError` if a datagram cannot be sent.
    public var request:
        (_ message: [UInt8], _ host: String, _ port: UInt16, _ timeout: Milliseconds, _ attempts: Int)
            throws -> Answer
    /// One exchange through `connect`. Throws `SocketError` with `ECONNREFUSED` if nobody is there,
    /// `RequestError.noAnswer` if nobody answers.
    public var connectedClient:
        (_ message: [UInt8], _ host: String, _ port: UInt16, _ timeout: Milliseconds)
            throws -> [UInt8]
    /// One datagram to everybody on the loopback network, 127.255.255.255.
    public var broadcast: (_ message: [UInt8], _ port: UInt16) throws -> Void
    /// Broadcasts `WHO IS THERE?` to 127.255.255.255 and collects the answers that arrive within the timeout, the first
    /// of each sender (address and port), in any order.
    public var discover: (_ port: UInt16, _ timeout: Milliseconds) throws -> [Discovered]
    /// One datagram to a multicast group, on the loopback interface.
    public var multicastSend: (_ message: [UInt8], _ group: String, _ port: UInt16) throws -> Void
    /// Joins the group on the loopback interface, at a port that others may share, waits for one datagram to the group,
    /// returns it. Throws `RequestError.noAnswer`.
    public var multicastReceive: (_ group: String, _ port: UInt16, _ timeout: Milliseconds) throws -> [UInt8]

    public init(
        uppercaseServer: @escaping (_ host: String, _ port: UInt16) throws -> Void,
        timestampServer: @escaping (_ host: String, _ port: UInt16) throws -> Void,
        request:
            @escaping (
                _ message: [UInt8], _ host: String, _ port: UInt16, _ timeout: Milliseconds, _ attempts: Int
            ) throws -> Answer,
        connectedClient:
            @escaping (_ message: [UInt8], _ host: String, _ port: UInt16, _ timeout: Milliseconds)
            throws -> [UInt8],
        broadcast: @escaping (_ message: [UInt8], _ port: UInt16) throws -> Void,
        discover: @escaping (_ port: UInt16, _ timeout: Milliseconds) throws -> [Discovered],
        multicastSend: @escaping (_ message: [UInt8], _ group: String, _ port: UInt16) throws -> Void,
        multicastReceive: @escaping (_ group: String, _ port: UInt16, _ timeout: Milliseconds) throws -> [UInt8]
    ) {
        self.uppercaseServer = uppercaseServer
        self.timestampServer = timestampServer
        self.request = request
        self.connectedClient = connectedClient
        self.broadcast = broadcast
        self.discover = discover
        self.multicastSend = multicastSend
        self.multicastReceive = multicastReceive
    }

    public var entries: [Entry] {
        [
            .server("uppercase-server", uppercaseServer),
            .server("timestamp-server", timestampServer),
            .function("request") { a in
                let answer = try request(
                    try a.bytes(0), try a.string(1), UInt16(try a.int(2)), try a.int(3), try a.int(4))
                return .list([.bytes(answer.payload), .int(answer.attempt)])
            },
            .function("connected-client") { a in
                .bytes(try connectedClient(try a.bytes(0), try a.string(1), UInt16(try a.int(2)), try a.int(3)))
            },
            .function("broadcast") { a in
                try broadcast(try a.bytes(0), UInt16(try a.int(1)))
                return .none
            },
            .function("discover") { a in
                .list(
                    try discover(UInt16(try a.int(0)), try a.int(1)).map { found in
                        .list([.string(found.host), .int(Int(found.port)), .bytes(found.answer)])
                    })
            },
            .function("multicast-send") { a in
                try multicastSend(try a.bytes(0), try a.string(1), UInt16(try a.int(2)))
                return .none
            },
            .function("multicast-receive") { a in
                .bytes(try multicastReceive(try a.string(0), UInt16(try a.int(1)), try a.int(2)))
            },
        ]
    }
}

/// A length of time in thousandths of a second, as `poll` takes it.
public typealias Milliseconds = Int

/// What `request` got.
public struct Answer: Equatable, Sendable {
    /// What followed the header in the answering datagram.
    public var payload: [UInt8]
    /// Which attempt was answered, from 1: only then is the time from question to answer known.
    public var attempt: Int

    public init(payload: [UInt8], attempt: Int) {
        self.payload = payload
        self.attempt = attempt
    }
}

public enum RequestError: Error, Equatable, Sendable {
    /// Nobody answered within the time of the last attempt.
    case noAnswer
}

/// Somebody who answered a broadcast.
public struct Discovered: Equatable, Sendable {
    /// Numeric.
    public var host: String
    public var port: UInt16
    public var answer: [UInt8]

    public init(host: String, port: UInt16, answer: [UInt8]) {
        self.host = host
        self.port = port
        self.answer = answer
    }
}
