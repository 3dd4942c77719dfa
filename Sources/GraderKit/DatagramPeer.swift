/// The grader's UDP socket, as a client of the program's server, or as a server that the program asks.
import Course
import Foundation
import Sockets
import Wire

public final class DatagramPeer {
    public let address: SocketAddress
    public let descriptor: Int32
    private let trial: Trial
    public let subject: Subject?
    /// Where it sends to, and expects answers from.
    public let server: SocketAddress?

    /// - Parameter subject: whose end also ends a wait; nil while the program is not started yet.
    /// - Parameter sharing: other sockets may have the same address and port (SO_REUSEADDR).
    convenience init(
        boundTo host: String, port: UInt16 = 0, sharing: Bool = false, trial: Trial, subject: Subject?,
        server: SocketAddress?
    ) throws {
        try self.init(
            boundTo: try SocketAddress(host: host, port: port), sharing: sharing, trial: trial, subject: subject,
            server: server)
    }

    /// - Parameter any: an Internet address, or a path of the Unix domain.
    init(
        boundTo any: SocketAddress, sharing: Bool = false, trial: Trial, subject: Subject?, server: SocketAddress?
    ) throws {
        let descriptor = try closeOnExecSocket(any.family, SOCK_DGRAM)
        self.descriptor = descriptor
        // Room for many of the largest datagrams at once.
        var size: Int32 = 4 << 20
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout.size(ofValue: size)))
        if sharing {
            var on: Int32 = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout.size(ofValue: on)))
        }
        try check("bind", any.withSockaddr { bind(descriptor, $0, $1) })
        address = try SocketAddress.local(of: descriptor)
        self.trial = trial
        self.subject = subject
        self.server = server
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    }

    deinit { Sockets.close(descriptor) }

    private var name: String { say("the client on \(place)", "\(place) 的客户端") }
    /// `port 40123`, or a path.
    private var place: String {
        address.family == AF_UNIX ? address.host : say("port \(address.port)", "端口 \(address.port)")
    }

    public func send(_ text: String) throws { try send(Array(text.utf8)) }

    /// Sends one datagram, to the server unless told otherwise.
    public func send(_ bytes: [UInt8], to destination: SocketAddress? = nil) throws {
        guard let destination = destination ?? server else { throw LabError("a datagram needs a destination") }
        trial.note(
            say(
                "\(place): send \(quoted(bytes)), \(byteCount(bytes.count))",
                "\(place)：发送 \(quoted(bytes))，\(bytes.count) 字节"))
        while true {
            let count = bytes.withUnsafeBytes { buffer in
                destination.withSockaddr { sendto(descriptor, buffer.baseAddress, buffer.count, 0, $0, $1) }
            }
            // Linux tells an unconnected socket nothing of a refused datagram, but other systems may: it is lost.
            if count >= 0 || errno == ECONNREFUSED { return }
            guard errno == EINTR || errno == EAGAIN else { throw SocketError("sendto", errno) }
            var event = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            poll(&event, 1, -1)
        }
    }

    public func expect(_ text: String) throws { try expect(Array(text.utf8)) }

    /// The next datagram from the server is exactly this. Anybody may send to a UDP port: what comes from elsewhere is passed
    /// over, unless it is the answer itself, sent from another socket.
    public func expect(_ expected: [UInt8], within seconds: Double = Deadline.patience) throws {
        let size = say(" (\(byteCount(expected.count)))", "（\(byteCount(expected.count))）")
        let sentence = say("\(quoted(expected))\(size) to \(name)", "\(name)收到 \(quoted(expected))\(size)")
        let deadline = Deadline(in: seconds)
        var stranger: (bytes: [UInt8], address: SocketAddress)?
        while let (bytes, sender) = try receive(until: deadline, expected: sentence) {
            if let server, sender != server {
                stranger = (bytes, sender)
                if bytes == expected { break }
                continue
            }
            if bytes == expected { return }
            throw Failure(
                expected: sentence,
                got: say("\(quoted(bytes)) (\(byteCount(bytes.count)))", "\(quoted(bytes))（\(byteCount(bytes.count))）"),
                difference: byteDifference(expected: expected, got: bytes))
        }
        if let stranger, let server {
            throw Failure(
                expected: say("an answer from \(server)", "来自 \(server) 的回答"),
                got: stranger.bytes == expected
                    ? say("the answer came from \(stranger.address)", "回答来自 \(stranger.address)")
                    : say(
                        "none, but \(quoted(stranger.bytes)) from \(stranger.address)",
                        "没有，只有来自 \(stranger.address) 的 \(quoted(stranger.bytes))"))
        }
        throw Failure(
            expected: sentence,
            got: Deadline.nothing(within: seconds))
    }

    public typealias Datagram = (bytes: [UInt8], sender: SocketAddress)

    /// The next datagram and its sender, or nil if none came in time.
    public func receive(until deadline: Deadline = Deadline(), expected: String) throws -> Datagram? {
        if case .datagram(let datagram) = try listen(until: deadline, to: nil, expected: expected) { return datagram }
        return nil
    }

    /// What came first while a function runs: a datagram, or what the function did in the end.
    public enum Heard {
        case datagram(Datagram)
        case outcome(PendingCall.Outcome)
        case nothing
    }

    public func receive(during call: PendingCall, until deadline: Deadline = Deadline(), expected: String) throws
        -> Heard
    {
        try listen(until: deadline, to: call, expected: expected)
    }

    /// The TTL with which the last datagram came, once this was asked for (ip(7), IP_RECVTTL).
    public private(set) var timeToLive: Int?

    public func tellTimeToLive() throws {
        var on: Int32 = 1
        try check(
            "setsockopt", setsockopt(descriptor, IPPROTO_IP, IP_RECVTTL, &on, socklen_t(MemoryLayout<Int32>.size)))
    }

    /// recvfrom(2), and what comes beside the bytes.
    private func receiveMessage(
        _ buffer: inout [UInt8], _ name: UnsafeMutablePointer<sockaddr>, _ length: UnsafeMutablePointer<socklen_t>
    ) -> Int {
        let space = controlSpace(MemoryLayout<Int32>.size)
        return withUnsafeTemporaryAllocation(byteCount: space, alignment: MemoryLayout<cmsghdr>.alignment) { control in
            buffer.withUnsafeMutableBytes { bytes in
                var part = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
                return withUnsafeMutablePointer(to: &part) { part in
                    var message = msghdr()
                    message.msg_name = UnsafeMutableRawPointer(name)
                    message.msg_namelen = length.pointee
                    message.msg_iov = part
                    message.msg_iovlen = 1
                    message.msg_control = control.baseAddress
                    message.msg_controllen = .init(space)
                    let count = recvmsg(descriptor, &message, 0)
                    guard count >= 0 else { return count }
                    length.pointee = message.msg_namelen
                    timeToLive = nil
                    if message.msg_controllen > 0, let header = controlFirst(&message),
                        header.pointee.cmsg_level == IPPROTO_IP
                    {
                        // An int on Linux, a byte elsewhere.
                        timeToLive = Int(controlData(header).pointee)
                    }
                    return count
                }
            }
        }
    }

    private func listen(until deadline: Deadline, to call: PendingCall?, expected: String) throws -> Heard {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let (count, sender) = SocketAddress.received { receiveMessage(&buffer, $0, $1) }
            // A Unix socket that was never bound has no name to send from.
            if count >= 0, let sender = sender ?? SocketAddress(bytes: [UInt8(AF_UNIX), 0]) {
                let bytes = Array(buffer.prefix(count))
                trial.note(
                    say(
                        "\(place): received \(quoted(bytes)), \(byteCount(count))",
                        "\(place)：收到 \(quoted(bytes))，\(count) 字节"))
                return .datagram((bytes, sender))
            }
            if errno == EINTR || errno == ECONNREFUSED { continue }
            guard errno == EAGAIN else { throw SocketError("recvfrom", errno) }
            guard let subject = call?.subject ?? subject else {
                var event = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                if poll(&event, 1, deadline.milliseconds) == 0 && deadline.hasPassed { return .nothing }
                continue
            }
            let readiness = awaitReadiness(
                of: descriptor, Int32(POLLIN), until: deadline, or: subject.interruption,
                answered: call == nil ? nil : subject.answered)
            switch readiness {
            case .ready: continue
            case .late: return .nothing
            case .programEnded:
                if let call, call.subject.hasAnswered { return .outcome(try call.outcome()) }
                throw ProgramEnded(expected: expected)
            }
        }
    }
}

extension Trial {
    /// A UDP socket of the grader's, for the program to talk to while it makes `call`.
    public func datagramPeer(
        host: String = "127.0.0.1", port: UInt16 = 0, sharing: Bool = false, talkingTo call: PendingCall? = nil
    ) throws -> DatagramPeer {
        try DatagramPeer(
            boundTo: host, port: port, sharing: sharing, trial: self, subject: call?.subject, server: nil)
    }

    /// The same at a path of the Unix domain.
    public func datagramPeer(path: String, talkingTo call: PendingCall? = nil) throws -> DatagramPeer {
        try DatagramPeer(
            boundTo: try SocketAddress(unixPath: path), trial: self, subject: call?.subject, server: nil)
    }
}
