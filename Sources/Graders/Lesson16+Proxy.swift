// Lesson 16: nginx between the grader's clients and the back ends, and clients that ask it without a pause.
import Course
import Foundation
import GraderKit
import Sockets

/// What a check needs of a running proxy.
struct Proxy {
    let nginx: Nginx
    let certificate: String
    let subject: Subject
    let trial: Trial

    var address: SocketAddress {
        get throws { try SocketAddress(host: "127.0.0.1", port: nginx.ports.http) }
    }

    func connect(secure: Bool = false) throws -> StreamPeer {
        if secure { return try trial.secureClient(of: nginx, trusting: certificate, behindWhich: subject) }
        return try trial.client(of: try address, behindWhich: subject)
    }

    /// One request on a connection of its own.
    func ask(
        _ method: String = "GET", _ target: String = "/", _ fields: String = "", body: String = "", secure: Bool = false
    )
        throws -> HTTPAnswer
    {
        let client = try connect(secure: secure)
        defer { client.close() }
        let length = body.isEmpty ? "" : "Content-Length: \(body.utf8.count)\r\n"
        try client.send(
            "\(method) \(target) HTTP/1.1\r\nHost: lab.example\r\nConnection: close\r\n\(fields)\(length)\r\n\(body)")
        return try client.answer(to: "\(method) \(target)", within: 2 * Deadline.patience)
    }

    /// A WebSocket through the proxy, its handshake done.
    func webSocket(secure: Bool = false) throws -> WebSocketPeer {
        let client = WebSocketPeer(try connect(secure: secure), trial)
        try client.shakeHands(Request(key: "").starting("GET /ws HTTP/1.1"))
        return client
    }
}

extension Trial {
    /// A folder of nginx's own, with a certificate.
    func proxyFolder() throws -> (folder: String, certificate: String, key: String) {
        let place = folder + "/nginx"
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        let made = try Nginx.makeCertificate(in: place)
        return (place, made.certificate, made.key)
    }

    /// A proxy that is told nothing wrong, in front of a student's back ends.
    func soundProxy(backEnds: [UInt16] = [], webSocketBackEnds: [UInt16] = [], subject: Subject) throws -> Proxy {
        let (place, certificate, key) = try proxyFolder()
        let ports = try ProxyPorts()
        let site = ProxySite(
            httpPort: ports.http, httpsPort: ports.https, certificate: certificate, certificateKey: key,
            backEnds: backEnds, webSocketBackEnds: webSocketBackEnds)
        let nginx: Nginx
        do { nginx = try Nginx(site: soundConfiguration(site), ports: ports, in: place) } catch let refused
            as ConfigurationRefused
        {
            throw LabError("nginx: " + refused.lines.joined(separator: "; "))
        }
        atTheEnd { nginx.stop() }
        note(say("nginx on ports \(ports.http) and \(ports.https)", "nginx 监听端口 \(ports.http) 和 \(ports.https)"))
        return Proxy(nginx: nginx, certificate: certificate, subject: subject, trial: self)
    }

    /// What nginx has complained about goes into the report of what failed behind it.
    func explaining<Result>(by nginx: @autoclosure () -> Nginx?, _ body: () throws -> Result) throws -> Result {
        do { return try body() } catch var failure as Failure {
            let complaints = nginx()?.complaints ?? []
            // The same again and again is said once.
            var said: [String] = []
            for line in complaints.suffix(200) where !said.contains(line) { said.append(line) }
            failure.detail = ([failure.detail] + said.suffix(4).map { "nginx: \($0)" }).compactMap { $0 }.joined(
                separator: "\n")
            if failure.detail?.isEmpty == true { failure.detail = nil }
            throw failure
        }
    }
}

