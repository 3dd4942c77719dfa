// A call as a line of text, in the notation of strace(1): `recv(4, …, 1024) = 5 "hello"`.
import Course
import Sockets

extension Call {
    /// What was called with what: `recv(4, …)`.
    public var callText: String { "\(name)(\(argumentsText))" }

    /// The call with its outcome; `now` tells how long a blocked one has waited (ns).
    public func text(now: UInt64) -> String {
        guard returned != nil else {
            guard now > entered + 100_000_000 else { return callText + " ⋯" }
            return callText
                + say(
                    " ⋯ still blocked after \(seconds(now))", " ⋯ 阻塞了 \(seconds(now))，仍未返回")
        }
        var text = callText + " = " + resultText
        if isReceive && result > 0 { text += " " + quoted(data, total: Int(result)) }
        if let found, !found.host.isEmpty { text += note(found) }
        if perturbed { text += say("   [made by the lab]", "   [实验环境制造]") }
        return text
    }

    private var argumentsText: String {
        switch name {
        case "socket", "socketpair": return "\(familyName), \(typeName)"
        case "bind", "connect": return "\(descriptor), \(given.map(\.description) ?? "?")"
        case "listen": return "\(descriptor), \(arguments.0)"
        case "send", "write", "sendmsg", "writev": return "\(descriptor), \(quoted(data, total: length)), \(length)"
        case "sendto":
            let to = given.map { ", → \($0)" } ?? ""
            return "\(descriptor), \(quoted(data, total: length)), \(length)\(to)"
        case "recv", "recvfrom", "recvmsg", "read", "readv": return "\(descriptor), …, \(length)"
        case "shutdown": return "\(descriptor), \(["SHUT_RD", "SHUT_WR", "SHUT_RDWR"][safe: Int(arguments.0)] ?? "?")"
        case "setsockopt", "getsockopt": return "\(descriptor), \(optionName)"
        case "select", "pselect", "poll", "ppoll", "epoll_wait", "epoll_pwait":
            let wait = arguments.1 < 0 ? say("no timeout", "不限时") : "\(arguments.1) ms"
            return (descriptor >= 0 ? "\(descriptor), " : "") + wait
        case "sleep", "usleep", "nanosleep": return "\(arguments.0) ms"
        case "fork", "wait", "getaddrinfo", "pthread_create": return ""
        case "waitpid": return "\(arguments.0)"
        case "kill": return "\(arguments.0), \(arguments.1)"
        case "signal", "sigaction": return "\(arguments.0)"
        default: return descriptor >= 0 ? "\(descriptor)" : ""
        }
    }

    private var resultText: String {
        result == -1 && error != 0 ? "-1 \(errorName(error))" : "\(result)"
    }

    private func note(_ found: SocketAddress) -> String {
        switch name {
        case "bind", "listen": return found == given ? "" : say("   at \(found)", "   地址 \(found)")
        case "accept", "accept4", "recvfrom", "recvmsg": return say("   from \(found)", "   来自 \(found)")
        default: return ""
        }
    }

    private func seconds(_ now: UInt64) -> String {
        let seconds = Double(now - min(entered, now)) / 1_000_000_000
        return String(Int(seconds * 10) / 10) + "." + String(Int(seconds * 10) % 10) + " s"
    }

    private var familyName: String {
        switch Int32(arguments.0) {
        case AF_INET: return "AF_INET"
        case AF_INET6: return "AF_INET6"
        case AF_UNIX: return "AF_UNIX"
        default: return "\(arguments.0)"
        }
    }

    private var typeName: String {
        switch Int32(arguments.1 & 0xf) {
        case SOCK_STREAM: return "SOCK_STREAM"
        case SOCK_DGRAM: return "SOCK_DGRAM"
        case SOCK_RAW: return "SOCK_RAW"
        default: return "\(arguments.1)"
        }
    }

    private var optionName: String {
        let level = Int32(arguments.0)
        let option = Int32(arguments.1)
        guard level == SOL_SOCKET else { return "\(level), \(option)" }
        let names: [(Int32, String)] = [
            (SO_REUSEADDR, "SO_REUSEADDR"), (SO_BROADCAST, "SO_BROADCAST"), (SO_ERROR, "SO_ERROR"),
            (SO_TYPE, "SO_TYPE"), (SO_RCVTIMEO, "SO_RCVTIMEO"), (SO_SNDTIMEO, "SO_SNDTIMEO"),
            (SO_RCVBUF, "SO_RCVBUF"), (SO_SNDBUF, "SO_SNDBUF"), (SO_LINGER, "SO_LINGER"),
            (SO_KEEPALIVE, "SO_KEEPALIVE"), (SO_REUSEPORT, "SO_REUSEPORT"),
        ]
        return names.first { $0.0 == option }?.1 ?? "\(option)"
    }
}

extension Array {
    fileprivate subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}

/// The bytes as text in quotes, others than printable ASCII as in Swift and C: `"hello\r\n\xff"…`.
///
/// - Parameter total: how many there were; `…` stands for those that are not given.
public func quoted(_ bytes: [UInt8], total: Int? = nil, most: Int = 24) -> String {
    var text = ""
    for byte in bytes.prefix(most) {
        switch byte {
        case UInt8(ascii: "\n"): text += "\\n"
        case UInt8(ascii: "\r"): text += "\\r"
        case UInt8(ascii: "\t"): text += "\\t"
        case UInt8(ascii: "\""): text += "\\\""
        case UInt8(ascii: "\\"): text += "\\\\"
        case 0x20...0x7e: text.unicodeScalars.append(Unicode.Scalar(byte))
        default: text += "\\x" + hex(byte)
        }
    }
    return "\"\(text)\"" + ((total ?? bytes.count) > min(bytes.count, most) ? "…" : "")
}

/// `0f`
public func hex(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }
