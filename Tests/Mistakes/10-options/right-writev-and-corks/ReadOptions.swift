import Course
import Sockets

func readOptions(_ socket: Int32) throws -> SocketState {
    func number(_ level: Int32, _ option: Int32, _ name: String) throws -> Int32 {
        var value: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(socket, level, option, &value, &size) == 0 else {
            throw SocketError("getsockopt " + name, errno)
        }
        return value
    }
    func time(_ option: Int32, _ name: String) throws -> Int {
        var value = timeval()
        var size = socklen_t(MemoryLayout<timeval>.size)
        guard getsockopt(socket, SOL_SOCKET, option, &value, &size) == 0 else {
            throw SocketError("getsockopt " + name, errno)
        }
        return Int(value.tv_sec) * 1000 + Int(value.tv_usec) / 1000
    }
    let sendBuffer = try number(SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF")
    var type: Int32 = 0
    var protocolNumber: Int32 = 0
    type = try number(SOL_SOCKET, SO_TYPE, "SO_TYPE")
    protocolNumber = try number(SOL_SOCKET, SO_PROTOCOL, "SO_PROTOCOL")
    let isTCP = type == SOCK_STREAM && protocolNumber == IPPROTO_TCP
    var pair = linger()
    var size = socklen_t(MemoryLayout<linger>.size)
    getsockopt(socket, SOL_SOCKET, SO_LINGER, &pair, &size)
    var keepAlive = KeepAlive.off
    if isTCP, try number(SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE") == 1 {
        keepAlive = .on(
            idle: try number(IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE"),
            interval: try number(IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL"),
            count: try number(IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT"))
    }
    return SocketState(
        sendBuffer: sendBuffer, receiveBuffer: try number(SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF"),
        noDelay: isTCP ? try number(IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY") == 1 : nil, keepAlive: keepAlive,
        linger: pair.l_onoff != 0 ? .seconds(pair.l_linger) : .off,
        reusePort: try number(SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT") == 1,
        receiveTimeout: try time(SO_RCVTIMEO, "SO_RCVTIMEO"), sendTimeout: try time(SO_SNDTIMEO, "SO_SNDTIMEO"),
        isListening: try number(SOL_SOCKET, SO_ACCEPTCONN, "SO_ACCEPTCONN") == 1,
        isNonblocking: fcntl(socket, F_GETFL) & O_NONBLOCK == O_NONBLOCK)
}
