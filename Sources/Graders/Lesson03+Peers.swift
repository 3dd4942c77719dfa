// Lesson 03: the grader as the server that a client of the lesson talks to.
import Course
import GraderKit
import Sockets
import Wire

/// A timeout to give to the program, in milliseconds; on a slow machine as much longer as all waits are.
func scaled(_ milliseconds: Int) -> Int { Int(Double(milliseconds) * Deadline.scale) }

/// How much sooner than it should a wait may end: kernels count some timeouts in ticks of up to 10 ms.
private let tick = 20

extension Trial {
    /// Calls one of the lesson's functions that begin with a message and a server's address.
    func ask(
        _ entry: String, _ message: [UInt8], at server: SocketAddress, timeout: Int, attempts: Int? = nil,
        plan: FaultPlan? = nil, in process: Subject? = nil
    ) throws -> PendingCall {
        var arguments: [Value] = [.bytes(message), .string(server.host), .int(Int(server.port)), .int(timeout)]
        if let attempts { arguments.append(.int(attempts)) }
        return try begin(entry, arguments, plan: plan, in: process)
    }
}

extension Trial {
    /// No datagram over IPv4 has room for it.
    static let tooLong = 65_508

    /// The function throws what the kernel says to one of its calls.
    ///
    /// - Parameter arguments: with a timeout that ends soon, for a function that has not noticed.
    func expectThrown(
        _ code: Int32, _ because: String, by entry: String, _ arguments: [Value], plan: FaultPlan = .none
    ) throws {
        let expected = say(
            "\(entry) throws SocketError with \(errorName(code)): \(because)",
            "\(entry) 抛出 SocketError，code 为 \(errorName(code))：\(because)")
        switch try begin(entry, arguments, plan: plan).outcome(expecting: expected) {
        case .threw("SocketError", _, let thrown, _) where isSaid(code, by: thrown): return
        case .returned:
            throw Failure(expected: expected, got: say("it returned", "正常返回"), cause: "error-ignored")
        case .threw("RequestError", "noAnswer", _, let description):
            throw Failure(expected: expected, got: say("threw ", "抛出 ") + description, cause: "error-ignored")
        case let outcome: throw Failure(expected: expected, got: outcome.text)
        }
    }

    /// Where there is no descriptor for a socket.
    func expectNoSocket(_ entry: String, _ arguments: [Value]) throws {
        try expectThrown(
            EMFILE, say("socket fails with it", "socket 以此失败"), by: entry, arguments,
            plan: .fail(.socket, every: 1, with: EMFILE))
    }
}

extension DatagramPeer {
    /// A message to this peer, for the functions that wait a tenth of a second for its answer.
    func asked(_ message: [UInt8], attempts: Int? = nil) -> [Value] {
        [.bytes(message), .string(address.host), .int(Int(address.port)), .int(100)]
            + (attempts.map { [.int($0)] } ?? [])
    }

    /// The next datagram that the program sends here while `call` runs.
    func expectDatagram(during call: PendingCall, _ expected: String, cause: String? = nil) throws -> Datagram {
        switch try receive(during: call, expected: expected) {
        case .datagram(let datagram): return datagram
        case .outcome(let outcome):
            throw Failure(
                expected: expected, got: say("none: your function \(outcome.text)", "没有：函数\(outcome.text)"),
                cause: cause ?? sentElsewhere(by: call))
        case .nothing:
            throw Failure(
                expected: expected,
                got: Deadline.nothing(),
                cause: cause ?? sentElsewhere(by: call))
        }
    }

    /// It may have gone to the port with its bytes swapped.
    private func sentElsewhere(by call: PendingCall) -> String? {
        let swapped = address.port.byteSwapped
        let given = call.subject.timeline.calls("connect", "sendto", "sendmsg").compactMap(\.given)
        return given.contains { $0.port == swapped && swapped != address.port } ? "port-in-host-order" : nil
    }

    /// Nothing more is here, once the function has returned: what it sent over loopback had arrived by then.
    func expectNothingMore(_ expected: String, cause: String) throws {
        guard let (bytes, _) = try receive(until: Deadline(in: 0), expected: expected) else { return }
        throw Failure(
            expected: expected,
            got: say("one more datagram: \(quoted(bytes))", "又收到一个数据报：\(quoted(bytes))"), cause: cause)
    }
}

