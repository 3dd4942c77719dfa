import Foundation
import Sockets

/// Lesson 16: production. The servers of lessons 08 and 09 behind a proxy, nginx: it ends TLS, spreads the requests over
/// several of them, and none is lost when one of them goes.
public struct Lesson16: LessonContract {
    public static let slug = "16-production"

    /// Who asked, where a proxy stands in front: what `fields` say is believed as far as it comes from a trusted proxy.
    ///
    /// `peer`: the address that the connection comes from, as accept gave it: `127.0.0.1`, `::1`.
    public var forwardedClient: (_ peer: String, _ fields: [HTTPField], _ trust: ProxyTrust) -> ForwardedClient
    /// A descriptor that SIGTERM and SIGINT make readable, for good: nobody reads it. They end nothing any more.
    public var stopDescriptor: () throws -> Int32
    /// HTTP/1.1 for a proxy; returns when `stop` has become readable and what was begun is finished, or has taken longer
    /// than `stopPatience`. `name` is how it calls itself in its answers.
    public var backEnd: (_ host: String, _ port: UInt16, _ name: String, _ stop: Int32) throws -> Void
    /// A WebSocket echo whose pings keep a connection alive through a proxy that cuts what is silent for `proxyTimeout`, and
    /// which pings nobody more often than ten times in that time; returns as `backEnd` does, with a close frame for everybody.
    public var webSocketBackEnd:
        (_ host: String, _ port: UInt16, _ proxyTimeout: Milliseconds, _ stop: Int32) throws -> Void
    /// What stands in nginx.conf between `http {` and `}`.
    public var proxyConfiguration: (ProxySite) -> String

    public init(
        forwardedClient: @escaping (_ peer: String, _ fields: [HTTPField], _ trust: ProxyTrust) -> ForwardedClient,
        stopDescriptor: @escaping () throws -> Int32,
        backEnd: @escaping (_ host: String, _ port: UInt16, _ name: String, _ stop: Int32) throws -> Void,
        webSocketBackEnd:
            @escaping (
                _ host: String, _ port: UInt16, _ proxyTimeout: Milliseconds, _ stop: Int32
            ) throws -> Void,
        proxyConfiguration: @escaping (ProxySite) -> String
    ) {
        self.forwardedClient = forwardedClient
        self.stopDescriptor = stopDescriptor
        self.backEnd = backEnd
        self.webSocketBackEnd = webSocketBackEnd
        self.proxyConfiguration = proxyConfiguration
    }

    /// How long what was begun may take after a stop was asked for.
    public static let stopPatience: Milliseconds = 3000
    /// After how much silence the proxy cuts a WebSocket, for graders and on the command line.
    public static let proxyTimeout: Milliseconds = 3000
    /// Whom the back end believes: the proxy on its own machine.
    public static let trust = ProxyTrust(proxies: ["127.0.0.1", "::1"], header: .xForwarded)

    public var entries: [Entry] {
        [
            // The peer, a list of `[name, value]`, the trusted proxies, and `forwarded` or `x-forwarded`. The answer: the
            // address and the scheme.
            .function("forwarded-client") { a in
                let fields = try a.list(1).map { field in
                    guard case .list(let parts) = field else { throw ArgumentError(description: "not a field") }
                    return HTTPField(try parts.string(0), try parts.string(1))
                }
                let proxies = try a.list(2)
                guard let header = ProxyTrust.Header(rawValue: try a.string(3)) else {
                    throw ArgumentError(description: "argument 4 should be a header")
                }
                let trust = ProxyTrust(
                    proxies: try proxies.indices.map { try proxies.string($0) }, header: header)
                let client = forwardedClient(try a.string(0), fields, trust)
                return .list([.string(client.address), .string(client.scheme)])
            },
            .function("stop-descriptor") { _ in .int(Int(try stopDescriptor())) },
            // A descriptor, and how long to wait for it. Whether it is readable by then.
            .function("is-readable") { a in .bool(try isReadable(Int32(try a.int(0)), within: try a.int(1))) },
            .server("back-end") { host, port in try backEnd(host, port, "\(getpid())", try stopDescriptor()) },
            .server("ws-back-end") { host, port in
                try webSocketBackEnd(host, port, Lesson16.proxyTimeout, try stopDescriptor())
            },
            // Behind a proxy that waits for as long as nginx does unless it is told otherwise.
            .server("ws-back-end-60s") { host, port in
                try webSocketBackEnd(host, port, 60_000, try stopDescriptor())
            },
            // Two ports, the certificate and its key, two lists of ports, the timeout.
            .function("proxy-configuration") { a in
                func ports(_ index: Int) throws -> [UInt16] {
                    let list = try a.list(index)
                    return try list.indices.map { UInt16(try list.int($0)) }
                }
                return .string(
                    proxyConfiguration(
                        ProxySite(
                            httpPort: UInt16(try a.int(0)), httpsPort: UInt16(try a.int(1)),
                            certificate: try a.string(2), certificateKey: try a.string(3), backEnds: try ports(4),
                            webSocketBackEnds: try ports(5), idleTimeout: try a.int(6))))
            },
        ]
    }
}

