import Course
import Sockets

// MARK: a datagram socket

private struct Datagrams {
    let fd: Int32

    init(family: Int32) throws {
        fd = try check("socket", socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0))
        guard fd < 1024 else {  // more does not go into an fd_set
            close(fd)
            throw SocketError("socket", EMFILE)
        }
    }

    func shut() { close(fd) }

    func set<Option>(_ level: Int32, _ name: Int32, _ value: Option, _ text: String) throws {
        var value = value
        try check("setsockopt(\(text))", setsockopt(fd, level, name, &value, socklen_t(MemoryLayout<Option>.size)))
    }

    func bound(to address: SocketAddress) throws { try check("bind", address.withSockaddr { bind(fd, $0, $1) }) }

    func connected(to address: SocketAddress) throws {
        try check("connect", address.withSockaddr { connect(fd, $0, $1) })
    }

    /// - Returns: 0, or errno. Interrupted sends are made again.
    func push(_ bytes: [UInt8], to address: SocketAddress? = nil) -> Int32 {
        bytes.withUnsafeBytes { bytes in
            var part = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
            return withUnsafeMutablePointer(to: &part) { part in
                var message = msghdr()
                message.msg_iov = part
                message.msg_iovlen = 1
                func go() -> Int32 {
                    while sendmsg(fd, &message, 0) < 0 { if errno != EINTR { return errno } }
                    return 0
                }
                guard let address else { return go() }
                return address.withSockaddr { name, length in
                    message.msg_name = UnsafeMutableRawPointer(mutating: name)
                    message.msg_namelen = length
                    return go()
                }
            }
        }
    }

    enum Got {
        case datagram([UInt8], from: SocketAddress?)
        case refused
        case timeUp
    }

    /// - Parameter deadline: nil: for ever.
    func pull(until deadline: Instant?) throws -> Got {
        while true {
            var readable = fd_set()
            withUnsafeMutableBytes(of: &readable) { $0[Int(fd) / 8] |= 1 << UInt8(fd % 8) }
            let ready: Int32
            if let deadline {
                let left = deadline.nanoseconds - Instant.now.nanoseconds
                if left <= 0 { return .timeUp }
                var wait = timespec(tv_sec: left / 1_000_000_000, tv_nsec: left % 1_000_000_000)
                ready = pselect(fd + 1, &readable, nil, nil, &wait, nil)
            } else {
                ready = pselect(fd + 1, &readable, nil, nil, nil, nil)
            }
            if ready < 0 && errno != EINTR { throw SocketError("pselect", errno) }
            if ready <= 0 { continue }
            let (count, bytes, sender) = take()
            if count >= 0 { return .datagram(bytes, from: sender) }
            switch errno {
            case EINTR, EAGAIN: continue
            case ECONNREFUSED: return .refused
            case let code: throw SocketError("recvmsg", code)
            }
        }
    }

    private func take() -> (Int, [UInt8], SocketAddress?) {
        var name = sockaddr_storage()
        var count = -1
        var nameLength = 0
        var code: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: 65_536) { room, used in
            withUnsafeMutableBytes(of: &name) { name in
                var part = iovec(iov_base: room.baseAddress, iov_len: room.count)
                withUnsafeMutablePointer(to: &part) { part in
                    var message = msghdr()
                    message.msg_name = name.baseAddress
                    message.msg_namelen = socklen_t(name.count)
                    message.msg_iov = part
                    message.msg_iovlen = 1
                    count = recvmsg(fd, &message, MSG_DONTWAIT)
                    code = errno
                    nameLength = count < 0 ? 0 : Int(message.msg_namelen)
                }
            }
            used = max(count, 0)
        }
        let sender = withUnsafeBytes(of: name) { SocketAddress(bytes: Array($0.prefix(nameLength))) }
        errno = code
        return (count, bytes, sender)
    }
}

private struct Instant {
    var nanoseconds: Int

    static var now: Instant {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec))
    }

    static func after(_ wait: Milliseconds) -> Instant { Instant(nanoseconds: now.nanoseconds + wait * 1_000_000) }
}

private func fail(_ code: Int32) throws {
    if code != 0 { throw SocketError("sendmsg", code) }
}

// MARK: servers

private func serve(_ host: String, _ port: UInt16, _ answer: ([UInt8]) -> [UInt8]) throws {
    let address = try SocketAddress(host: host, port: port)
    let server = try Datagrams(family: address.family)
    defer { server.shut() }
    try server.bound(to: address)
    while true {
        guard case .datagram(let bytes, let sender?) = try server.pull(until: nil) else { continue }
        _ = server.push(answer(bytes), to: sender)
    }
}

func uppercaseServer(host: String, port: UInt16) throws {
    try serve(host, port) { $0.map { (0x61...0x7a).contains($0) ? $0 & 0xdf : $0 } }
}

