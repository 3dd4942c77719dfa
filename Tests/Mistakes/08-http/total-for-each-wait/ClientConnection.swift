import Course
import Sockets

/// How long one attempt may still take.
struct Patience {
    private let each: Milliseconds
    private let total: Milliseconds
    private let end: Milliseconds

    init(each: Milliseconds, total: Milliseconds) {
        self.each = each
        self.total = total
        end = monotonicMilliseconds().addingReportingOverflow(total).partialValue
    }

    var isUsedUp: Bool { monotonicMilliseconds() >= end }

    /// poll(2), again after EINTR with what is left of the time.
    ///
    /// - Returns: what is ready, errors and hang-ups too: the next call on the descriptor says what they are.
    /// - Throws: `ClientError.timedOut`.
    func wait(for descriptor: Int32, _ events: Int32) throws -> Int32 {
        let start = monotonicMilliseconds()
        while true {
            let now = monotonicMilliseconds()
            var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let count = poll(&entry, 1, Int32(clamping: max(0, min(total, each) - (now - start))))
            if count > 0 { return Int32(entry.revents) }
            if count == 0 { throw ClientError.timedOut }
            if errno != EINTR { throw SocketError("poll", errno) }
        }
    }
}

/// It is closed when nobody holds it any more, so that every way out of a request closes it, also those that throw.
final class ClientConnection {
    let origin: HTTPURL.Origin
    private let descriptor: Int32

    deinit { Sockets.close(descriptor) }

    /// - Throws: `ClientError.cannotConnect` after all addresses were tried; `ClientError.timedOut`.
    init(to origin: HTTPURL.Origin, _ patience: Patience) throws {
        self.origin = origin
        var code: Int32 = 0
        // A name may have several addresses, IPv6 before IPv4 in most networks (RFC 6724). That one of them does not answer
        // says nothing about the next: `localhost` is ::1 here and 127.0.0.1 for a server that knows IPv4 only.
        for address in try addresses(of: origin) {
            do {
                descriptor = try connected(to: address, patience)
                return
            } catch let error as SocketError {
                code = error.code
            } catch ClientError.timedOut where !patience.isUsedUp {
                code = ETIMEDOUT
            }
        }
        throw ClientError.cannotConnect(code: code)
    }

    /// Whether a request may still be sent on it. A server that has closed it meanwhile can be read from: the end, or a
    /// reset. So can one that said something without being asked; that would be taken for the next answer.
    var isIdle: Bool {
        var byte: UInt8 = 0
        while true {
            let count = recv(descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT)
            if count < 0 && errno == EINTR { continue }
            return count < 0 && errno == EAGAIN
        }
    }

    /// Sends and receives at the same time: a server may answer before it has read the whole request, and refuse to read
    /// the rest. Who only sends until all is sent would wait for it, and it for us.
    ///
    /// - Parameter received: gets what arrives, or nil at the end of the stream; returns whether more is wanted.
    /// - Returns: whether all of the request was sent.
    /// - Throws: `ClientError.timedOut`, `ClientError.cutShort` when the connection breaks, and what `received` throws.
    func exchange(_ request: [UInt8], _ patience: Patience, received: ([UInt8]?) throws -> Bool) throws -> Bool {
        var sent = 0
        var canSend = true
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let wantsToSend = canSend && sent < request.count
            let ready = try patience.wait(
                for: descriptor, wantsToSend ? Int32(POLLIN | POLLOUT) : Int32(POLLIN))
            if wantsToSend && ready & Int32(POLLOUT) != 0 {
                // MSG_NOSIGNAL: a server that has left must not end the program (SIGPIPE).
                let count = request[sent...].withUnsafeBytes {
                    send(descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL)
                }
                if count >= 0 {
                    sent += count
                } else if errno == EPIPE || errno == ECONNRESET {
                    // It wants no more of the request; it may have said why.
                    canSend = false
                } else if errno != EINTR && errno != EAGAIN {
                    throw ClientError.cutShort
                }
            }
            guard ready & ~Int32(POLLOUT) != 0 else { continue }
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
            if count < 0 { throw ClientError.cutShort }
            let wantsMore = try received(count == 0 ? nil : Array(buffer.prefix(count)))
            if !wantsMore || count == 0 { return sent == request.count }
        }
    }
}

/// getaddrinfo(3): what a name stands for, the best first. It has no time limit of its own that we could set; its own
/// retries end after half a minute at most (resolv.conf(5)).
private func addresses(of origin: HTTPURL.Origin) throws -> [SocketAddress] {
    var hints = addrinfo()
    hints.ai_family = AF_UNSPEC
    hints.ai_socktype = SOCK_STREAM
    var first: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(origin.host, String(origin.port), &hints, &first) == 0 else {
        throw ClientError.cannotConnect(code: 0)
    }
    defer { freeaddrinfo(first) }
    var addresses: [SocketAddress] = []
    var next = first
    while let entry = next?.pointee {
        let bytes = UnsafeRawBufferPointer(start: entry.ai_addr, count: Int(entry.ai_addrlen))
        if let address = SocketAddress(bytes: Array(bytes)), !addresses.contains(address) { addresses.append(address) }
        next = entry.ai_next
    }
    return addresses
}

/// A non-blocking descriptor that is connected: the waiting is done by `poll`, with our own limit.
private func connected(to address: SocketAddress, _ patience: Patience) throws -> Int32 {
    let descriptor = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        try check("fcntl", fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK))
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        // A request that goes out in two pieces is not held back until the first is acknowledged (tcp(7)).
        var on: Int32 = 1
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        if address.withSockaddr({ connect(descriptor, $0, $1) }) != 0 {
            // EINPROGRESS: the handshake has begun. EINTR says the same.
            guard errno == EINPROGRESS || errno == EINTR else { throw SocketError("connect", errno) }
            _ = try patience.wait(for: descriptor, Int32(POLLOUT))
            // Writable means decided, not connected. How it was decided is the socket's pending error.
            var code: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size))
            guard code == 0 else { throw SocketError("connect", code) }
        }
        return descriptor
    } catch {
        close(descriptor)
        throw error
    }
}

private func monotonicMilliseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}