/// Which proxies are believed, and which of the two ways they have to say who asked. Only one of them: a proxy writes
/// the one that it knows, and passes on the other as the client wrote it.
public struct ProxyTrust: Equatable, Sendable {
    public enum Header: String, Sendable {
        /// `Forwarded: for=192.0.2.60;proto=https` (RFC 7239).
        case forwarded
        /// `X-Forwarded-For: 192.0.2.60` and `X-Forwarded-Proto: https`.
        case xForwarded = "x-forwarded"
    }

    /// Numeric addresses, in any notation.
    public var proxies: [String]
    public var header: Header

    public init(proxies: [String], header: Header) {
        self.proxies = proxies
        self.header = header
    }
}

public struct ForwardedClient: Equatable, Sendable {
    /// A numeric address without port or brackets, as `SocketAddress` writes it: `2001:db8::1`.
    public var address: String
    /// `http` or `https`: how the client spoke to the proxy.
    public var scheme: String

    public init(address: String, scheme: String) {
        self.address = address
        self.scheme = scheme
    }
}

/// What a proxy is to serve, all on 127.0.0.1.
public struct ProxySite: Equatable, Sendable {
    /// Where it listens: in plain, and with TLS.
    public var httpPort: UInt16
    public var httpsPort: UInt16
    /// Files, in PEM.
    public var certificate: String
    public var certificateKey: String
    /// HTTP back ends: for everything but `/ws`.
    public var backEnds: [UInt16]
    /// WebSocket back ends: for `/ws`.
    public var webSocketBackEnds: [UInt16]
    /// After how much silence of its back end a WebSocket is cut.
    public var idleTimeout: Milliseconds

    public init(
        httpPort: UInt16, httpsPort: UInt16, certificate: String, certificateKey: String, backEnds: [UInt16],
        webSocketBackEnds: [UInt16], idleTimeout: Milliseconds = Lesson16.proxyTimeout
    ) {
        self.httpPort = httpPort
        self.httpsPort = httpsPort
        self.certificate = certificate
        self.certificateKey = certificateKey
        self.backEnds = backEnds
        self.webSocketBackEnds = webSocketBackEnds
        self.idleTimeout = idleTimeout
    }

    /// As `proxy-configuration` takes it.
    public var arguments: [Value] {
        [
            .int(Int(httpPort)), .int(Int(httpsPort)), .string(certificate), .string(certificateKey),
            .list(backEnds.map { .int(Int($0)) }), .list(webSocketBackEnds.map { .int(Int($0)) }), .int(idleTimeout),
        ]
    }
}

/// poll(2), interrupted or not. A descriptor that is not open is an error of the student's.
private func isReadable(_ descriptor: Int32, within patience: Milliseconds) throws -> Bool {
    var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    let end = ContinuousClock.now + .milliseconds(patience)
    while true {
        let left = max(.zero, end - ContinuousClock.now)
        let milliseconds = Int32(left / .milliseconds(1))
        let count = poll(&waiting, 1, milliseconds)
        if count > 0 && waiting.revents & Int16(POLLNVAL) != 0 { throw SocketError("poll", EBADF) }
        if count > 0 { return true }
        if count == 0 { return false }
        if errno != EINTR { throw SocketError("poll", errno) }
    }
}