/// Each block says all that it needs.
private func soundConfiguration(_ site: ProxySite) -> String {
    func upstream(_ name: String, _ ports: [UInt16], _ more: String) -> String {
        ports.isEmpty ? "" : "upstream \(name) { \(ports.map { "server 127.0.0.1:\($0); " }.joined())\(more) }\n"
    }
    let fields = """
                proxy_http_version 1.1;
                proxy_set_header Host $http_host;
                proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                proxy_set_header X-Forwarded-Proto $scheme;
        """
    let http = """
            location / {
                proxy_pass http://lab_back_ends;
        \(fields)
                proxy_set_header Connection "";
                proxy_connect_timeout 5s;
                proxy_next_upstream error timeout http_503;
            }

        """
    let webSocket = """
            location /ws {
                proxy_pass http://lab_web_sockets;
        \(fields)
                proxy_set_header Connection upgrade;
                proxy_set_header Upgrade $http_upgrade;
                proxy_read_timeout \(site.idleTimeout)ms;
            }

        """
    return upstream("lab_back_ends", site.backEnds, "keepalive 8;")
        + upstream("lab_web_sockets", site.webSocketBackEnds, "") + """
            server {
                listen 127.0.0.1:\(site.httpPort);
                listen 127.0.0.1:\(site.httpsPort) ssl;
                ssl_certificate "\(site.certificate)";
                ssl_certificate_key "\(site.certificateKey)";
            \(site.backEnds.isEmpty ? "" : http)\(site.webSocketBackEnds.isEmpty ? "" : webSocket)}

            """
}

/// Clients that ask `GET /` as fast as they are answered, each on a new connection every time.
public final class RequestLoad: @unchecked Sendable {
    public struct Outcome: Sendable {
        /// 0: the connection broke before there was an answer.
        public var status: Int
        public var body: String
        /// A part of an answer came, and not its end.
        public var isCut = false
    }

    private let address: SocketAddress
    private let changed = NSCondition()
    // Under `changed`:
    private var all: [Outcome] = []
    private var running = 0
    private var isStopping = false

    /// So far.
    public var outcomes: [Outcome] { changed.withLock { all } }

    public init(_ address: SocketAddress, clients: Int = 4) throws {
        self.address = address
        for _ in 0..<clients {
            changed.withLock { running += 1 }
            do {
                try startThread(stackSize: 1 << 18) { [self] in
                    while changed.withLock({ !isStopping }) {
                        let outcome = RequestLoad.ask(address)
                        changed.withLock {
                            all.append(outcome)
                            changed.broadcast()
                        }
                    }
                    changed.withLock {
                        running -= 1
                        changed.broadcast()
                    }
                }
            } catch {
                changed.withLock { running -= 1 }
                stop()
                throw error
            }
        }
    }

    /// Waits for so many further answers.
    func waitFor(_ count: Int) throws {
        let deadline = Date(timeIntervalSinceNow: 6 * Deadline.patience * Deadline.scale)
        try changed.withLock {
            let wanted = all.count + count
            while all.count < wanted {
                guard changed.wait(until: deadline) else {
                    throw Failure(
                        expected: say("\(count) more answers under load", "负载下再得到 \(count) 个回答"),
                        got: say("only \(all.count + count - wanted)", "只有 \(all.count + count - wanted) 个"))
                }
            }
        }
    }

    /// The clients finish what they have asked.
    @discardableResult
    public func stop() -> [Outcome] {
        changed.withLock {
            isStopping = true
            while running > 0 { changed.wait() }
            return all
        }
    }

    /// `GET /` on a connection of its own.
    public static func ask(_ address: SocketAddress) -> Outcome {
        guard let socket = try? closeOnExecSocket(address.family, SOCK_STREAM) else {
            return Outcome(status: 0, body: "")
        }
        defer { close(socket) }
        var patience = timeval(tv_sec: Int(2 * Deadline.patience * Deadline.scale), tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        guard address.withSockaddr({ connect(socket, $0, $1) }) == 0 else { return Outcome(status: 0, body: "") }
        let request = Array("GET / HTTP/1.1\r\nHost: lab.example\r\nConnection: close\r\n\r\n".utf8)
        guard send(socket, request, request.count, MSG_NOSIGNAL) == request.count else {
            return Outcome(status: 0, body: "")
        }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(socket, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            bytes += buffer[..<count]
        }
        let text = String(decoding: bytes, as: UTF8.self)
        let parts = text.components(separatedBy: "\r\n\r\n")
        guard text.hasPrefix("HTTP/1.1 "), parts.count == 2, let status = Int(text.dropFirst(9).prefix(3)) else {
            return Outcome(status: 0, body: "")
        }
        let length = parts[0].components(separatedBy: "\r\n").first { $0.lowercased().hasPrefix("content-length:") }
            .flatMap { Int(trimmed($0.dropFirst(15))) }
        return Outcome(status: status, body: parts[1], isCut: length.map { parts[1].utf8.count < $0 } ?? false)
    }
}
