import Course
import Sockets

/// Blocking client sockets, each call with MSG_DONTWAIT; the answers of a client lie in a ring and leave with sendmsg.
func selectServer(host: String, port: UInt16) throws {
    let listener = try open(host, port)
    var rings: [Int32: Ring] = [:]
    defer {
        close(listener)
        rings.keys.forEach { close($0) }
    }
    /// When the listener may be asked again (ms), if there was no descriptor for the next client.
    var resume: Int?

    while true {
        var sets = Sets()
        if resume == nil { sets.wantToRead(listener) }
        for (client, ring) in rings {
            if !ring.inputEnded && ring.room > 0 { sets.wantToRead(client) }
            if ring.count > 0 { sets.wantToWrite(client) }
        }
        guard try sets.wait(resume.map { max(0, $0 - clock()) }) else { continue }

        rings = rings.filter { client, ring in
            let stays =
                (!sets.canRead(client) || receive(client, ring))
                && (!(sets.canWrite(client) || sets.canRead(client)) || transmit(client, ring))
                && !(ring.inputEnded && ring.count == 0)
            if !stays {
                close(client)
                resume = nil
            }
            return stays
        }
        if let time = resume, clock() >= time { resume = nil }
        if sets.canRead(listener) {
            try acceptAll(listener) { client in
                if client < Int32(FD_SETSIZE) { rings[client] = Ring() } else { close(client) }
            } isFull: {
                resume = clock() + 100
            }
        }
    }
}

private struct Sets {
    private var readable = fd_set()
    private var writable = fd_set()
    private var highest: Int32 = -1

    init() {
        fdZero(&readable)
        fdZero(&writable)
    }

    mutating func wantToRead(_ descriptor: Int32) {
        fdSet(descriptor, &readable)
        highest = max(highest, descriptor)
    }

    mutating func wantToWrite(_ descriptor: Int32) {
        fdSet(descriptor, &writable)
        highest = max(highest, descriptor)
    }

    /// - Returns: false if it was interrupted.
    mutating func wait(_ milliseconds: Int?) throws -> Bool {
        var count: Int32
        if let milliseconds {
            var time = timeval(tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000)
            count = select(highest + 1, &readable, &writable, nil, &time)
        } else {
            count = select(highest + 1, &readable, &writable, nil, nil)
        }
        if count < 0 && errno == EINTR { return false }
        count = try check("select", count)
        return true
    }

    func canRead(_ descriptor: Int32) -> Bool {
        var copy = readable
        return fdIsSet(descriptor, &copy) != 0
    }

    func canWrite(_ descriptor: Int32) -> Bool {
        var copy = writable
        return fdIsSet(descriptor, &copy) != 0
    }
}

/// At most 32 KiB of answers, in a circle. No room in it means: do not read.
private final class Ring {
    static let size = 32_768
    private let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: Ring.size, alignment: 8)
    private var first = 0
    private(set) var count = 0
    var inputEnded = false

    deinit { bytes.deallocate() }

    var room: Int { Ring.size - count }

    /// Lends the free part up to the end of the memory, and changes what was put there to upper case.
    func fill(_ body: (UnsafeMutableRawPointer, Int) -> Int) -> Int {
        let start = (first + count) % Ring.size
        let size = min(room, Ring.size - start)
        let result = body(bytes.baseAddress! + start, size)
        if result > 0 {
            for index in start..<start + result {
                switch bytes[index] {
                case 0x61...0x7A: bytes[index] -= 0x20
                default: break
                }
            }
            count += result
        }
        return result
    }

    /// Lends what is there, in one part or two, and drops what went.
    func empty(_ body: (inout [iovec]) -> Int) -> Int {
        let straight = min(count, Ring.size - first)
        var parts = [iovec(iov_base: bytes.baseAddress! + first, iov_len: straight)]
        if straight < count { parts.append(iovec(iov_base: bytes.baseAddress!, iov_len: count - straight)) }
        let result = body(&parts)
        if result > 0 {
            first = (first + result) % Ring.size
            count -= result
        }
        return result
    }
}

/// - Returns: false if the connection is broken.
private func receive(_ client: Int32, _ ring: Ring) -> Bool {
    let count = ring.fill { recv(client, $0, $1, MSG_DONTWAIT) }
    if count < 0 { return errno == EAGAIN || errno == EINTR }
    if count == 0 { ring.inputEnded = true }
    return true
}

/// - Returns: false if the connection is broken.
private func transmit(_ client: Int32, _ ring: Ring) -> Bool {
    if ring.count == 0 { return true }
    let count = ring.empty { parts in
        parts.withUnsafeMutableBufferPointer { list in
            var message = msghdr()
            message.msg_iov = list.baseAddress
            message.msg_iovlen = .init(list.count)
            return sendmsg(client, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
        }
    }
    return count >= 0 || errno == EAGAIN || errno == EINTR
}

private func acceptAll(_ listener: Int32, _ add: (Int32) -> Void, isFull: () -> Void) throws {
    for client in sequence(state: (), next: { _ in Optional(accept(listener, nil, nil)) }) {
        if client >= 0 {
            add(client)
            continue
        }
        switch errno {
        case EAGAIN: return
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: return isFull()
        case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, EHOSTDOWN, ENONET, ENOPROTOOPT, EPERM,
            ETIMEDOUT:
            continue
        case let code: throw SocketError("accept", code)
        }
    }
}

private func clock() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

private func open(_ host: String, _ port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        var on: Int32 = 1
        try check(
            "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
        let flags = try check("fcntl", fcntl(listener, F_GETFL))
        try check("fcntl", fcntl(listener, F_SETFL, flags | O_NONBLOCK))
        return listener
    } catch {
        close(listener)
        throw error
    }
}

func setNonblocking(_ descriptor: Int32, _ on: Bool = true) {
    let flags = fcntl(descriptor, F_GETFL)
    _ = fcntl(descriptor, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK)
}
