import Course
import Sockets

func readOptions(_ socket: Int32) throws -> SocketState {
    let probe = Probe(socket: socket)
    let sendBuffer = try probe.number(SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF")
    let receiveBuffer = try probe.number(SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF")
    return SocketState(
        sendBuffer: sendBuffer,
        receiveBuffer: receiveBuffer,
        noDelay: try probe.noDelay(),
        keepAlive: try probe.keepAlive(),
        linger: try probe.linger(),
        reusePort: try probe.number(SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT") != 0,
        receiveTimeout: try probe.time(SO_RCVTIMEO, "SO_RCVTIMEO"),
        sendTimeout: try probe.time(SO_SNDTIMEO, "SO_SNDTIMEO"),
        isListening: try probe.isListening(),
        isNonblocking: try probe.flags() & O_NONBLOCK == O_NONBLOCK)
}

private struct Probe {
    let socket: Int32

    /// The bytes of an option, as many as the kernel has written.
    private func bytes(_ level: Int32, _ option: Int32, _ name: String, room: Int) throws -> [UInt8] {
        var size = socklen_t(room)
        var bytes = [UInt8](repeating: 0, count: room)
        guard getsockopt(socket, level, option, &bytes, &size) == 0 else {
            throw SocketError("getsockopt(\(name))", errno)
        }
        return bytes
    }

    func number(_ level: Int32, _ option: Int32, _ name: String) throws -> Int32 {
        try bytes(level, option, name, room: 4).withUnsafeBytes { $0.loadUnaligned(as: Int32.self) }
    }

    func time(_ option: Int32, _ name: String) throws -> Milliseconds {
        let time = try bytes(SOL_SOCKET, option, name, room: MemoryLayout<timeval>.size).withUnsafeBytes {
            $0.loadUnaligned(as: timeval.self)
        }
        return time.tv_sec * 1000 + time.tv_usec / 1000
    }

    func linger() throws -> Linger {
        let pair = try bytes(SOL_SOCKET, SO_LINGER, "SO_LINGER", room: 8).withUnsafeBytes {
            (isOn: $0.loadUnaligned(as: Int32.self), seconds: $0.loadUnaligned(fromByteOffset: 4, as: Int32.self))
        }
        return pair.isOn != 0 ? .seconds(pair.seconds) : .off
    }

    func noDelay() throws -> Bool? {
        do {
            return try number(IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY") != 0
        } catch let error as SocketError where [EOPNOTSUPP, ENOPROTOOPT].contains(error.code) {
            return nil
        }
    }

    func keepAlive() throws -> KeepAlive {
        if try number(SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE") == 0 { return .off }
        return .on(
            idle: try number(IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE"),
            interval: try number(IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL"),
            count: try number(IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT"))
    }

    /// A server's socket has a stream's type and an address with a port of its own, and nobody at the other end.
    func isListening() throws -> Bool {
        guard try number(SOL_SOCKET, SO_TYPE, "SO_TYPE") == Int32(SOCK_STREAM.rawValue) else { return false }
        guard try SocketAddress.local(of: socket).port != 0 else { return false }
        return (try? SocketAddress.peer(of: socket)) == nil
    }

    func flags() throws -> Int32 { try check("fcntl(F_GETFL)", fcntl(socket, F_GETFL)) }
}
