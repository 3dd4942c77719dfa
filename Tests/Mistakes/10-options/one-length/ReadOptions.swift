import Course
import Sockets

func readOptions(_ socket: Int32) throws -> SocketState {
    let reader = OptionReader(socket)
    let sendBuffer: Int32 = try reader.read(SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF")
    let receiveBuffer: Int32 = try reader.read(SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF")
    let reusePort: Int32 = try reader.read(SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT")
    let listens: Int32 = try reader.read(SOL_SOCKET, SO_ACCEPTCONN, "SO_ACCEPTCONN")

    let lingering: linger = try reader.read(SOL_SOCKET, SO_LINGER, "SO_LINGER")
    let receiveTimeout: timeval = try reader.read(SOL_SOCKET, SO_RCVTIMEO, "SO_RCVTIMEO")
    let sendTimeout: timeval = try reader.read(SOL_SOCKET, SO_SNDTIMEO, "SO_SNDTIMEO")

    var noDelay: Bool?
    do {
        let value: Int32 = try reader.read(Int32(IPPROTO_TCP), TCP_NODELAY, "TCP_NODELAY")
        noDelay = value != 0
    } catch let error as SocketError {
        guard error.code == ENOPROTOOPT || error.code == EOPNOTSUPP else { throw error }
    }

    var keepAlive = KeepAlive.off
    let isKeptAlive: Int32 = try reader.read(SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE")
    if isKeptAlive != 0 {
        keepAlive = .on(
            idle: try reader.read(Int32(IPPROTO_TCP), TCP_KEEPIDLE, "TCP_KEEPIDLE"),
            interval: try reader.read(Int32(IPPROTO_TCP), TCP_KEEPINTVL, "TCP_KEEPINTVL"),
            count: try reader.read(Int32(IPPROTO_TCP), TCP_KEEPCNT, "TCP_KEEPCNT"))
    }

    let flags = try check("fcntl(F_GETFL)", fcntl(socket, F_GETFL))
    return SocketState(
        sendBuffer: sendBuffer,
        receiveBuffer: receiveBuffer,
        noDelay: noDelay,
        keepAlive: keepAlive,
        linger: lingering.l_onoff != 0 ? .seconds(lingering.l_linger) : .off,
        reusePort: reusePort != 0,
        receiveTimeout: inMilliseconds(receiveTimeout),
        sendTimeout: inMilliseconds(sendTimeout),
        isListening: listens != 0,
        isNonblocking: flags & O_NONBLOCK != 0)
}

private func inMilliseconds(_ time: timeval) -> Int { Int(time.tv_sec) * 1000 + Int(time.tv_usec) / 1000 }

/// Reads options into a piece of memory that is large enough for each of them.
private final class OptionReader {
    private let socket: Int32
    private let memory = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 16)
    private var length = socklen_t(64)

    init(_ socket: Int32) { self.socket = socket }

    deinit { memory.deallocate() }

    func read<Value>(_ level: Int32, _ option: Int32, _ name: String) throws -> Value {
        memset(memory, 0, 64)
        if getsockopt(socket, level, option, memory, &length) < 0 {
            throw SocketError("getsockopt(\(name))", errno)
        }
        return memory.load(as: Value.self)
    }
}
