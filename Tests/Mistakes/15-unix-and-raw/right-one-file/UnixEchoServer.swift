import Course
import Sockets

// The whole lesson in one file.

// ---- time and waiting

struct Deadline {
    private let end: UInt64
    init(in milliseconds: Int) { end = Deadline.now + UInt64(max(0, milliseconds)) * 1_000_000 }

    static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Waits for one descriptor; false when the time is over.
    func wait(_ descriptor: Int32, _ events: Int32) throws -> Bool {
        while true {
            let now = Deadline.now
            guard now < end else { return false }
            var place = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let ready = poll(&place, 1, Int32(clamping: (end - now) / 1_000_000 + 1))
            if ready > 0 { return true }
            if ready < 0 && errno != EINTR { throw SocketError("poll", errno) }
        }
    }
}

/// The result of a call that does not wait: again after EINTR, nil for EAGAIN.
func attempt(_ call: String, _ body: () -> Int) throws -> Int? {
    while true {
        let result = body()
        if result >= 0 { return result }
        if errno == EAGAIN { return nil }
        if errno != EINTR { throw SocketError(call, errno) }
    }
}

// ---- unix-echo-server

/// One loop and one poll: what the second place is about depends on where we are.
func unixEchoServer(path: String, stop: Int32) throws {
    let address = try SocketAddress(unixPath: path)
    switch whatIsAt(path, address) {
    case .nothing: break
    case .leftover: if unlink(path) != 0 && errno != ENOENT { throw SocketError("unlink", errno) }
    case .something: throw SocketError("bind", EADDRINUSE)
    }
    let listener = try check("socket", socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0))
    defer { close(listener) }
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    defer { unlink(path) }
    try check("chmod", chmod(path, S_IRUSR | S_IWUSR))
    try check("listen", listen(listener, SOMAXCONN))

    var client: Int32 = -1
    defer { if client >= 0 { close(client) } }
    var pending: ArraySlice<UInt8> = []
    var buffer = [UInt8](repeating: 0, count: 32_768)
    while true {
        let (who, what) = client < 0 ? (listener, POLLIN) : (client, pending.isEmpty ? POLLIN : POLLOUT)
        var places = [
            pollfd(fd: stop, events: Int16(POLLIN), revents: 0), pollfd(fd: who, events: Int16(what), revents: 0),
        ]
        guard poll(&places, 2, -1) >= 0 else {
            if errno == EINTR { continue }
            throw SocketError("poll", errno)
        }
        if places[0].revents != 0 { return }
        guard places[1].revents != 0 else { continue }

        if client < 0 {
            client = accept4(listener, nil, nil, SOCK_CLOEXEC | SOCK_NONBLOCK)
            if client < 0 && ![EINTR, EAGAIN, ECONNABORTED].contains(errno) { throw SocketError("accept", errno) }
            continue
        }
        var isOver = false
        do {
            if pending.isEmpty {
                if let count = try attempt("read", { read(client, &buffer, buffer.count) }) {
                    pending = ArraySlice(Array(buffer[..<count]))
                    isOver = count == 0
                }
            } else if let count = try attempt(
                "send",
                {
                    pending.withUnsafeBytes { send(client, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
                })
            {
                pending = pending.dropFirst(count)
            }
        } catch {
            // It has broken: that is this client's end, not ours.
            isOver = true
        }
        if isOver {
            close(client)
            client = -1
            pending = []
        }
    }
}

private enum Place { case nothing, leftover, something }

private func whatIsAt(_ path: String, _ address: SocketAddress) -> Place {
    var status = stat()
    guard lstat(path, &status) == 0 else { return .nothing }
    guard status.st_mode & S_IFMT == S_IFSOCK else { return .something }
    let probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    guard probe >= 0 else { return .something }
    defer { close(probe) }
    return address.withSockaddr { connect(probe, $0, $1) } != 0 && errno == ECONNREFUSED ? .leftover : .something
}

// ---- unix-datagram

func datagramRequest(message: [UInt8], to path: String, from own: String, timeout: Milliseconds) throws -> [UInt8] {
    let deadline = Deadline(in: timeout)
    let (server, mine) = (try SocketAddress(unixPath: path), try SocketAddress(unixPath: own))
    let door = try check("socket", socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0))
    defer { close(door) }
    try check("bind", mine.withSockaddr { bind(door, $0, $1) })
    defer { unlink(own) }
    try check("connect", server.withSockaddr { connect(door, $0, $1) })

    var buffer = [UInt8](repeating: 0, count: 1 << 19)
    // What somebody put there before we were connected, and before we have asked, is no answer.
    while try attempt("recv", { recv(door, &buffer, buffer.count, 0) }) != nil {}

    while try attempt("send", { send(door, message, message.count, MSG_NOSIGNAL) }) == nil {
        guard try deadline.wait(door, POLLOUT) else { throw SocketError("send", ETIMEDOUT) }
    }
    while true {
        if let count = try attempt("recv", { recv(door, &buffer, buffer.count, 0) }) { return Array(buffer[..<count]) }
        guard try deadline.wait(door, POLLIN) else { throw SocketError("recv", ETIMEDOUT) }
    }
}

