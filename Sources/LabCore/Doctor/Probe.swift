// Tries of what the kernel permits here: each makes its sockets, uses them once, and closes them.
import Course
import Sockets

enum Probe {
    static func canBind(_ host: String) -> Bool {
        guard let address = try? SocketAddress(host: host, port: 0) else { return false }
        return withSocket(address.family, SOCK_STREAM) { bound($0, to: host, 0) } ?? false
    }

    /// A datagram to everybody on the loopback net, heard by ourselves.
    static func broadcast() -> Finding {
        let subject = say("broadcast", "广播")
        let arrived = withReceiver("0.0.0.0") { receiver, port in
            withSocket(AF_INET, SOCK_DGRAM) { sender in
                var yes: Int32 = 1
                setsockopt(sender, SOL_SOCKET, SO_BROADCAST, &yes, socklen_t(MemoryLayout<Int32>.size))
                return send(sender, to: "127.255.255.255", port) && hears(receiver)
            } ?? false
        }
        if arrived { return Finding(subject, .good, "127.255.255.255") }
        return Finding(
            subject, .limited,
            say("nothing arrives by way of 127.255.255.255", "经 127.255.255.255 收不到数据报"),
            advice: say(
                "The broadcast checks of lesson 03 are skipped. A sandbox (gVisor, WSL 1) or a firewall on lo is the usual "
                    + "reason.",
                "第 03 课的广播检查会跳过。通常是沙箱（gVisor、WSL 1）或 lo 上的防火墙造成的。"))
    }

    static func multicast() -> Finding {
        let subject = say("multicast", "组播")
        let group = "239.255.77.77"
        let arrived = withReceiver("0.0.0.0") { receiver, port in
            var membership = ip_mreq()
            inet_pton(AF_INET, group, &membership.imr_multiaddr)
            inet_pton(AF_INET, "127.0.0.1", &membership.imr_interface)
            let size = socklen_t(MemoryLayout<ip_mreq>.size)
            guard setsockopt(receiver, Int32(IPPROTO_IP), IP_ADD_MEMBERSHIP, &membership, size) == 0 else {
                return false
            }
            return withSocket(AF_INET, SOCK_DGRAM) { sender in
                var interface = in_addr()
                inet_pton(AF_INET, "127.0.0.1", &interface)
                let length = socklen_t(MemoryLayout<in_addr>.size)
                setsockopt(sender, Int32(IPPROTO_IP), IP_MULTICAST_IF, &interface, length)
                return send(sender, to: group, port) && hears(receiver)
            } ?? false
        }
        if arrived { return Finding(subject, .good, say("\(group) on loopback", "环回上的 \(group)")) }
        return Finding(
            subject, .limited, say("nothing arrives by way of \(group) on loopback", "环回上经 \(group) 收不到数据报"),
            advice: say(
                "The multicast checks of lesson 03 are skipped. sudo ip link set lo multicast on",
                "第 03 课的组播检查会跳过。sudo ip link set lo multicast on"))
    }

    static func rawSockets() -> Finding {
        let subject = say("raw sockets", "原始套接字")
        let raw = permission(SOCK_RAW)
        if raw == 0 { return Finding(subject, .good, say("permitted", "允许")) }
        let capability = "sudo setcap cap_net_raw+ep .build/debug/Lesson15"
        if permission(SOCK_DGRAM) == 0 {
            return Finding(
                subject, .limited, say("only for ping", "只能用于 ping"),
                advice: say(
                    "The check trace-loopback of lesson 15 is skipped. Run that lesson as root, or: \(capability) (again "
                        + "after each build).",
                    "第 15 课的检查 trace-loopback 会跳过。那一课请用 root 运行，或者：\(capability)（每次编译后都要再做）。"))
        }
        return Finding(
            subject, .limited, errorText(raw),
            advice: say(
                "The checks ping-loopback and trace-loopback of lesson 15 are skipped. Run that lesson as root, or: "
                    + "\(capability) (again after each build). For ping alone: sudo sysctl "
                    + "net.ipv4.ping_group_range=\"0 2147483647\".",
                "第 15 课的检查 ping-loopback 和 trace-loopback 会跳过。那一课请用 root 运行，或者：\(capability)"
                    + "（每次编译后都要再做）。只要 ping 的话：sudo sysctl net.ipv4.ping_group_range=\"0 2147483647\"。"))
    }

    /// 0 if a socket for ICMP of this type can be made, else errno.
    private static func permission(_ type: Int32) -> Int32 {
        let descriptor = socket(AF_INET, type, Int32(IPPROTO_ICMP))
        let code = errno
        guard descriptor >= 0 else { return code }
        close(descriptor)
        return 0
    }

    // MARK: Pieces

    private static func withSocket<Result>(_ family: Int32, _ type: Int32, _ body: (Int32) -> Result) -> Result? {
        let descriptor = socket(family, type, 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        return body(descriptor)
    }

    private static func withReceiver(_ host: String, _ body: (_ receiver: Int32, _ port: UInt16) -> Bool) -> Bool {
        withSocket(AF_INET, SOCK_DGRAM) { receiver in
            guard bound(receiver, to: host, 0), let local = try? SocketAddress.local(of: receiver) else { return false }
            return body(receiver, local.port)
        } ?? false
    }

    private static func bound(_ descriptor: Int32, to host: String, _ port: UInt16) -> Bool {
        guard let address = try? SocketAddress(host: host, port: port) else { return false }
        return address.withSockaddr { bind(descriptor, $0, $1) } == 0
    }

    private static func send(_ descriptor: Int32, to host: String, _ port: UInt16) -> Bool {
        guard let address = try? SocketAddress(host: host, port: port) else { return false }
        return address.withSockaddr { sendto(descriptor, "?", 1, 0, $0, $1) } == 1
    }

    /// On loopback a datagram is there at once, or never.
    private static func hears(_ descriptor: Int32) -> Bool {
        var event = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&event, 1, 500) == 1
    }
}
