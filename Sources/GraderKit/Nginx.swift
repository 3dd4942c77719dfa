// A real nginx between clients and back ends, for checks and demos: its configuration in a folder of its own, its ports
// chosen by the kernel, its life no longer than ours.
import Course
import Foundation
import Sockets

/// Two listening sockets on 127.0.0.1 for a proxy that is started later. The kernel has chosen their ports, and nginx inherits
/// the sockets themselves: no port that was free a moment ago, and no wait until it listens.
public struct ProxyPorts {
    public let http: UInt16
    public let https: UInt16
    fileprivate let descriptors: [Int32]

    public init() throws {
        var made: [Int32] = []
        do {
            for _ in 0..<2 {
                let any = try SocketAddress(host: "127.0.0.1", port: 0)
                let descriptor = try closeOnExecSocket(any.family, SOCK_STREAM)
                made.append(descriptor)
                try check("bind", any.withSockaddr { bind(descriptor, $0, $1) })
                try check("listen", listen(descriptor, 511))
            }
            http = try SocketAddress.local(of: made[0]).port
            https = try SocketAddress.local(of: made[1]).port
            descriptors = made
        } catch {
            for descriptor in made { Sockets.close(descriptor) }
            throw error
        }
    }

    /// For a proxy that is not started after all. Once it runs, it owns them.
    public func close() { for descriptor in descriptors { Sockets.close(descriptor) } }
}

/// nginx does not take its configuration.
public struct ConfigurationRefused: Error {
    /// What it says about it, a line each.
    public var lines: [String]
}

public final class Nginx: @unchecked Sendable {
    /// How to get what is missing.
    public static let installation = "sudo apt-get install nginx-light openssl"

    public let ports: ProxyPorts
    private let log: String
    private let keeper: pid_t
    private let lifeline: Int32
    private let lock = NSLock()
    private var clients: [pid_t] = []  // under `lock`: openssl s_client, one for each connection with TLS
    private var isStopped = false  // under `lock`

    /// - Throws: `Unavailable` where there is none.
    public static func program() throws -> String { try program("nginx") }

    private static func program(_ name: String) throws -> String {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        // Debian keeps nginx where a user's PATH may not lead.
        for folder in folders + ["/usr/sbin", "/usr/local/sbin"] where access("\(folder)/\(name)", X_OK) == 0 {
            return "\(folder)/\(name)"
        }
        throw Unavailable(say("\(name) is missing: \(installation)", "没有 \(name)：请运行 \(installation)"))
    }

    /// A certificate for localhost that nobody else vouches for, made in this moment by openssl(1).
    ///
    /// - Throws: `Unavailable` where there is no openssl.
    public static func makeCertificate(in folder: String) throws -> (certificate: String, key: String) {
        let (certificate, key) = ("\(folder)/certificate.pem", "\(folder)/key.pem")
        let arguments = [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out",
            certificate,
        ]
        let log = "\(folder)/openssl.log"
        let status = try run(try program("openssl"), arguments, log: log, extra: [], environment: [:])
        guard status == 0 else { throw LabError("openssl: \(lines(of: log).joined(separator: " "))") }
        return (certificate, key)
    }

    /// Starts it.
    ///
    /// - Parameter site: what stands between `http {` and `}`; it listens on `ports`.
    /// - Parameter folder: for its files; it must be there.
    /// - Throws: `ConfigurationRefused`, `Unavailable`.
    public init(site: String, ports: ProxyPorts, in folder: String) throws {
        self.ports = ports
        log = "\(folder)/error.log"
        // Whatever happens below, these ends are nginx's or nobody's.
        defer { ports.close() }
        let nginx = try Nginx.program()
        let configuration = "\(folder)/nginx.conf"
        try Nginx.mainPart(folder).write(toFile: configuration, atomically: true, encoding: .utf8)
        try site.write(toFile: "\(folder)/site.conf", atomically: true, encoding: .utf8)
        // -e: not even its first words go to the system's own log.
        let arguments = ["-p", folder, "-e", "stderr", "-c", configuration]
        let inherited = ["NGINX": "3;4;"]
        let test = "\(folder)/test.log"
        let status = try Nginx.run(
            nginx, arguments + ["-t"], log: test, extra: ports.descriptors, environment: inherited)
        guard status == 0 else {
            // Where it was found, in words that do not change from run to run.
            throw ConfigurationRefused(
                lines: Nginx.complaints(in: test).map { $0.replacingOccurrences(of: folder + "/", with: "") })
        }
        (keeper, lifeline) = try Nginx.keep([nginx] + arguments, log: log, ports.descriptors, inherited)
    }

    deinit { stop() }

    /// Ends it, with all connections, and waits until it has ended.
    public func stop() {
        lock.lock()
        defer { lock.unlock() }
        guard !isStopped else { return }
        isStopped = true
        close(lifeline)
        Nginx.wait(for: keeper)
        for client in clients {
            kill(client, SIGKILL)
            Nginx.wait(for: client)
        }
    }

    /// What it has complained about so far: warnings and errors, without the time.
    public var complaints: [String] { Nginx.complaints(in: log) }

    // MARK: With TLS

