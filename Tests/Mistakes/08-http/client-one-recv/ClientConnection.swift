import Course
import Sockets

struct Patience {
    private let each: Milliseconds
    private let end: Milliseconds

    init(each: Milliseconds, total: Milliseconds) {
        self.each = each
        end = monotonicMilliseconds().addingReportingOverflow(total).partialValue
    }

    var isUsedUp: Bool { monotonicMilliseconds() >= end }

    func wait(for descriptor: Int32, _ events: Int32) throws -> Int32 {
        let start = monotonicMilliseconds()
        while true {
            let now = monotonicMilliseconds()
            var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let count = poll(&entry, 1, Int32(clamping: max(0, min(end - now, each - (now - start)))))
            if count > 0 { return Int32(entry.revents) }
            if count == 0 { throw ClientError.timedOut }
            if errno != EINTR { throw SocketError("poll", errno) }
        }
    }
}

final class ClientConnection {
    let origin: HTTPURL.Origin
    private let descriptor: Int32

    deinit { Sockets.close(descriptor) }

    init(to origin: HTTPURL.Origin, _ patience: Patience) throws {
        self.origin = origin
        var code: Int32 = 0
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

    var isIdle: Bool {
        var byte: UInt8 = 0
        while true {
            let count = recv(descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT)
            if count < 0 && errno == EINTR { continue }
            return count < 0 && errno == EAGAIN
        }
    }

    func exchange(_ request: [UInt8], _ patience: Patience, received: ([UInt8]?) throws -> Bool) throws -> Bool {
        var sent = 0
        var canSend = true
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let wantsToSend = canSend && sent < request.count
            let ready = try patience.wait(
                for: descriptor, wantsToSend ? Int32(POLLIN | POLLOUT) : Int32(POLLIN))
            if wantsToSend && ready & Int32(POLLOUT) != 0 {
                let count = request[sent...].withUnsafeBytes {
                    send(descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL)
                }
                if count >= 0 {
                    sent += count
                } else if errno == EPIPE || errno == ECONNRESET {
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
            if !wantsMore || sent == request.count { return sent == request.count }
        }
    }
}

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

private func connected(to address: SocketAddress, _ patience: Patience) throws -> Int32 {
    let descriptor = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        try check("fcntl", fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK))
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        var on: Int32 = 1
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        if address.withSockaddr({ connect(descriptor, $0, $1) }) != 0 {
            guard errno == EINPROGRESS || errno == EINTR else { throw SocketError("connect", errno) }
            _ = try patience.wait(for: descriptor, Int32(POLLOUT))
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
