import Course
import Sockets

/// A type that an option's value can have in the kernel.
protocol KernelValue {
    associatedtype Kernel
    var kernel: Kernel { get }
}

extension Int32: KernelValue { var kernel: Int32 { self } }
extension Bool: KernelValue { var kernel: Int32 { self ? 1 : 0 } }
extension Linger: KernelValue {
    var kernel: linger {
        switch self {
        case .off: linger(l_onoff: 0, l_linger: 0)
        case .seconds(let time): linger(l_onoff: 1, l_linger: time)
        }
    }
}
struct Pause: KernelValue {
    var milliseconds: Milliseconds
    var kernel: timeval { timeval(tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000) }
}

enum Option: String {
    case SO_SNDBUF, SO_RCVBUF, SO_REUSEADDR, SO_REUSEPORT, SO_KEEPALIVE, SO_LINGER, SO_RCVTIMEO, SO_SNDTIMEO,
        SO_ACCEPTCONN
    case TCP_NODELAY, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT

    var level: Int32 { rawValue.hasPrefix("TCP") ? IPPROTO_TCP : SOL_SOCKET }
    var number: Int32 {
        switch self {
        case .SO_SNDBUF: Glibc.SO_SNDBUF
        case .SO_RCVBUF: Glibc.SO_RCVBUF
        case .SO_REUSEADDR: Glibc.SO_REUSEADDR
        case .SO_REUSEPORT: Glibc.SO_REUSEPORT
        case .SO_KEEPALIVE: Glibc.SO_KEEPALIVE
        case .SO_LINGER: Glibc.SO_LINGER
        case .SO_RCVTIMEO: Glibc.SO_RCVTIMEO
        case .SO_SNDTIMEO: Glibc.SO_SNDTIMEO
        case .SO_ACCEPTCONN: Glibc.SO_ACCEPTCONN
        case .TCP_NODELAY: Glibc.TCP_NODELAY
        case .TCP_KEEPIDLE: Glibc.TCP_KEEPIDLE
        case .TCP_KEEPINTVL: Glibc.TCP_KEEPINTVL
        case .TCP_KEEPCNT: Glibc.TCP_KEEPCNT
        }
    }

    func set<Content: KernelValue>(_ socket: Int32, _ content: Content?) throws {
        guard let content else { return }
        var value = content.kernel
        let size = socklen_t(MemoryLayout<Content.Kernel>.size)
        if setsockopt(socket, level, number, &value, size) != 0 { throw SocketError("setsockopt(\(rawValue))", errno) }
    }

    func get<Content>(_ socket: Int32, as empty: Content) throws -> Content {
        var value = empty
        var size = socklen_t(MemoryLayout<Content>.size)
        if getsockopt(socket, level, number, &value, &size) != 0 { throw SocketError("getsockopt(\(rawValue))", errno) }
        return value
    }

    func isOn(_ socket: Int32) throws -> Bool { try get(socket, as: Int32(0)) != 0 }
}

func configure(_ socket: Int32, _ options: SocketOptions) throws {
    try Option.SO_LINGER.set(socket, options.linger)
    try Option.SO_RCVTIMEO.set(socket, options.receiveTimeout.map(Pause.init))
    try Option.SO_SNDTIMEO.set(socket, options.sendTimeout.map(Pause.init))
    try Option.SO_REUSEPORT.set(socket, options.reusePort)
    try Option.SO_RCVBUF.set(socket, options.receiveBuffer)
    try Option.SO_SNDBUF.set(socket, options.sendBuffer)
    try Option.TCP_NODELAY.set(socket, options.noDelay)
    switch options.keepAlive {
    case .none: break
    case .some(.off): try Option.SO_KEEPALIVE.set(socket, false)
    case .some(.on(let idle, let interval, let count)):
        try Option.TCP_KEEPCNT.set(socket, count)
        try Option.TCP_KEEPINTVL.set(socket, interval)
        try Option.TCP_KEEPIDLE.set(socket, idle)
        try Option.SO_KEEPALIVE.set(socket, true)
    }
}
