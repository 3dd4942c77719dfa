// The names that only Linux has: tcp(7), socket(7), epoll_ctl(2), ioctl_list(2).
#if os(Linux)
import Sockets

extension Call {
    static let systemOptions: [(level: Int32, option: Int32, name: String)] = [
        (SOL_SOCKET, SO_PEERCRED, "SO_PEERCRED"), (SOL_SOCKET, SO_PASSCRED, "SO_PASSCRED"),
        (IPPROTO_TCP, Int32(TCP_KEEPIDLE), "TCP_KEEPIDLE"), (IPPROTO_TCP, Int32(TCP_CORK), "TCP_CORK"),
        (IPPROTO_TCP, Int32(TCP_QUICKACK), "TCP_QUICKACK"), (IPPROTO_TCP, Int32(TCP_INFO), "TCP_INFO"),
        (IPPROTO_TCP, Int32(TCP_USER_TIMEOUT), "TCP_USER_TIMEOUT"), (IPPROTO_TCP, Int32(TCP_SYNCNT), "TCP_SYNCNT"),
    ]

    /// A send that keeps its bytes back until the next one: MSG_MORE, send(2).
    public var saysMore: Bool { ["send", "sendto", "sendmsg"].contains(name) && arguments.0 & 0x8000 != 0 }

    static let systemMessageFlags: [(bit: Int32, name: String)] = [
        (MSG_MORE as Int32, "MSG_MORE"), (MSG_CMSG_CLOEXEC as Int32, "MSG_CMSG_CLOEXEC"),
    ]

    var requestName: String {
        switch arguments.0 {
        case Int64(FIONREAD): return "FIONREAD"
        case 0x5421: return "FIONBIO"
        default: return "\(arguments.0)"
        }
    }

    /// The operation of `epoll_ctl`.
    var watchText: String {
        ["EPOLL_CTL_ADD", "EPOLL_CTL_DEL", "EPOLL_CTL_MOD"][safe: Int(arguments.0) - 1] ?? "\(arguments.0)"
    }

    var eventNames: String { Call.eventNames(Int32(truncatingIfNeeded: arguments.1)) }

    static func eventNames(_ bits: Int32) -> String {
        let events: [(bit: Int32, name: String)] = [
            (0x1, "EPOLLIN"), (0x2, "EPOLLPRI"), (0x4, "EPOLLOUT"), (0x8, "EPOLLERR"), (0x10, "EPOLLHUP"),
            (0x2000, "EPOLLRDHUP"), (1 << 28, "EPOLLEXCLUSIVE"), (1 << 30, "EPOLLONESHOT"), (.min, "EPOLLET"),
        ]
        return bits == 0 ? "0" : Call.flags(bits, events)
    }
}
#endif
