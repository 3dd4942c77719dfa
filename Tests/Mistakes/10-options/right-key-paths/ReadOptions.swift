import Course
import Sockets

/// Every option is read into the same 16 bytes, as many of them as the kernel writes, and taken apart from there.
private struct Words {
    private var storage: (UInt64, UInt64) = (0, 0)
    let code: Int32
    let name: String

    init(_ socket: Int32, _ level: Int32, _ option: Int32, _ name: String) {
        self.name = name
        var size = socklen_t(MemoryLayout.size(ofValue: storage))
        code = withUnsafeMutableBytes(of: &storage) { room in
            getsockopt(socket, level, option, room.baseAddress, &size) == 0 ? 0 : errno
        }
    }

    func orThrow() throws -> Words {
        if code != 0 { throw SocketError("getsockopt(\(name))", code) }
        return self
    }

    private func load<Value>(_ offset: Int, _ type: Value.Type) -> Value {
        withUnsafeBytes(of: storage) { $0.loadUnaligned(fromByteOffset: offset, as: type) }
    }

    var first: Int32 { load(0, Int32.self) }
    var second: Int32 { load(4, Int32.self) }
    var isOn: Bool { first != 0 }
    var milliseconds: Milliseconds {
        let time = load(0, timeval.self)
        return time.tv_sec * 1_000 + time.tv_usec / 1_000
    }
}

func readOptions(_ socket: Int32) throws -> SocketState {
    func ask(_ option: Int32, _ name: String, level: Int32 = SOL_SOCKET) throws -> Words {
        try Words(socket, level, option, name).orThrow()
    }
    func ofTCP(_ option: Int32, _ name: String) throws -> Words { try ask(option, name, level: Int32(IPPROTO_TCP)) }

    // Which protocol is it? Only of TCP's sockets are TCP's options asked.
    let isTCP = try ask(SO_PROTOCOL, "SO_PROTOCOL").first == Int32(IPPROTO_TCP)
    let pair = try ask(SO_LINGER, "SO_LINGER")
    let keepsAlive = try ask(SO_KEEPALIVE, "SO_KEEPALIVE").isOn

    let flags = fcntl(socket, F_GETFL, 0)
    guard flags != -1 else { throw SocketError("fcntl(F_GETFL)", errno) }
    return SocketState(
        sendBuffer: try ask(SO_SNDBUF, "SO_SNDBUF").first,
        receiveBuffer: try ask(SO_RCVBUF, "SO_RCVBUF").first,
        noDelay: isTCP ? try ofTCP(TCP_NODELAY, "TCP_NODELAY").isOn : nil,
        keepAlive: keepsAlive
            ? .on(
                idle: try ofTCP(TCP_KEEPIDLE, "TCP_KEEPIDLE").first,
                interval: try ofTCP(TCP_KEEPINTVL, "TCP_KEEPINTVL").first,
                count: try ofTCP(TCP_KEEPCNT, "TCP_KEEPCNT").first)
            : .off,
        linger: pair.isOn ? .seconds(pair.second) : .off,
        reusePort: try ask(SO_REUSEPORT, "SO_REUSEPORT").isOn,
        receiveTimeout: try ask(SO_RCVTIMEO, "SO_RCVTIMEO").milliseconds,
        sendTimeout: try ask(SO_SNDTIMEO, "SO_SNDTIMEO").milliseconds,
        isListening: try ask(SO_ACCEPTCONN, "SO_ACCEPTCONN").isOn,
        isNonblocking: (flags & O_NONBLOCK) == O_NONBLOCK)
}
