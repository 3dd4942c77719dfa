import Course
import Sockets

/// One thread, one non-blocking socket, both directions: what is possible next is asked of the kernel.
func client(message: [UInt8], host: String, port: UInt16) throws -> [UInt8] {
    let address = try SocketAddress(host: host, port: port)
    let connection = try check("socket", socket(address.family, SOCK_STREAM | Int32(SOCK_NONBLOCK.rawValue), 0))
    defer { close(connection) }
    try establish(connection, address)

    var answer: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 32_768)
    var unsent = message[...]
    var isAsking = true
    var isListening = true
    // It fails only if the connection is broken already: recv says how.
    func endQuestion() {
        _ = shutdown(connection, SHUT_WR)
        isAsking = false
    }
    if unsent.isEmpty { endQuestion() }
    while isAsking || isListening {
        try waitUntilReady(connection, (isListening ? POLLIN : 0) | (isAsking ? POLLOUT : 0))
        if isListening {
            let count = recv(connection, &buffer, buffer.count, 0)
            if count > 0 {
                answer.append(contentsOf: buffer[..<count])
            } else if count == 0 {
                isListening = false
            } else if errno != EINTR && errno != EAGAIN {
                throw SocketError("recv", errno)
            }
        }
        if isAsking {
            let count = unsent.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if count >= 0 {
                unsent = unsent.dropFirst(count)
                if unsent.isEmpty { endQuestion() }
            } else if errno != EINTR && errno != EAGAIN {
                throw SocketError("send", errno)
            }
        }
    }
    return answer
}

private func establish(_ connection: Int32, _ address: SocketAddress) throws {
    if address.withSockaddr({ connect(connection, $0, $1) }) == 0 { return }
    guard errno == EINPROGRESS || errno == EINTR else { throw SocketError("connect", errno) }
    try waitUntilReady(connection, POLLOUT)
    var outcome: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    try check("getsockopt", getsockopt(connection, SOL_SOCKET, SO_ERROR, &outcome, &size))
    guard outcome == 0 else { throw SocketError("connect", outcome) }
}

private func waitUntilReady(_ connection: Int32, _ events: Int32) throws {
    var wish = pollfd(fd: connection, events: Int16(events), revents: 0)
    while poll(&wish, 1, -1) < 0 {
        guard errno == EINTR else { throw SocketError("poll", errno) }
    }
}
