// Grader of lesson 02, the checks that need the network's names or a socket: resolve and describeSocket.
import Course
import GraderKit
import Sockets
import Wire

let socketChecks = [
    Check("resolve-numeric") { trial in
        for host in ["127.0.0.1", "192.0.2.7", "::1", "2001:db8::7"] { try trial.expectResolved(host, [host]) }
    },
    Check("resolve-localhost", suspects: [.onlyNumbersLookedUp]) { trial in
        try trial.expectResolved("localhost", addressesOfLocalhost())
    },
    Check("resolve-several", suspects: [.onlyNumbersLookedUp]) { trial in
        // The tap adds an address to what getaddrinfo finds, in front of the name's own. A name, since numbers need not be
        // looked up.
        let own = try addressesOfLocalhost()
        for other in ["192.0.2.8", "2001:db8::7"] {
            try trial.expectResolved(
                "localhost", [other] + own, plan: .resolves(also: other),
                because: say(
                    "for this call getaddrinfo finds \(other), then \(own.joined(separator: ", "))",
                    "这一次 getaddrinfo 先找到 \(other)，再找到 \(own.joined(separator: "、"))"))
        }
    },
    Check("resolve-once", suspects: [.onlyNumbersLookedUp]) { trial in
        for name in ["127.0.0.1", "192.0.2.7"] {
            let expected = say("resolve(\"\(name)\") gives it once", "resolve(\"\(name)\") 只给出一次")
            let got = try trial.resolved(name, expecting: expected)
            guard got.count != Set(got).count else { continue }
            throw Failure(expected: expected, got: "\(got)", cause: "one-per-socket-type")
        }
        // /etc/hosts may give a name the same address twice.
        let expected = say(
            "an address that getaddrinfo finds twice is given once", "getaddrinfo 找到两次的地址只给出一次")
        let own = try addressesOfLocalhost()
        let got = try trial.resolved("localhost", plan: .resolves(also: own[0]), expecting: expected)
        guard got.count == own.count else { throw Failure(expected: expected, got: "\(got)") }
        let apart = say(
            "an address that getaddrinfo finds again behind another one is given once",
            "隔着别的地址又找到一次的地址，也只给出一次")
        let plan = FaultPlan.resolves(also: own[0]) + .resolves(also: "192.0.2.8")
        let all = try trial.resolved("localhost", plan: plan, expecting: apart)
        guard all.count == own.count + 1 else {
            let isTwice = all.count == own.count + 2
            throw Failure(expected: apart, got: "\(all)", cause: isTwice ? "only-neighbours-compared" : nil)
        }
    },
    Check("resolve-freed") { trial in
        for name in ["192.0.2.7", "::1"] {
            let call = try trial.begin("resolve", [.string(name)])
            _ = try call.outcome(expecting: say("resolve(\"\(name)\") ends", "resolve(\"\(name)\") 会结束"))
            try trial.expectListsFreed(call.subject)
        }
    },
    Check("resolve-error", suspects: [.crash(meaning: "resolve-error-lost")]) { trial in
        // No name has a space in it or two dots in a row: the system refuses them without asking anybody.
        for name in ["no such host", "no..host"] {
            guard case .failure(let error) = lookup(name) else { continue }
            try trial.expectUnresolved(name, code: error.code, plan: nil)
        }
        for code in [EAI_AGAIN, EAI_FAIL] {
            try trial.expectUnresolved("localhost", code: code, plan: .fail(.resolve, through: 1000, with: code))
        }
        do { try trial.expectUnresolved("127.0.0.1\0.example.org", code: EAI_NONAME, plan: nil) } catch var failure
            as Failure
        {
            failure.cause = "cut-at-zero-byte"
            throw failure
        }
    },

    Check("describe-tcp") { trial in
        for _ in 0..<2 {
            let pair = try ConnectedPair(SOCK_STREAM, host: "127.0.0.1")
            try trial.expectDescribed(pair.client, "stream", "IPv4")
            try trial.expectDescribed(pair.server, "stream", "IPv4")
        }
    },
    Check("describe-v6") { trial in
        try trial.needsLoopback("::1")
        let stream = try ConnectedPair(SOCK_STREAM, host: "::1")
        try trial.expectDescribed(stream.client, "stream", "IPv6")
        try trial.expectDescribed(stream.server, "stream", "IPv6")
        let datagram = try ConnectedPair(SOCK_DGRAM, host: "::1")
        try trial.expectDescribed(datagram.client, "datagram", "IPv6")
    },
    Check("describe-udp") { trial in
        let pair = try ConnectedPair(SOCK_DGRAM, host: "127.0.0.1")
        try trial.expectDescribed(pair.client, "datagram", "IPv4")
        let stream = try ConnectedPair(SOCK_STREAM, host: "127.0.0.1")
        try trial.expectDescribed(stream.client, "stream", "IPv4")
    },
    Check("describe-unix") { trial in
        let pair = try ConnectedPair(SOCK_STREAM, path: trial.folder + "/s.sock")
        try trial.expectDescribed(pair.client, "stream", "Unix")
        try trial.expectDescribed(pair.server, "stream", "Unix")
        let datagram = try ConnectedPair(SOCK_DGRAM, path: trial.folder + "/d.sock")
        try trial.expectDescribed(datagram.client, "datagram", "Unix")
        try trial.expectDescribed(datagram.server, "datagram", "Unix")
    },
    Check("describe-unconnected") { trial in
        let any = try SocketAddress(host: "127.0.0.1", port: 0)
        let datagram = try OwnedSocket(AF_INET, SOCK_DGRAM)
        try check("bind", any.withSockaddr { bind(datagram.descriptor, $0, $1) })
        try trial.expectDescribed(datagram, "datagram", "IPv4")
        let listener = try OwnedSocket(AF_INET, SOCK_STREAM)
        try check("bind", any.withSockaddr { bind(listener.descriptor, $0, $1) })
        try check("listen", listen(listener.descriptor, 1))
        try trial.expectDescribed(listener, "stream", "IPv4")
        // Never bound: 0.0.0.0:0.
        try trial.expectDescribed(try OwnedSocket(AF_INET, SOCK_DGRAM), "datagram", "IPv4")
    },
    Check("describe-error") { trial in
        try trial.expectNoDescription(
            of: .descriptor(-1), say("a descriptor that is not open", "没有打开的描述符"), code: EBADF)
        let file = open("/dev/null", O_RDONLY | O_CLOEXEC)
        try check("open", file)
        defer { close(file) }
        try trial.expectNoDescription(of: .passed(file), say("a file", "文件"), code: ENOTSOCK)
    },
    Check("describe-borrowed") { trial in
        let listener = try trial.listen()
        let call = try trial.begin("describe-socket", [listener.socketArgument])
        let peer = try listener.accept(from: call)
        let expected = say(
            "the connection is still open when describeSocket has returned", "describeSocket 返回后连接仍然打开")
        _ = try call.value(expecting: expected)
        switch try peer.receive(1, until: Deadline(in: 0), expected: expected) {
        case .late: return
        case .end, .broken, .bytes:
            throw Failure(
                expected: expected, got: say("it was closed", "它被关闭了"), cause: "closed-what-was-lent")
        }
    },
]