func timestampServer(host: String, port: UInt16) throws {
    try serve(host, port) { bytes in
        var time = timeval()
        gettimeofday(&time, nil)
        return Array(String(Int(time.tv_sec) * 1000 + Int(time.tv_usec) / 1000).utf8) + [0x20] + bytes
    }
}

// MARK: clients

func connectedClient(message: [UInt8], host: String, port: UInt16, timeout: Milliseconds) throws -> [UInt8] {
    let address = try SocketAddress(host: host, port: port)
    let client = try Datagrams(family: address.family)
    defer { client.shut() }
    try client.connected(to: address)
    try fail(client.push(message))
    switch try client.pull(until: .after(timeout)) {
    case .datagram(let bytes, _): return bytes
    case .refused: throw SocketError("recvmsg", ECONNREFUSED)
    case .timeUp: throw RequestError.noAnswer
    }
}

func request(
    message: [UInt8], host: String, port: UInt16, timeout: Milliseconds, attempts: Int
) throws -> Answer {
    let address = try SocketAddress(host: host, port: port)
    let client = try Datagrams(family: address.family)
    defer { client.shut() }
    try client.connected(to: address)

    let number = (0..<4).map { _ in UInt8.random(in: 0...255) }
    var attempt = 0
    while attempt < attempts {
        attempt += 1
        let datagram = number + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: attempt >> $0) } + message
        var code = client.push(datagram)
        // The refusal of an attempt before this one: nothing has been sent yet.
        while code == ECONNREFUSED { code = client.push(datagram) }
        try fail(code)

        let deadline = Instant.after(timeout)
        waiting: while true {
            switch try client.pull(until: deadline) {
            case .timeUp: break waiting
            case .refused: continue
            case .datagram(let bytes, _):
                guard bytes.count >= 8, bytes.starts(with: number) else { continue }
                let answered = bytes[4..<8].reduce(0) { $0 * 256 + Int($1) }
                if answered >= 1 && answered <= attempt {
                    return Answer(payload: Array(bytes[8...]), attempt: answered)
                }
            }
        }
    }
    throw RequestError.noAnswer
}

// MARK: many

private func shout(_ bytes: [UInt8], _ port: UInt16) throws -> Datagrams {
    let address = try SocketAddress(host: "127.255.255.255", port: port)
    let shouter = try Datagrams(family: AF_INET)
    do {
        try shouter.set(SOL_SOCKET, SO_BROADCAST, Int32(1), "SO_BROADCAST")
        try fail(shouter.push(bytes, to: address))
        return shouter
    } catch {
        shouter.shut()
        throw error
    }
}

func broadcast(message: [UInt8], port: UInt16) throws { try shout(message, port).shut() }

func discover(port: UInt16, timeout: Milliseconds) throws -> [Discovered] {
    let client = try shout(Array("WHO IS THERE?".utf8), port)
    defer { client.shut() }
    let deadline = Instant.after(timeout)
    var found: [SocketAddress: [UInt8]] = [:]
    while true {
        switch try client.pull(until: deadline) {
        case .timeUp: return found.map { Discovered(host: $0.host, port: $0.port, answer: $1) }
        case .refused: continue
        case .datagram(let bytes, let sender):
            if let sender, found[sender] == nil { found[sender] = bytes }
        }
    }
}

private func ipv4(_ text: String) throws -> in_addr {
    var address = in_addr()
    guard inet_pton(AF_INET, text, &address) == 1 else { throw SocketError("inet_pton", EINVAL) }
    return address
}

func multicastSend(message: [UInt8], group: String, port: UInt16) throws {
    let address = try SocketAddress(host: group, port: port)
    let sender = try Datagrams(family: AF_INET)
    defer { sender.shut() }
    try sender.set(IPPROTO_IP, IP_MULTICAST_IF, try ipv4("127.0.0.1"), "IP_MULTICAST_IF")
    try fail(sender.push(message, to: address))
}

func multicastReceive(group: String, port: UInt16, timeout: Milliseconds) throws -> [UInt8] {
    let deadline = Instant.after(timeout)
    let address = try SocketAddress(host: group, port: port)
    let member = try Datagrams(family: AF_INET)
    defer { member.shut() }
    try member.set(SOL_SOCKET, SO_REUSEADDR, Int32(1), "SO_REUSEADDR")
    try member.bound(to: address)
    let membership = ip_mreq(imr_multiaddr: try ipv4(group), imr_interface: try ipv4("127.0.0.1"))
    try member.set(IPPROTO_IP, IP_ADD_MEMBERSHIP, membership, "IP_ADD_MEMBERSHIP")
    while true {
        switch try member.pull(until: deadline) {
        case .datagram(let bytes, _): return bytes
        case .refused: continue
        case .timeUp: throw RequestError.noAnswer
        }
    }
}
