import Course
import Foundation
import Sockets

/// No poll: the socket's own timeouts, set to what is left before each call.
private final class Asker {
    let descriptor: Int32
    let own: String
    let end: UInt64

    init(own: String, server: SocketAddress, timeout: Milliseconds) throws {
        end = clockTime() + UInt64(max(0, timeout)) * 1_000_000
        self.own = own
        let address = try SocketAddress(unixPath: own)
        descriptor = try check("socket", socket(AF_UNIX, SOCK_DGRAM, 0))
        var bound = false
        do {
            try check("bind", address.withSockaddr { bind(descriptor, $0, $1) })
            bound = true
            try check("connect", server.withSockaddr { connect(descriptor, $0, $1) })
        } catch {
            close(descriptor)
            if bound { unlink(own) }
            throw error
        }
    }

    func finish() {
        close(descriptor)
        unlink(own)
    }

    /// Repeats a call until it has a result or the time is over.
    func within(_ option: Int32, _ call: String, _ body: () -> Int) throws -> Int {
        while true {
            let now = clockTime()
            if now >= end { throw SocketError(call, ETIMEDOUT) }
            // Zero would be for ever.
            let micro = Int((end - now) / 1000 + 1)
            var time = timeval(tv_sec: micro / 1_000_000, tv_usec: micro % 1_000_000)
            try check(
                "setsockopt", setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size)))
            let result = body()
            if result >= 0 { return result }
            if errno != EINTR && errno != EAGAIN { throw SocketError(call, errno) }
        }
    }
}

func datagramRequest(message: [UInt8], to path: String, from own: String, timeout: Milliseconds) throws -> [UInt8] {
    let asker = try Asker(own: own, server: SocketAddress(unixPath: path), timeout: timeout)
    defer { asker.finish() }
    var answer = Data(count: 220_000)
    // Whatever came before we were connected is from nobody we have asked.
    while answer.withUnsafeMutableBytes({ recv(asker.descriptor, $0.baseAddress, $0.count, MSG_DONTWAIT) }) >= 0
        || errno == EINTR
    {}
    _ = try asker.within(SO_SNDTIMEO, "send") { send(asker.descriptor, message, message.count, MSG_NOSIGNAL) }
    let count = try asker.within(SO_RCVTIMEO, "recv") {
        answer.withUnsafeMutableBytes { recv(asker.descriptor, $0.baseAddress, $0.count, 0) }
    }
    return [UInt8](answer.prefix(count))
}