// MARK: Names

/// What getaddrinfo says to this machine, each address once.
private func lookup(_ name: String) -> Result<[String], ResolveError> {
    var hints = addrinfo()
    hints.ai_family = AF_UNSPEC
    hints.ai_socktype = SOCK_STREAM
    var first: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(name, nil, &hints, &first)
    guard code == 0 else { return .failure(ResolveError(code: code)) }
    defer { freeaddrinfo(first) }
    var addresses: [String] = []
    var next = first
    while let entry = next?.pointee {
        let bytes = Array(UnsafeRawBufferPointer(start: entry.ai_addr, count: Int(entry.ai_addrlen)))
        if let host = SocketAddress(bytes: bytes)?.host, !addresses.contains(host) { addresses.append(host) }
        next = entry.ai_next
    }
    return .success(addresses)
}

extension ResolveError {
    /// `EAI_NONAME (-2), Name or service not known`
    fileprivate var text: String {
        "\(resolveErrorName(code) ?? "EAI") (\(code)), \(String(cString: gai_strerror(code)))"
    }
}

/// Each once, in the system's order.
private func addressesOfLocalhost() throws -> [String] {
    switch lookup("localhost") {
    case .success(let all): return all.reduce(into: []) { list, one in if !list.contains(one) { list.append(one) } }
    case .failure(let error):
        throw Unavailable(
            say("this machine cannot resolve localhost: \(error.text)", "这台机器无法解析 localhost：\(error.text)"))
    }
}

