import Foundation
import Sockets

/// Lesson 15: Unix and raw. Sockets that have a path for a name, and sockets below TCP and UDP.
public struct Lesson15: LessonContract {
    public static let slug = "15-unix-and-raw"

    /// Sends back everything that a client sends, one client after another, at a path of the Unix domain. A file that an
    /// ended server left there is replaced; where somebody listens, or the file is no socket, it throws `SocketError`
    /// `EADDRINUSE`. Only its owner may connect. When `stop` becomes readable it closes everything but `stop`, removes its
    /// file and returns.
    public var unixEchoServer: (_ path: String, _ stop: Int32) throws -> Void
    /// Sends one datagram to `path` from a socket that is bound to `own`, and returns the answer that comes from `path`.
    /// Throws `SocketError` (`ETIMEDOUT` if no answer came in time). Closes its socket and removes `own`, however it ends.
    public var datagramRequest:
        (_ message: [UInt8], _ path: String, _ own: String, _ timeout: Milliseconds) throws -> [UInt8]
    /// Sends a copy of a descriptor over a connected Unix stream socket, beside exactly one byte.
    public var sendDescriptor: (_ descriptor: Int32, _ socket: Int32) throws -> Void
    /// Receives one byte and the one descriptor beside it, close-on-exec. Throws `DescriptorError` and keeps nothing open
    /// if anything else came.
    public var receiveDescriptor: (_ socket: Int32) throws -> Int32
    /// Who is at the other end of a connected Unix socket: the kernel says so, not the peer.
    public var peerCredentials: (_ socket: Int32) throws -> PeerCredentials

    /// An ICMP echo request with its checksum (RFC 792).
    public var echoRequest: (_ identifier: UInt16, _ sequence: UInt16, _ payload: [UInt8]) -> [UInt8]
    /// The echo reply in a packet: as a raw socket gives it, behind an IPv4 header, or without. Throws `PacketError`.
    public var parseEchoReply: (_ packet: [UInt8], _ hasHeader: Bool) throws -> EchoReply
    /// The ICMP error in an IPv4 packet, and the echo request that it quotes. Throws `PacketError`.
    public var parseQuotedEcho: (_ packet: [UInt8]) throws -> QuotedEcho
    /// A socket for ICMP echo that is connected to an IPv4 address, of the kind that this system permits.
    public var openPing: (_ address: String) throws -> PingSocket
    /// Sends `count` echo requests over a connected socket, sequence 1, 2, …, each when the one before is answered or
    /// `timeout` has passed. The round-trip time of each in nanoseconds, nil without an answer.
    public var ping: (_ socket: PingSocket, _ count: Int, _ timeout: Milliseconds) throws -> [UInt64?]
    /// The routers on the way: for the TTLs 1, 2, … one echo request each, sent to `destination` over a socket that gives
    /// whole IPv4 packets. The address that answered each one, nil for silence within `timeout`; ends with the answer of
    /// the destination itself, or after `mostHops`.
    public var traceroute:
        (_ socket: Int32, _ destination: SocketAddress, _ identifier: UInt16, _ mostHops: Int, _ timeout: Milliseconds)
            throws -> [String?]

    public init(
        unixEchoServer: @escaping (_ path: String, _ stop: Int32) throws -> Void,
        datagramRequest:
            @escaping (_ message: [UInt8], _ path: String, _ own: String, _ timeout: Milliseconds) throws -> [UInt8],
        sendDescriptor: @escaping (_ descriptor: Int32, _ socket: Int32) throws -> Void,
        receiveDescriptor: @escaping (_ socket: Int32) throws -> Int32,
        peerCredentials: @escaping (_ socket: Int32) throws -> PeerCredentials,
        echoRequest: @escaping (_ identifier: UInt16, _ sequence: UInt16, _ payload: [UInt8]) -> [UInt8],
        parseEchoReply: @escaping (_ packet: [UInt8], _ hasHeader: Bool) throws -> EchoReply,
        parseQuotedEcho: @escaping (_ packet: [UInt8]) throws -> QuotedEcho,
        openPing: @escaping (_ address: String) throws -> PingSocket,
        ping: @escaping (_ socket: PingSocket, _ count: Int, _ timeout: Milliseconds) throws -> [UInt64?],
        traceroute:
            @escaping (
                _ socket: Int32, _ destination: SocketAddress, _ identifier: UInt16, _ mostHops: Int,
                _ timeout: Milliseconds
            ) throws -> [String?]
    ) {
        self.unixEchoServer = unixEchoServer
        self.datagramRequest = datagramRequest
        self.sendDescriptor = sendDescriptor
        self.receiveDescriptor = receiveDescriptor
        self.peerCredentials = peerCredentials
        self.echoRequest = echoRequest
        self.parseEchoReply = parseEchoReply
        self.parseQuotedEcho = parseQuotedEcho
        self.openPing = openPing
        self.ping = ping
        self.traceroute = traceroute
    }

