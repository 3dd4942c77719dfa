import Dispatch
import Sockets

/// A connection has two directions, and they are independent. This client uses a thread for each: one that sends everything
/// first and only then receives waits for ever as soon as message and answer outgrow the buffers between the two
/// (the server cannot send more until we read, and does not read more until it has sent).
func client(message: [UInt8], host: String, port: UInt16) throws -> [UInt8] {
    let address = try SocketAddress(host: host, port: port)
    let connection = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(connection) }
    try connectUninterrupted(connection, address)

    // Written by the sender before it is done, read after that: never by both at once.
    nonisolated(unsafe) var failure: (any Error)?
    let sender = DispatchGroup()
    DispatchQueue.global().async(group: sender) {
        do {
            try sendAll(connection, message)
            // The half-close: the server's recv returns 0 after our last byte, and it can still answer.
            try check("shutdown", shutdown(connection, SHUT_WR))
        } catch { failure = error }
    }
    do {
        let answer = try receiveToEnd(connection)
        sender.wait()
        if let failure { throw failure }
        return answer
    } catch {
        // Part of an answer is not an answer. Wake the sender, and let it go before its descriptor is closed.
        shutdown(connection, SHUT_RDWR)
        sender.wait()
        throw error
    }
}

/// connect(2) is the one call that must not simply be made again after EINTR: the handshake goes on without us, and POSIX
/// lets a second connect fail with EALREADY or EISCONN. Writability says that it is over, SO_ERROR how it went.
func connectUninterrupted(_ connection: Int32, _ address: SocketAddress) throws {
    if address.withSockaddr({ connect(connection, $0, $1) }) == 0 { return }
    guard errno == EINTR else { throw SocketError("connect", errno) }
    var waiting = pollfd(fd: connection, events: Int16(POLLOUT), revents: 0)
    while poll(&waiting, 1, -1) < 0 {
        if errno != EINTR { throw SocketError("poll", errno) }
    }
    var outcome: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    try check("getsockopt", getsockopt(connection, SOL_SOCKET, SO_ERROR, &outcome, &length))
    if outcome != 0 { throw SocketError("connect", outcome) }
}

/// Everything until the peer ends its side.
func receiveToEnd(_ socket: Int32) throws -> [UInt8] {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        // Some servers keep the connection open: when nothing has come for a while, that was the answer.
        var readable = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        let ready = poll(&readable, 1, 200)
        if ready < 0 && errno == EINTR { continue }
        if ready == 0 { return bytes }
        let count = recv(socket, &buffer, buffer.count, 0)
        if count == 0 { return bytes }
        if count < 0 {
            if errno == EINTR { continue }
            throw SocketError("recv", errno)
        }
        bytes += buffer[..<count]
    }
}