extension Trial {
    fileprivate func resolved(_ name: String, plan: FaultPlan? = nil, expecting expected: String) throws -> [String] {
        let list = try [begin("resolve", [.string(name)], plan: plan).value(expecting: expected)].list(0)
        return try list.indices.map { try list.string($0) }
    }

    /// One address twice is not this check's business: `resolve-once` looks for that.
    fileprivate func expectResolved(
        _ name: String, _ addresses: [String], plan: FaultPlan? = nil, because reason: String? = nil
    ) throws {
        let expected =
            say("resolve(\"\(name)\") is \(addresses)", "resolve(\"\(name)\") 得到 \(addresses)")
            + (reason.map { say(": \($0)", "：\($0)") } ?? "")
        let got: [String]
        do { got = try resolved(name, plan: plan, expecting: expected) } catch var failure as Failure {
            if failure.cause == nil, name.contains(":") { failure.cause = "one-family-only" }
            throw failure
        }
        var once: [String] = []
        for address in got where !once.contains(address) { once.append(address) }
        guard once != addresses else { return }
        var cause: String?
        if Set(addresses.map { $0.contains(":") }).count == 2, Set(once.map { $0.contains(":") }).count == 1 {
            cause = "one-family-only"
        }
        if once.count == addresses.count, Set(once) == Set(addresses) { cause = "order-changed" }
        if once == [addresses[0]], addresses.count > 1 { cause = "only-the-first" }
        if once.contains("[\(name)]") { cause = "brackets-kept" }
        if once.contains(where: { $0.utf8.contains(0) }) { cause = "trailing-zeros-kept" }
        throw Failure(expected: expected, got: "\(got)", cause: cause)
    }

    fileprivate func expectUnresolved(_ name: String, code: Int32, plan: FaultPlan?) throws {
        let error = ResolveError(code: code)
        let expected = say(
            "resolve(\"\(name)\") throws ResolveError, code \(error.text): getaddrinfo returned it",
            "resolve(\"\(name)\") 抛出 ResolveError，错误码 \(error.text)：getaddrinfo 返回的就是它")
        let call = try begin("resolve", [.string(name)], plan: plan)
        let outcome: PendingCall.Outcome
        do { outcome = try call.outcome(expecting: expected) } catch var failure as Failure {
            let lookups = call.subject.timeline.calls.count { $0.name == "getaddrinfo" }
            if failure.cause == nil, lookups > 2 { failure.cause = "lookup-retried" }
            throw failure
        }
        switch outcome {
        case .threw("ResolveError", _, code, _): return
        case .threw("ResolveError", _, let other, _):
            throw Failure(
                expected: expected, got: say("ResolveError, code \(other)", "ResolveError，错误码 \(other)"),
                cause: "resolve-error-lost")
        default: throw Failure(expected: expected, got: outcome.text, cause: "resolve-error-lost")
        }
    }
}

// MARK: Sockets

/// A socket of the grader's own.
final class OwnedSocket {
    let descriptor: Int32

    init(_ family: Int32, _ type: Int32) throws {
        descriptor = try closeOnExecSocket(family, type)
    }

    init(taking descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }
}

/// Two connected ends. Both belong to the grader, so it knows their names; the program gets copies.
struct ConnectedPair {
    let client: OwnedSocket
    let server: OwnedSocket

    init(_ type: Int32, host: String) throws {
        try self.init(type, at: SocketAddress(host: host, port: 0))
    }

    init(_ type: Int32, path: String) throws {
        try self.init(type, at: SocketAddress(unixPath: path))
    }

    private init(_ type: Int32, at any: SocketAddress) throws {
        let client = try OwnedSocket(any.family, type)
        let bound = try OwnedSocket(any.family, type)
        try check("bind", any.withSockaddr { bind(bound.descriptor, $0, $1) })
        if type == SOCK_STREAM { try check("listen", listen(bound.descriptor, 1)) }
        let address = try SocketAddress.local(of: bound.descriptor)
        try check("connect", address.withSockaddr { connect(client.descriptor, $0, $1) })
        self.client = client
        if type == SOCK_STREAM {
            let accepted = try check("accept", accept(bound.descriptor, nil, nil))
            _ = fcntl(accepted, F_SETFD, FD_CLOEXEC)
            server = OwnedSocket(taking: accepted)
        } else {
            server = bound
        }
    }
}