    /// The descriptor of a connection whose other end is nginx's port for TLS: what is sent here in plain goes there
    /// encrypted, and back.
    ///
    /// - Parameter authority: the certificate that it must show.
    func secureConnection(trusting authority: String) throws -> Int32 {
        let openssl = try Nginx.program("openssl")
        let (ours, theirs) = try closeOnExecSocketPair()
        defer { close(theirs) }
        do {
            let nothing = try check("open", open("/dev/null", O_WRONLY | O_CLOEXEC))
            defer { close(nothing) }
            let arguments = [
                "s_client", "-quiet", "-connect", "127.0.0.1:\(ports.https)", "-servername", "localhost", "-CAfile",
                authority, "-verify_return_error", "-verify_hostname", "localhost",
            ]
            let client = try spawn(
                openssl, arguments, environment: Nginx.environment([:]),
                descriptors: [(0, theirs), (1, theirs), (2, nothing)])
            lock.withLock { clients.append(client) }
            return ours
        } catch {
            close(ours)
            throw error
        }
    }

    // MARK: Processes

    /// All that is the same for every site; what a student's configuration says stands between the braces of http.
    private static func mainPart(_ folder: String) -> String {
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map {
            "    \($0)_temp_path \"\(folder)/\($0)\";"
        }
        // Started by root, its worker would be somebody else, who may not look into our folder.
        var user = ""
        if geteuid() == 0, let name = getpwuid(0)?.pointee.pw_name, let group = getgrgid(getegid())?.pointee.gr_name {
            user = "user \(String(cString: name)) \(String(cString: group));"
        }
        return """
            \(user)
            # In the foreground, in one worker: whoever starts it can end it, and requests are dealt out in one row.
            daemon off;
            worker_processes 1;
            pid "\(folder)/nginx.pid";
            error_log stderr warn;
            events {
                worker_connections 1024;
            }
            http {
                access_log off;
            \(temporary.joined(separator: "\n"))
                include "\(folder)/site.conf";
            }

            """
    }

    /// nginx runs under a shell that waits for the end of its input: for us to close our end of the lifeline, or to end,
    /// whichever way. Then it ends nginx.
    private static func keep(
        _ command: [String], log: String, _ listeners: [Int32], _ environment: [String: String]
    ) throws -> (keeper: pid_t, lifeline: Int32) {
        let script = """
            "$0" "$@" </dev/null &
            nginx=$!
            exec 1>/dev/null 2>&1 3>&- 4>&-
            read end
            kill -TERM $nginx
            wait $nginx
            """
        let (ours, theirs) = try closeOnExecSocketPair()
        defer { close(theirs) }
        do {
            let log = try check("open", open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644))
            defer { close(log) }
            let keeper = try spawn(
                "/bin/sh", ["-c", script] + command, environment: Nginx.environment(environment),
                descriptors: [(0, theirs), (1, log), (2, log), (3, listeners[0]), (4, listeners[1])])
            return (keeper, ours)
        } catch {
            close(ours)
            throw error
        }
    }

    /// Runs a program to its end.
    ///
    /// - Parameter extra: descriptors that it gets as 3, 4, …
    private static func run(
        _ program: String, _ arguments: [String], log: String, extra: [Int32], environment: [String: String]
    ) throws -> Int32 {
        let nothing = try check("open", open("/dev/null", O_RDONLY | O_CLOEXEC))
        defer { close(nothing) }
        let log = try check("open", open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644))
        defer { close(log) }
        let process = try spawn(
            program, arguments, environment: Nginx.environment(environment),
            descriptors: [(0, nothing), (1, log), (2, log)]
                + extra.enumerated().map { (number: Int32($0.offset + 3), ours: $0.element) })
        return wait(for: process)
    }

    private static func environment(_ more: [String: String]) -> [String] {
        var all = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("LAB_") }
        all.merge(more) { _, new in new }
        return all.map { "\($0.key)=\($0.value)" }
    }

    @discardableResult
    private static func wait(for process: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(process, &status, 0) == -1 && errno == EINTR { continue }
        return status
    }

    // MARK: Words

    /// `2026/11/21 14:34:05 [error] 6500#0: *1 connect() failed …` without what differs from run to run.
    private static func complaints(in file: String) -> [String] {
        lines(of: file).compactMap { line in
            guard let level = ["[warn]", "[error]", "[crit]", "[alert]", "[emerg]"].first(where: line.contains),
                let start = line.range(of: level)
            else { return nil }
            let rest = line[start.upperBound...].drop { $0 == " " }
            // `6500#6500: *1 `: the worker, and the connection.
            let words = rest.split(separator: " ", maxSplits: 1).map(String.init)
            var text = words.count == 2 && words[0].contains("#") ? words[1] : String(rest)
            if text.first == "*" { text = text.drop { $0 != " " }.dropFirst().description }
            return "\(level) \(text)"
        }
    }

    private static func lines(of file: String) -> [String] {
        let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").map(String.init)
    }
}

extension Trial {
    /// A TCP client of a proxy that stands in front of the program.
    ///
    /// - Parameter subject: what ends the wait for an answer when it ends.
    public func client(of address: SocketAddress, behindWhich subject: Subject) throws -> StreamPeer {
        try StreamPeer.connect(to: address, name: nextConnectionName(), trial: self, subject: subject)
    }

    /// The same with TLS; the proxy must show this certificate.
    public func secureClient(of proxy: Nginx, trusting authority: String, behindWhich subject: Subject) throws
        -> StreamPeer
    {
        let name = nextConnectionName()
        note(say("\(name): connect with TLS", "\(name)：用 TLS 连接"))
        let descriptor = try proxy.secureConnection(trusting: authority)
        return StreamPeer(descriptor: descriptor, name: name, trial: self, subject: subject)
    }
}