// ---- pass-descriptor

/// A msghdr with one byte, and room beside it.
private func withMessage<Result>(
    descriptors: Int, _ body: (_ message: UnsafeMutablePointer<msghdr>, _ reset: () -> Void) throws -> Result
) rethrows -> Result {
    let size = controlSpace(descriptors * MemoryLayout<Int32>.stride)
    let control = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: MemoryLayout<cmsghdr>.alignment)
    let byte = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)
    let vector = UnsafeMutablePointer<iovec>.allocate(capacity: 1)
    let message = UnsafeMutablePointer<msghdr>.allocate(capacity: 1)
    defer {
        control.deallocate()
        byte.deallocate()
        vector.deallocate()
        message.deallocate()
    }
    func reset() {
        control.initializeMemory(as: UInt8.self, repeating: 0)
        byte.initialize(to: UInt8(ascii: "D"))
        vector.initialize(to: iovec(iov_base: byte, iov_len: 1))
        message.initialize(to: msghdr())
        message.pointee.msg_iov = vector
        message.pointee.msg_iovlen = 1
        message.pointee.msg_control = control.baseAddress
        message.pointee.msg_controllen = .init(size)
    }
    reset()
    return try body(message, reset)
}

func sendDescriptor(_ descriptor: Int32, over socket: Int32) throws {
    try withMessage(descriptors: 1) { message, _ in
        let header = controlFirst(message)!
        header.pointee.cmsg_level = SOL_SOCKET
        header.pointee.cmsg_type = SCM_RIGHTS
        header.pointee.cmsg_len = .init(controlLength(MemoryLayout<Int32>.size))
        UnsafeMutableRawPointer(controlData(header)!).storeBytes(of: descriptor, as: Int32.self)
        while sendmsg(socket, message, MSG_NOSIGNAL) != 1 {
            guard errno == EINTR else { throw SocketError("sendmsg", errno) }
        }
    }
}

func receiveDescriptor(from socket: Int32) throws -> Int32 {
    try withMessage(descriptors: 253) { message, reset in
        var count = recvmsg(socket, message, MSG_CMSG_CLOEXEC)
        while count < 0 {
            guard errno == EINTR else { throw SocketError("recvmsg", errno) }
            reset()
            count = recvmsg(socket, message, MSG_CMSG_CLOEXEC)
        }
        var all: [Int32] = []
        var header = controlFirst(message)
        while let this = header {
            if (this.pointee.cmsg_level, this.pointee.cmsg_type) == (SOL_SOCKET, SCM_RIGHTS) {
                let bytes = Int(this.pointee.cmsg_len) - controlLength(0)
                let data = UnsafeRawPointer(controlData(this)!)
                all += (0..<bytes / 4).map { data.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self) }
            }
            header = controlNext(message, this)
        }
        let isCut = message.pointee.msg_flags & MSG_CTRUNC != 0
        if count == 1, !isCut, all.count == 1, let only = all.first { return only }
        for one in all { close(one) }
        throw isCut || !all.isEmpty ? DescriptorError.unwanted : count == 0 ? .ended : .missing
    }
}