    public var entries: [Entry] {
        [
            .unixServer("unix-echo-server") { path in
                var ends: [Int32] = [-1, -1]
                try check("pipe", pipe(&ends))
                let writing = ends[1]
                onStopSignal {
                    var byte: UInt8 = 1
                    _ = write(writing, &byte, 1)
                }
                try unixEchoServer(path, ends[0])
            },
            .function("datagram-request") { a in
                .bytes(try datagramRequest(try a.bytes(0), try a.string(1), try a.string(2), try a.int(3)))
            },
            .function("send-descriptor") { a in
                try sendDescriptor(try a.descriptor(0), try a.descriptor(1))
                return .none
            },
            // What was received is proved by writing through it.
            .function("receive-descriptor") { a in
                let received = try receiveDescriptor(try a.descriptor(0))
                let flags = fcntl(received, F_GETFD)
                let proof = try a.bytes(1)
                let count = write(received, proof, proof.count)
                close(received)
                return .list([.bool(flags >= 0 && flags & FD_CLOEXEC != 0), .bool(count == proof.count)])
            },
            .function("peer-credentials") { a in
                let peer = try peerCredentials(try a.descriptor(0))
                return .list([.int(Int(peer.process)), .int(Int(peer.user)), .int(Int(peer.group))])
            },
        ] + rawEntries
    }

    private var rawEntries: [Entry] {
        [
            .function("echo-request") { a in
                .bytes(echoRequest(try a.unsigned(0), try a.unsigned(1), try a.bytes(2)))
            },
            .function("parse-echo-reply") { a in try parseEchoReply(try a.bytes(0), try a.bool(1)).value },
            .function("quoted-echo") { a in try parseQuotedEcho(try a.bytes(0)).value },
            .function("ping") { a in
                let socket = PingSocket(
                    descriptor: try a.descriptor(0), hasHeader: try a.bool(1), identifier: try a.unsigned(2))
                return .list(try ping(socket, try a.int(3), try a.int(4)).map { $0.map(Value.unsigned) ?? .none })
            },
            // A real one: opened, used, closed.
            .function("ping-host") { a in
                let socket = try openPing(try a.string(0))
                defer { close(socket.descriptor) }
                let times = try ping(socket, try a.int(1), try a.int(2))
                return .list(times.map { $0.map(Value.unsigned) ?? .none })
            },
            .function("traceroute") { a in
                let destination = try SocketAddress(host: try a.string(1), port: UInt16(try a.int(2)))
                let hops = try traceroute(
                    try a.descriptor(0), destination, try a.unsigned(3), try a.int(4), try a.int(5))
                return .list(hops.map { $0.map(Value.string) ?? .none })
            },
            .function("traceroute-host") { a in
                let destination = try SocketAddress(host: try a.string(0), port: 0)
                let socket = try check("socket", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP))
                defer { close(socket) }
                let identifier = UInt16.random(in: 1...UInt16.max)
                let hops = try traceroute(socket, destination, identifier, try a.int(1), try a.int(2))
                return .list(hops.map { $0.map(Value.string) ?? .none })
            },
        ]
    }
}

/// Who made the other end of a Unix connection, as it was when it connected, listened or made the pair.
public struct PeerCredentials: Equatable, Sendable {
    public var process: Int32
    public var user: UInt32
    public var group: UInt32

    public init(process: Int32, user: UInt32, group: UInt32) {
        self.process = process
        self.user = user
        self.group = group
    }
}

public enum CredentialsError: Error, Equatable, Sendable {
    /// The kernel knows nobody there: no Unix socket, or one that is not connected.
    case unknown
}

/// What came instead of one descriptor.
public enum DescriptorError: Error, Equatable, Sendable {
    /// The end of the stream.
    case ended
    /// A byte with nothing beside it.
    case missing
    /// More than one, or something was cut off (MSG_CTRUNC).
    case unwanted
}

/// A socket for `ping`, and what has to be known about it.
public struct PingSocket: Equatable, Sendable {
    public var descriptor: Int32
    /// It gives whole IPv4 packets (SOCK_RAW), not the ICMP message alone (SOCK_DGRAM on Linux).
    public var hasHeader: Bool
    /// What stands in the echo requests that it sends.
    public var identifier: UInt16

    public init(descriptor: Int32, hasHeader: Bool, identifier: UInt16) {
        self.descriptor = descriptor
        self.hasHeader = hasHeader
        self.identifier = identifier
    }
}

public struct EchoReply: Equatable, Sendable {
    public var identifier: UInt16
    public var sequence: UInt16
    public var payload: [UInt8]

    public init(identifier: UInt16, sequence: UInt16, payload: [UInt8]) {
        self.identifier = identifier
        self.sequence = sequence
        self.payload = payload
    }

    public var value: Value {
        .list([.unsigned(UInt64(identifier)), .unsigned(UInt64(sequence)), .bytes(payload)])
    }
}

/// An ICMP error about an echo request of ours.
public struct QuotedEcho: Equatable, Sendable {
    /// Who sent the error: the source of the outer packet.
    public var source: String
    /// 11 time exceeded, 3 destination unreachable.
    public var type: UInt8
    public var code: UInt8
    /// Of the echo request that is quoted.
    public var identifier: UInt16
    public var sequence: UInt16

    public init(source: String, type: UInt8, code: UInt8, identifier: UInt16, sequence: UInt16) {
        self.source = source
        self.type = type
        self.code = code
        self.identifier = identifier
        self.sequence = sequence
    }

    public var value: Value {
        .list([
            .string(source), .unsigned(UInt64(type)), .unsigned(UInt64(code)), .unsigned(UInt64(identifier)),
            .unsigned(UInt64(sequence)),
        ])
    }
}

/// Why a packet is not what was looked for.
public enum PacketError: Error, Equatable, Sendable {
    /// It ends before it should, or a length in it cannot be.
    case truncated
    /// Another IP version than 4.
    case notIPv4
    /// Another protocol than ICMP, in the packet or in the quote.
    case notICMP
    /// Another ICMP type or code than is looked for, in the packet or in the quote.
    case otherType
    case wrongChecksum
}
