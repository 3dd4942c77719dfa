// What the checks of lesson 06 need from their peers, and the mistakes that they recognise.
import Course
import GraderKit
import Sockets
import Wire

extension Trial {
    // MARK: One thread, and select

    func expectSelect(_ server: Server) throws {
        let others = ["poll", "ppoll", "epoll_wait", "epoll_pwait"].filter { server.subject.timeline.count($0) > 0 }
        guard server.subject.timeline.count("select", "pselect") > 0 else {
            throw Failure(
                expected: say("it waits in select", "在 select 中等待"),
                got: others.isEmpty
                    ? say("select was never called", "没有调用 select")
                    : say("it waits in \(others[0])", "它在 \(others[0]) 中等待"),
                cause: others.isEmpty ? nil : "another-call-than-select")
        }
    }

    func expectOneThread(_ server: Server) throws { try expectOneThread(server.subject) }

    func expectOneThread(_ subject: Subject) throws {
        let calls = subject.timeline.calls
        let threads = Set(calls.map(\.thread)).count
        let processes = Set(calls.map(\.process)).count
        guard threads == 1, processes == 1 else {
            throw Failure(
                expected: say("one thread does it all", "一个线程做完所有的事"),
                got: processes > 1
                    ? say("\(processes) processes make socket calls", "\(processes) 个进程在调用套接字函数")
                    : say("\(threads) threads make socket calls", "\(threads) 个线程在调用套接字函数"),
                cause: processes > 1 ? "process-per-client" : "thread-per-client")
        }
    }

    // MARK: Connecting

    func beginConnect(
        to address: SocketAddress, timeout: Milliseconds, plan: FaultPlan? = nil, in process: Subject? = nil
    ) throws -> PendingCall {
        try begin(
            "connect-with-timeout", [.string(address.host), .int(Int(address.port)), .int(timeout)], plan: plan,
            in: process)
    }

    func expectConnectError(_ code: Int32, to address: SocketAddress, timeout: Milliseconds) throws {
        try expect(beginConnect(to: address, timeout: timeout), throws: code)
    }

    func expect(_ call: PendingCall, throws code: Int32) throws {
        let outcome = try call.outcome()
        if case .threw("SocketError", _, code, _) = outcome { return }
        if case .returned = outcome {
            throw Failure(
                expected: say("it throws SocketError \(errorName(code))", "抛出 SocketError \(errorName(code))"),
                got: say("it returned a descriptor, which is not connected", "返回了一个描述符，但它并没有连上"))
        }
        throw Failure(
            expected: say("it throws SocketError \(errorName(code))", "抛出 SocketError \(errorName(code))"),
            got: outcome.text)
    }

    /// A TCP socket with a port, on which nobody listens: connections to it are refused.
    func boundStream() throws -> BoundStream { try BoundStream() }

    /// A listener whose queue is full: the kernel drops further SYNs, as a network would that swallows packets.
    func fullListener() throws -> FullListener { try FullListener() }

    // MARK: Chatting

    /// A chat under way: the grader has the other ends of the socket, the keyboard and the screen.
    func beginChat(plan: FaultPlan? = nil, smallBuffers: Bool = false) throws -> Chat {
        let listeners = try (0..<3).map { _ in try listen(smallBuffers: smallBuffers) }
        let call = try begin("duplex-chat", listeners.map(\.socketArgument), plan: plan)
        return Chat(
            call: call, peer: try listeners[0].accept(from: call), keyboard: try listeners[1].accept(from: call),
            screen: try listeners[2].accept(from: call))
    }
}

struct Chat {
    let call: PendingCall
    let peer: StreamPeer
    let keyboard: StreamPeer
    let screen: StreamPeer

    func finish() throws {
        peer.halfClose()
        _ = try call.value()
    }
}

final class BoundStream {
    let address: SocketAddress
    private let descriptor: Int32