// ---- peer-credentials

func peerCredentials(of socket: Int32) throws -> PeerCredentials {
    // What only Unix sockets have.
    var domain: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    try check("getsockopt", getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size))
    guard domain == AF_UNIX else { throw CredentialsError.unknown }
    var peer = ucred(pid: 0, uid: .max, gid: .max)
    size = socklen_t(MemoryLayout<ucred>.size)
    try check("getsockopt", getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size))
    if peer.uid == .max || peer.pid == 0 { throw CredentialsError.unknown }
    return PeerCredentials(process: peer.pid, user: peer.uid, group: peer.gid)
}

// ---- echo-request

func echoRequest(identifier: UInt16, sequence: UInt16, payload: [UInt8]) -> [UInt8] {
    func message(_ checksum: UInt16) -> [UInt8] {
        [0x0800, checksum, identifier, sequence].flatMap { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] } + payload
    }
    return message(internetChecksum(message(0)[...]))
}

func internetChecksum(_ bytes: ArraySlice<UInt8>) -> UInt16 {
    var sum: UInt16 = 0
    var index = bytes.startIndex
    while index < bytes.endIndex {
        let low = index + 1 < bytes.endIndex ? bytes[index + 1] : 0
        let (partial, carry) = sum.addingReportingOverflow(UInt16(bytes[index]) << 8 | UInt16(low))
        // Cannot overflow again: after a carry it is at most fffe.
        sum = carry ? partial + 1 : partial
        index += 2
    }
    return ~sum
}

// ---- packets

private struct Packet {
    let source: String
    let message: [UInt8]
    func word(_ offset: Int) -> UInt16 { UInt16(message[offset]) << 8 | UInt16(message[offset + 1]) }

    /// - Parameter isWhole: else only its beginning is here.
    init(ip bytes: [UInt8], isWhole: Bool) throws {
        guard bytes.count >= 20 else { throw PacketError.truncated }
        guard bytes[0] & 0xF0 == 0x40 else { throw PacketError.notIPv4 }
        let header = Int(bytes[0] & 0x0F) << 2
        let total = Int(bytes[2]) << 8 | Int(bytes[3])
        let end = isWhole ? total : min(total, bytes.count)
        guard header >= 20, header <= end, end <= bytes.count else { throw PacketError.truncated }
        guard bytes[9] == 1 else { throw PacketError.notICMP }
        source = bytes[12...15].map(String.init).joined(separator: ".")
        message = Array(bytes[header..<end])
        guard message.count >= 8 else { throw PacketError.truncated }
        if isWhole && internetChecksum(message[...]) != 0 { throw PacketError.wrongChecksum }
    }

    init(icmp bytes: [UInt8]) throws {
        guard bytes.count >= 8 else { throw PacketError.truncated }
        guard internetChecksum(bytes[...]) == 0 else { throw PacketError.wrongChecksum }
        (source, message) = ("", bytes)
    }
}

func parseEchoReply(_ packet: [UInt8], hasHeader: Bool) throws -> EchoReply {
    let reply = hasHeader ? try Packet(ip: packet, isWhole: true) : try Packet(icmp: packet)
    guard reply.word(0) == 0 else { throw PacketError.otherType }
    return EchoReply(identifier: reply.word(4), sequence: reply.word(6), payload: Array(reply.message[8...]))
}

func parseQuotedEcho(_ packet: [UInt8]) throws -> QuotedEcho {
    let outer = try Packet(ip: packet, isWhole: true)
    guard [3, 11].contains(outer.message[0]) else { throw PacketError.otherType }
    let quoted = try Packet(ip: Array(outer.message[8...]), isWhole: false)
    guard quoted.word(0) == 0x0800 else { throw PacketError.otherType }
    return QuotedEcho(
        source: outer.source, type: outer.message[0], code: outer.message[1], identifier: quoted.word(4),
        sequence: quoted.word(6))
}