extension Trial {
    /// - Parameter socket: what the kernel says of it is what is expected.
    fileprivate func expectDescribed(_ socket: OwnedSocket, _ type: String, _ family: String) throws {
        let local = try SocketAddress.local(of: socket.descriptor).description
        var peer: String?
        do { peer = try SocketAddress.peer(of: socket.descriptor).description } catch let error as SocketError
            where error.code == ENOTCONN
        { peer = nil }
        let right = SocketDescription(type: type, family: family, local: local, peer: peer)
        let expected = say("describeSocket says: \(right.text)", "describeSocket 得到：\(right.text)")
        let outcome = try begin("describe-socket", [.passed(socket.descriptor)]).outcome(expecting: expected)
        guard case .returned(let value) = outcome else {
            var cause: String?
            if case .threw("SocketError", _, ENOTCONN, _) = outcome, peer == nil { cause = "no-peer-is-an-error" }
            throw Failure(expected: expected, got: outcome.text, cause: cause)
        }
        let fields = try [value].list(0)
        let got = SocketDescription(
            type: try fields.string(0), family: try fields.string(1), local: try fields.string(2),
            peer: fields[3] == .none ? nil : try fields.string(3))
        guard got != right else { return }
        throw Failure(expected: expected, got: got.text, cause: descriptionMistake(right, got))
    }

    fileprivate func expectNoDescription(of argument: Value, _ what: String, code: Int32) throws {
        let expected = say(
            "describeSocket of \(what) throws SocketError \(errorName(code))",
            "对\(what)，describeSocket 抛出 SocketError \(errorName(code))")
        let outcome = try begin("describe-socket", [argument]).outcome(expecting: expected)
        switch outcome {
        case .threw("SocketError", _, code, _): return
        case .threw: throw Failure(expected: expected, got: outcome.text)
        case .returned: throw Failure(expected: expected, got: outcome.text, cause: "call-not-checked")
        }
    }
}

extension SocketDescription {
    fileprivate var text: String {
        let localText = local.isEmpty ? say("no name", "没有名字") : local
        let peerText = peer.map { $0.isEmpty ? say("no name", "没有名字") : $0 } ?? "nil"
        return say(
            "\(type), \(family), local \(localText), peer \(peerText)",
            "\(type)、\(family)、本端 \(localText)、对端 \(peerText)")
    }
}

private func descriptionMistake(_ expected: SocketDescription, _ got: SocketDescription) -> String? {
    if got.type != expected.type {
        return got.type == "stream" || got.type == "datagram" ? "type-assumed" : "type-not-found"
    }
    if got.family != expected.family { return nil }
    if expected.peer == nil && got.peer != nil { return "call-not-checked" }
    if got.local == expected.peer && got.peer == expected.local { return "ends-exchanged" }
    for (right, got) in [(expected.local, got.local), (expected.peer ?? "", got.peer ?? "")] where right != got {
        if got.utf8.contains(0) { return "trailing-zeros-kept" }
        if expected.family == "Unix", got.isEmpty { return "length-not-set-again" }
        if expected.family == "Unix", right.isEmpty { return "length-not-read" }
        guard let colon = right.lastIndex(of: ":"), let port = UInt16(right[right.index(after: colon)...]) else {
            return nil
        }
        if got == right[..<colon] + ":\(port.byteSwapped)" { return "port-in-host-order" }
        if got == right[..<colon] + ":\(port & 0xFF)" { return "shifted-before-widening" }
        // Of ::1 the first 8 bytes are zeros: what is left of it is ::.
        if got.hasPrefix("[::]:"), right.hasPrefix("[::1]:") { return "name-cut" }
    }
    return nil
}

extension Cause {
    /// The name is known here: we have just asked.
    fileprivate static let onlyNumbersLookedUp = Cause("only-numbers-looked-up") { evidence in
        evidence.timeline.calls("getaddrinfo").last?.result == Int64(EAI_NONAME)
    }
}
