import Course
import Sockets

func readOptions(_ socket: Int32) throws -> SocketState {
    /// What is written into 64 bytes of room, as numbers of 32 bits.
    func ask(_ name: String, _ level: Int32, _ number: Int32) throws -> (words: [Int32], bytes: [UInt8]) {
        var room = [UInt8](repeating: 0, count: 64)
        var size = socklen_t(room.count)
        guard getsockopt(socket, level, number, &room, &size) == 0 else {
            throw SocketError("getsockopt(\(name))", errno)
        }
        room.removeSubrange(Int(size)...)
        let words = stride(from: 0, to: room.count - 3, by: 4).map { at in
            room.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: Int32.self) }
        }
        return (words, room)
    }
    func word(_ name: String, _ level: Int32, _ number: Int32) throws -> Int32 { try ask(name, level, number).words[0] }
    func time(_ name: String, _ number: Int32) throws -> Milliseconds {
        let bytes = try ask(name, SOL_SOCKET, number).bytes
        let time = bytes.withUnsafeBytes { $0.loadUnaligned(as: timeval.self) }
        return time.tv_sec * 1000 + time.tv_usec / 1000
    }

    var noDelay: Bool?
    do { noDelay = try word("TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY) != 0 } catch let error as SocketError {
        switch error.code {
        case EOPNOTSUPP, ENOPROTOOPT: noDelay = nil
        default: throw error
        }
    }
    var keepAlive = KeepAlive.off
    if try word("SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE) != 0 {
        keepAlive = .on(
            idle: try word("TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE),
            interval: try word("TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL),
            count: try word("TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT))
    }
    let lingering = try ask("SO_LINGER", SOL_SOCKET, SO_LINGER).words
    let flags = try check("fcntl(F_GETFL)", fcntl(socket, F_GETFL))
    return SocketState(
        sendBuffer: try word("SO_SNDBUF", SOL_SOCKET, SO_SNDBUF),
        receiveBuffer: try word("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF),
        noDelay: noDelay,
        keepAlive: keepAlive,
        linger: lingering[0] != 0 ? .seconds(lingering[1]) : .off,
        reusePort: try word("SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT) != 0,
        receiveTimeout: try time("SO_RCVTIMEO", SO_RCVTIMEO),
        sendTimeout: try time("SO_SNDTIMEO", SO_SNDTIMEO),
        isListening: try word("SO_ACCEPTCONN", SOL_SOCKET, SO_ACCEPTCONN) != 0,
        isNonblocking: (flags & O_NONBLOCK) == O_NONBLOCK)
}