    init() throws {
        let descriptor = try closeOnExecSocket(AF_INET, SOCK_STREAM)
        self.descriptor = descriptor
        let any = try SocketAddress(host: "127.0.0.1", port: 0)
        let bound = any.withSockaddr { bind(descriptor, $0, $1) }
        try check("bind", bound)
        address = try SocketAddress.local(of: descriptor)
    }

    deinit { close(descriptor) }
}

final class FullListener {
    let address: SocketAddress
    private let descriptor: Int32
    private var clients: [Int32] = []

    init(host: String = "127.0.0.1", port: UInt16 = 0) throws {
        let descriptor = try closeOnExecSocket(AF_INET, SOCK_STREAM)
        self.descriptor = descriptor
        let wanted = try SocketAddress(host: host, port: port)
        let bound = wanted.withSockaddr { bind(descriptor, $0, $1) }
        try check("bind", bound)
        try check("listen", listen(descriptor, 0))
        address = try SocketAddress.local(of: descriptor)
        // Linux takes one more than the backlog; the ones after that are begun and get no answer.
        for _ in 0..<8 {
            let client = try closeOnExecSocket(AF_INET, SOCK_STREAM)
            _ = fcntl(client, F_SETFL, O_NONBLOCK)
            clients.append(client)
            _ = address.withSockaddr { connect(client, $0, $1) }
        }
    }

    deinit { for socket in clients + [descriptor] { close(socket) } }
}

extension Timeline {
    /// Was a socket made non-blocking, by whatever means?
    var setNonblocking: Bool {
        calls.contains { call in
            switch call.name {
            case "fcntl": return call.arguments.0 == Int64(F_SETFL) && call.arguments.1 & Int64(O_NONBLOCK) != 0
            case "socket": return call.arguments.1 & Int64(O_NONBLOCK) != 0
            case "ioctl": return true
            default: return false
            }
        }
    }
}

extension Cause {
    /// The only thread waits for one client.
    static let mainThreadBlocked = Cause("blocked-in-recv") { evidence in
        guard let call = evidence.timeline.blocked.last(where: { $0.isReceive && $0.isBlocked }) else { return nil }
        return call.callText
    }

    static let keepsEverything = Cause("keeps-everything") { evidence in
        evidence.timeline.calls.contains { $0.isReceive && $0.result > 0 } ? "" : nil
    }

    static let pastTheSet = Cause("past-fd-setsize") { evidence in
        guard let call = evidence.timeline.calls.last(where: { $0.isAccept && $0.result >= Int64(FD_SETSIZE) }) else {
            return nil
        }
        let closed = evidence.timeline.calls("close").contains { Int64($0.descriptor) == call.result }
        return closed ? nil : "\(call.callText) = \(call.result)"
    }

    static let spinsOnFullTable = Cause("spins-on-emfile") { evidence in
        let failures = evidence.timeline.calls.filter { $0.isAccept && ($0.error == EMFILE || $0.error == ENFILE) }
            .count
        guard failures > 100 else { return nil }
        return say("accept failed with EMFILE \(failures) times", "accept 以 EMFILE 失败 \(failures) 次")
    }

    static let blockingConnect = Cause("blocking-connect") { evidence in
        guard let call = evidence.timeline.calls("connect").last, !evidence.timeline.setNonblocking else { return nil }
        return call.callText
    }

    /// It was writable, so it was taken for connected.
    static let noSocketError = Cause("so-error-not-asked") { evidence in
        let timeline = evidence.timeline
        let asked = timeline.calls("getsockopt").contains { $0.arguments.1 == Int64(SO_ERROR) }
        return timeline.setNonblocking && timeline.count("connect") == 1 && !asked ? "" : nil
    }

    /// Two may speak, and it waits for one of them.
    static let blockedOnOne = Cause("blocked-on-one-of-two") { evidence in
        evidence.timeline.blocked.last(where: \.isReceive)?.callText
    }
}
