// The names of what calls are told by numbers: options, flags, requests, signals.
import Course
import Sockets

extension Call {
    /// `SO_REUSEADDR`; numbers where the name is not known.
    public var optionName: String {
        let level = Int32(truncatingIfNeeded: arguments.0)
        let option = Int32(truncatingIfNeeded: arguments.1)
        return Call.options.first { $0.level == level && $0.option == option }?.name ?? "\(level), \(option)"
    }

    /// What the option was set to, if the tap kept all of it: a number, on and seconds (`SO_LINGER`), or a time.
    var optionValue: String? {
        guard length == data.count else { return nil }
        func read<Content>(_ type: Content.Type) -> Content? {
            guard data.count == MemoryLayout<Content>.size else { return nil }
            return data.withUnsafeBytes { $0.loadUnaligned(as: type) }
        }
        switch optionName {
        case "SO_LINGER": return read(linger.self).map { $0.l_onoff == 0 ? "off" : "on \($0.l_linger) s" }
        case "SO_RCVTIMEO", "SO_SNDTIMEO":
            return read(timeval.self).map { "\(Int($0.tv_sec) * 1000 + Int($0.tv_usec) / 1000) ms" }
        default: return read(Int32.self).map { "\($0)" }
        }
    }

    var fcntlText: String {
        let command = Int32(truncatingIfNeeded: arguments.0)
        let argument = Int32(truncatingIfNeeded: arguments.1)
        switch command {
        case F_GETFL: return "F_GETFL"
        case F_GETFD: return "F_GETFD"
        case F_SETFL: return "F_SETFL, \(argument == 0 ? "0" : Call.flags(argument, Call.fileFlags))"
        case F_SETFD: return "F_SETFD, \(argument == FD_CLOEXEC ? "FD_CLOEXEC" : "\(argument)")"
        case F_DUPFD: return "F_DUPFD, \(argument)"
        case F_DUPFD_CLOEXEC: return "F_DUPFD_CLOEXEC, \(argument)"
        default: return "\(command)"
        }
    }

    /// An open file's bits that matter to sockets, open(2). O_RDONLY is 0.
    static let fileFlags: [(bit: Int32, name: String)] = [
        (O_WRONLY, "O_WRONLY"), (O_RDWR, "O_RDWR"), (O_APPEND, "O_APPEND"), (O_NONBLOCK, "O_NONBLOCK"),
    ]

    static let messageFlags: [(bit: Int32, name: String)] =
        [
            (MSG_DONTWAIT, "MSG_DONTWAIT"), (MSG_NOSIGNAL, "MSG_NOSIGNAL"), (MSG_PEEK, "MSG_PEEK"),
            (MSG_WAITALL, "MSG_WAITALL"), (MSG_TRUNC, "MSG_TRUNC"),
        ] + systemMessageFlags

    static let options: [(level: Int32, option: Int32, name: String)] =
        [
            (SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR"), (SOL_SOCKET, SO_BROADCAST, "SO_BROADCAST"),
            (SOL_SOCKET, SO_ERROR, "SO_ERROR"), (SOL_SOCKET, SO_TYPE, "SO_TYPE"),
            (SOL_SOCKET, SO_RCVTIMEO, "SO_RCVTIMEO"), (SOL_SOCKET, SO_SNDTIMEO, "SO_SNDTIMEO"),
            (SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF"), (SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF"),
            (SOL_SOCKET, SO_LINGER, "SO_LINGER"), (SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE"),
            (SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT"), (SOL_SOCKET, SO_ACCEPTCONN, "SO_ACCEPTCONN"),
            (SOL_SOCKET, SO_DEBUG, "SO_DEBUG"), (SOL_SOCKET, SO_DONTROUTE, "SO_DONTROUTE"),
            (IPPROTO_TCP, Int32(TCP_NODELAY), "TCP_NODELAY"),
            (IPPROTO_TCP, Int32(TCP_MAXSEG), "TCP_MAXSEG"), (IPPROTO_TCP, Int32(TCP_KEEPINTVL), "TCP_KEEPINTVL"),
            (IPPROTO_TCP, Int32(TCP_KEEPCNT), "TCP_KEEPCNT"), (IPPROTO_IPV6, Int32(IPV6_V6ONLY), "IPV6_V6ONLY"),
            (IPPROTO_IP, Int32(IP_TTL), "IP_TTL"), (IPPROTO_IP, Int32(IP_MULTICAST_IF), "IP_MULTICAST_IF"),
            (IPPROTO_IP, Int32(IP_MULTICAST_TTL), "IP_MULTICAST_TTL"),
            (IPPROTO_IP, Int32(IP_MULTICAST_LOOP), "IP_MULTICAST_LOOP"),
            (IPPROTO_IP, Int32(IP_ADD_MEMBERSHIP), "IP_ADD_MEMBERSHIP"),
            (IPPROTO_IP, Int32(IP_DROP_MEMBERSHIP), "IP_DROP_MEMBERSHIP"),
        ] + systemOptions
}

/// `SIGPIPE`; the signals of lessons, and those that end a process.
public func signalName(_ number: Int32) -> String {
    let names: [(Int32, String)] = [
        (SIGPIPE, "SIGPIPE"), (SIGSEGV, "SIGSEGV"), (SIGILL, "SIGILL"), (SIGTRAP, "SIGTRAP"), (SIGABRT, "SIGABRT"),
        (SIGKILL, "SIGKILL"), (SIGTERM, "SIGTERM"), (SIGXCPU, "SIGXCPU"), (SIGBUS, "SIGBUS"), (SIGFPE, "SIGFPE"),
        (SIGXFSZ, "SIGXFSZ"), (SIGHUP, "SIGHUP"), (SIGINT, "SIGINT"), (SIGCHLD, "SIGCHLD"), (SIGALRM, "SIGALRM"),
        (SIGUSR1, "SIGUSR1"), (SIGUSR2, "SIGUSR2"), (SIGSTOP, "SIGSTOP"), (SIGCONT, "SIGCONT"), (SIGQUIT, "SIGQUIT"),
        (SIGURG, "SIGURG"), (SIGIO, "SIGIO"), (0, "0"),
    ]
    return names.first { $0.0 == number }?.1 ?? say("signal \(number)", "信号 \(number)")
}
