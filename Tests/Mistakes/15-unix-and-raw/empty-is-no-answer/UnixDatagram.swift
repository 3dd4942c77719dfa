import Course
import Sockets

func datagramRequest(message: [UInt8], to path: String, from own: String, timeout: Milliseconds) throws -> [UInt8] {
    let there = try SocketAddress(unixPath: path)
    let here = try SocketAddress(unixPath: own)
    let started = nanoseconds()
    let descriptor = try check("socket", socket(AF_UNIX, SOCK_DGRAM, 0))
    defer { close(descriptor) }
    try check("fcntl", fcntl(descriptor, F_SETFL, O_NONBLOCK))
    try check("bind", here.withSockaddr { bind(descriptor, $0, $1) })
    defer { unlink(own) }
    try check("connect", there.withSockaddr { connect(descriptor, $0, $1) })

    /// Tries again and again, and waits between two tries, until it works or the time is up.
    func insist<Value>(_ call: String, _ events: Int32, _ attempt: () -> Value?) throws -> Value {
        while true {
            errno = EAGAIN
            if let value = attempt() { return value }
            guard errno == EAGAIN || errno == EINTR else { throw SocketError(call, errno) }
            let passed = Int((nanoseconds() - started) / 1_000_000)
            guard passed < timeout else { throw SocketError(call, ETIMEDOUT) }
            var waiting = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            if poll(&waiting, 1, Int32(clamping: timeout - passed)) < 0 && errno != EINTR {
                throw SocketError("poll", errno)
            }
        }
    }

    try insist("send", POLLOUT) {
        send(descriptor, message, message.count, Int32(MSG_NOSIGNAL)) >= 0 ? () : nil
    }
    var buffer = [UInt8](repeating: 0, count: 200_000)
    return try insist("recv", POLLIN) {
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return count > 0 ? Array(buffer.prefix(count)) : nil
    }
}