// ---- ping, traceroute

func openPing(address: String) throws -> PingSocket {
    let destination = try SocketAddress(host: address, port: 0)
    guard destination.family == AF_INET else { throw SocketError("connect", EAFNOSUPPORT) }
    var descriptor = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)
    let isRaw = descriptor < 0
    if isRaw { descriptor = try check("socket", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)) }
    do {
        try check("connect", destination.withSockaddr { connect(descriptor, $0, $1) })
        let port = isRaw ? UInt16.random(in: .min ... .max) : try SocketAddress.local(of: descriptor).port
        return PingSocket(descriptor: descriptor, hasHeader: isRaw, identifier: port)
    } catch {
        close(descriptor)
        throw error
    }
}

/// Goes through what arrives until something is recognised or the time is over.
private func firstAnswer<Answer>(
    _ socket: Int32, until deadline: Deadline, _ recognise: ([UInt8]) -> Answer?
) throws -> Answer? {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while try deadline.wait(socket, POLLIN) {
        guard let count = try attempt("recv", { recv(socket, &buffer, buffer.count, MSG_DONTWAIT) }) else { continue }
        if let answer = recognise(Array(buffer[..<count])) { return answer }
    }
    return nil
}

func ping(_ socket: PingSocket, count: Int, timeout: Milliseconds) throws -> [UInt64?] {
    try (0..<max(0, count)).map { number in
        let sequence = UInt16(truncatingIfNeeded: number + 1)
        let request = echoRequest(identifier: socket.identifier, sequence: sequence, payload: Array(0..<56))
        let start = Deadline.now
        let deadline = Deadline(in: timeout)
        while try attempt("send", { send(socket.descriptor, request, request.count, MSG_NOSIGNAL) }) == nil {
            guard try deadline.wait(socket.descriptor, POLLOUT) else { return nil }
        }
        return try firstAnswer(socket.descriptor, until: deadline) { packet in
            let time = Deadline.now - start
            guard let reply = try? parseEchoReply(packet, hasHeader: socket.hasHeader) else { return nil }
            return reply.identifier == socket.identifier && reply.sequence == sequence ? time : nil
        }
    }
}

func traceroute(
    socket: Int32, to destination: SocketAddress, identifier: UInt16, mostHops: Int, timeout: Milliseconds
) throws -> [String?] {
    var hops: [String?] = []
    for timeToLive in stride(from: Int32(1), through: Int32(clamping: mostHops), by: 1) {
        var value = timeToLive
        try check("setsockopt", setsockopt(socket, IPPROTO_IP, IP_TTL, &value, socklen_t(MemoryLayout<Int32>.size)))
        let sequence = UInt16(truncatingIfNeeded: timeToLive)
        let probe = echoRequest(identifier: identifier, sequence: sequence, payload: [])
        let deadline = Deadline(in: timeout)
        while try attempt(
            "sendto",
            {
                destination.withSockaddr { sendto(socket, probe, probe.count, MSG_NOSIGNAL, $0, $1) }
            }) == nil
        { guard try deadline.wait(socket, POLLOUT) else { break } }
        let answer = try firstAnswer(socket, until: deadline) { packet -> (String, Bool)? in
            if let error = try? parseQuotedEcho(packet) {
                return (error.identifier, error.sequence) == (identifier, sequence)
                    ? (error.source, error.type == 3) : nil
            }
            guard let reply = try? parseEchoReply(packet, hasHeader: true),
                (reply.identifier, reply.sequence) == (identifier, sequence),
                let source = try? Packet(ip: packet, isWhole: true).source
            else { return nil }
            return (source, true)
        }
        hops.append(answer?.0)
        if answer?.1 == true { break }
    }
    return hops
}
