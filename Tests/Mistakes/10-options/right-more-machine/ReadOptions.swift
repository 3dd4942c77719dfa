import Course
import Sockets

func readOptions(_ socket: Int32) throws -> SocketState {
    func milliseconds(_ option: Option) throws -> Milliseconds {
        let time = try option.get(socket, as: timeval())
        return time.tv_sec * 1000 + time.tv_usec / 1000
    }
    func number(_ option: Option) throws -> Int32 { try option.get(socket, as: 0) }

    let pair = try Option.SO_LINGER.get(socket, as: linger())
    let noDelay = Result { try Option.TCP_NODELAY.isOn(socket) }
    if case .failure(let error as SocketError) = noDelay, error.code != EOPNOTSUPP, error.code != ENOPROTOOPT {
        throw error
    }
    let keepAlive: KeepAlive =
        try Option.SO_KEEPALIVE.isOn(socket)
        ? .on(idle: try number(.TCP_KEEPIDLE), interval: try number(.TCP_KEEPINTVL), count: try number(.TCP_KEEPCNT))
        : .off
    let flags = fcntl(socket, F_GETFL)
    if flags < 0 { throw SocketError("fcntl(F_GETFL)", errno) }
    return SocketState(
        sendBuffer: try number(.SO_SNDBUF), receiveBuffer: try number(.SO_RCVBUF), noDelay: try? noDelay.get(),
        keepAlive: keepAlive, linger: pair.l_onoff == 0 ? .off : .seconds(pair.l_linger),
        reusePort: try Option.SO_REUSEPORT.isOn(socket), receiveTimeout: try milliseconds(.SO_RCVTIMEO),
        sendTimeout: try milliseconds(.SO_SNDTIMEO), isListening: try Option.SO_ACCEPTCONN.isOn(socket),
        isNonblocking: flags & O_NONBLOCK != 0)
}
