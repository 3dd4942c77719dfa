// What the checks of lesson 06 need from their peers.
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
                cause: others.isEmpty ? server.subject.timeline.eachClientsOwn : "another-call-than-select")
        }
    }

    func expectOneThread(_ server: Server) throws {
        let timeline = server.subject.timeline
        let isLibrary = timeline.waits == 0 && timeline.waitsForItself == "a-library-waits"
        try expectOneThread(server.subject, else: isLibrary ? "a-library-waits" : "thread-per-client")
    }

    /// - Parameter mistake: what it is to make calls on several threads.
    func expectOneThread(_ subject: Subject, else mistake: String = "thread-per-client") throws {
        let all = subject.timeline.calls
        // A helper that sleeps, or reads from a pipe, serves nobody.
        let sockets = Set(all.filter { ($0.isAccept || $0.name == "socket") && $0.result >= 0 }.map(\.result))
        let calls = sockets.isEmpty ? all : all.filter { $0.isAccept || sockets.contains(Int64($0.descriptor)) }
        let threads = Set(calls.map(\.thread)).count
        let processes = Set(calls.map(\.process)).count
        guard threads == 1, processes == 1 else {
            throw Failure(
                expected: say("one thread does it all", "一个线程做完所有的事"),
                got: processes > 1
                    ? say("\(processes) processes make socket calls", "\(processes) 个进程在调用套接字函数")
                    : say("\(threads) threads make socket calls", "\(threads) 个线程在调用套接字函数"),
                cause: processes > 1 ? "process-per-client" : mistake)
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
            call.subject.catchUp()
            let failedAtOnce = call.subject.timeline.calls("connect").contains {
                $0.failed && ![EINPROGRESS, EINTR].contains($0.error)
            }
            throw Failure(
                expected: say("it throws SocketError \(errorName(code))", "抛出 SocketError \(errorName(code))"),
                got: returnedUnconnected, cause: failedAtOnce ? "connect-error-ignored" : nil)
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

/// What came instead of an error.
var returnedUnconnected: String { say("it returned a descriptor, which is not connected", "返回了一个描述符，但它并没有连上") }

extension PendingCall {
    /// Since then it has waited for its timeout, and no wait of its was asked to be longer. A clock in whole milliseconds
    /// is up to two of them behind.
    func expectWaited(_ timeout: Milliseconds, since began: UInt64) throws {
        let took = Int(now() - began) / 1_000_000
        let expected = say("it waits for \(timeout) ms", "等待 \(timeout) ms")
        guard took >= timeout - 2 else {
            throw Failure(expected: expected, got: say("it gave up after \(took) ms", "\(took) ms 后就放弃了"))
        }
        // How long a wait took says little on a busy machine.
        let waits = subject.timeline.calls.filter { $0.isWait && $0.entered >= began }
        guard let longest = waits.max(by: { $0.arguments.1 < $1.arguments.1 }),
            longest.arguments.1 > timeout + timeout / 10
        else { return }
        throw Failure(expected: expected, got: longest.callText, cause: "waits-too-long")
    }
}

struct Chat {
    let call: PendingCall
    let peer: StreamPeer
    let keyboard: StreamPeer
    let screen: StreamPeer

    func finish() throws {
        peer.halfClose()
        try expectReturn()
    }

    /// The peer has ended: it returns, though more could be typed.
    func expectEnd() throws {
        do { _ = try call.value() } catch var failure as Failure {
            // It was told once, and so has heard of it, and waits for something else.
            let ends = call.subject.timeline.calls.filter { $0.isReceive && $0.returned != nil && $0.result == 0 }
            let isOnceEach = Set(ends.map(\.descriptor)).count == ends.count
            if failure.cause == nil, isOnceEach, ends.count > (keyboard.isHalfClosed ? 1 : 0) {
                failure.cause = "waits-for-both-ends"
            }
            throw failure
        }
    }

    /// It throws, since the connection is broken.
    func expectError() throws {
        let outcome = try call.outcome()
        if case .threw("SocketError", _, ECONNRESET, _) = outcome { return }
        if case .threw("SocketError", _, EPIPE, _) = outcome { return }
        throw Failure(
            expected: say(
                "it throws SocketError when the peer resets the connection", "对端重置连接时，抛出 SocketError"),
            got: outcome.text)
    }

    /// It returns, and has closed neither input nor output: they are the caller's.
    func expectReturn() throws {
        try expectEnd()
        let expected = say("input and output are still open when it has returned", "返回之后，输入和输出仍然打开")
        for lent in [keyboard, screen] {
            if case .late = try lent.receive(1, until: Deadline(at: 0), expected: expected) { continue }
            throw Failure(
                expected: expected,
                got: lent === screen ? say("output was closed", "输出被关闭了") : say("input was closed", "输入被关闭了"),
                cause: "ended-what-was-lent")
        }
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
    /// The mistake of a server that has somebody of its own for each client, by the calls that it made; nil if it has not.
    var eachClientsOwn: String? {
        if Set(calls.map(\.process)).count > 1 { return "process-per-client" }
        return Set(calls.map(\.thread)).count > 1 ? "thread-per-client" : nil
    }

    /// The last waits that came back; nil if there were not so many.
    func lastWaits(_ count: Int) -> ArraySlice<Call>? {
        let waits = calls.filter { $0.isWait && $0.returned != nil }
        return waits.count < count ? nil : waits.suffix(count)
    }

    /// Was it closed by then, and not opened again?
    func isClosed(_ descriptor: Int32, at time: UInt64) -> Bool {
        let before = calls.filter { $0.entered < time }
        guard let close = before.last(where: { $0.name == "close" && $0.descriptor == descriptor }) else {
            return false
        }
        return !before.contains {
            ($0.isAccept || $0.name == "socket") && $0.result == Int64(descriptor)
                && $0.returned ?? 0 > close.entered
        }
    }

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