extension PendingCall {
    func expectReturn(_ expected: [UInt8], _ what: String? = nil) throws {
        let sentence = what ?? say("it returns the answer", "返回回答")
        switch try outcome() {
        case .returned(.bytes(expected)): return
        case .returned(.bytes(let got)):
            // Behind what was received the buffer is as it was made.
            let rest = got.dropFirst(expected.count)
            let isBuffer = !rest.isEmpty && got.starts(with: expected) && rest.allSatisfy { $0 == 0 }
            throw Failure(
                expected: say(
                    "\(sentence): \(quoted(expected)), \(expected.count) bytes",
                    "\(sentence)：\(quoted(expected))，\(expected.count) 字节"),
                got: say("\(quoted(got)), \(got.count) bytes", "\(quoted(got))，\(got.count) 字节"),
                difference: byteDifference(expected: expected, got: got),
                cause: isBuffer ? "returned-whole-buffer" : nil)
        case let outcome: throw Failure(expected: sentence, got: outcome.text)
        }
    }

    /// It gives up, as it was told to, and not sooner.
    ///
    /// - Parameter timeout: how long it should have waited after its last datagram, in milliseconds.
    func expectNoAnswer(after timeout: Int, datagrams: Int) throws {
        let expected = say("it throws RequestError.noAnswer", "抛出 RequestError.noAnswer")
        let outcome = try outcome()
        let end = now()
        guard case .threw("RequestError", "noAnswer", _, _) = outcome else {
            throw Failure(expected: expected, got: outcome.text)
        }
        let sends = try subject.waitForTimeline { $0.sends.count >= datagrams ? $0.sends : nil } ?? []
        if let last = sends.last { try expectWait(timeout, from: last, until: end) }
    }

    /// Has less than the timeout gone by since its last datagram left?
    func gaveUpEarly(_ timeout: Int) throws -> Bool {
        let end = now()
        guard let last = try subject.waitForTimeline({ $0.sends.last }) else { return false }
        return waited(since: last, until: end) + tick < timeout
    }

    /// For how long it may have waited, in milliseconds. Its time began when it sent, or a moment before: on a busy machine
    /// much can lie between the two. Behind what it did before it sent, in any case.
    private func waited(since sent: Call, until end: UInt64) -> Int {
        let before = subject.timeline.calls.last {
            $0.thread == sent.thread && $0.entered < sent.entered && !$0.isSend && $0.returned != nil
        }
        return Int((end - min(end, max(asked, before?.returned ?? 0))) / 1_000_000)
    }

    /// Between two moments lies at least the timeout.
    func expectWait(_ timeout: Int, from sent: Call, until end: UInt64) throws {
        let waited = waited(since: sent, until: end)
        guard waited + tick < timeout else { return }
        throw Failure(
            expected: say("it waits for \(timeout) ms after a datagram", "发出数据报后等待 \(timeout) 毫秒"),
            got: say("it waited for \(waited) ms", "只等了 \(waited) 毫秒"), cause: "wait-cut-short")
    }

    /// No attempt is given more time than the caller chose. How late a datagram leaves says little on a busy machine: how
    /// long the program asked to wait does not depend on it.
    func expectNoLongerWait(than timeout: Int) throws {
        let waits = subject.timeline.calls("select", "pselect", "poll", "ppoll", "epoll_wait", "epoll_pwait")
        guard let longest = waits.max(by: { $0.arguments.1 < $1.arguments.1 }), longest.arguments.1 > timeout * 3 / 2
        else { return }
        throw Failure(
            expected: say("it waits for \(timeout) ms after each datagram", "每个数据报之后等待 \(timeout) 毫秒"),
            got: longest.callText, cause: "attempts-wait-longer")
    }

    /// Each datagram leaves at least the timeout after the one before.
    func expectPauses(of timeout: Int, datagrams: Int) throws {
        // Datagrams that were seen have left, but the tap may be a moment behind.
        let sends = try subject.waitForTimeline { $0.sends.count >= datagrams ? $0.sends : nil } ?? []
        for (sent, next) in zip(sends, sends.dropFirst()) { try expectWait(timeout, from: sent, until: next.entered) }
    }
}

extension Trial {
    /// A UDP port that is closed to the program, and that nobody else can get meanwhile: who sends to it is told so by
    /// ICMP.
    func closedPort() throws -> DatagramPeer {
        let peer = try datagramPeer(port: freePort(SOCK_DGRAM))
        try peer.closeToOthers(true)
        return peer
    }
}

extension DatagramPeer {
    /// A connected UDP socket has a port that is closed to all but its peer: for what others send, the kernel finds no
    /// socket. (AF_UNSPEC dissolves the connection: connect(2).)
    func closeToOthers(_ close: Bool) throws {
        if close {
            let discard = try SocketAddress(host: "127.0.0.1", port: 9)
            try check("connect", discard.withSockaddr { connect(descriptor, $0, $1) })
        } else {
            var nobody = sockaddr()
            nobody.sa_family = sa_family_t(AF_UNSPEC)
            try check("connect", connect(descriptor, &nobody, socklen_t(MemoryLayout<sockaddr>.size)))
        }
    }
}
