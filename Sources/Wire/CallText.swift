// A call as a line of text, in the notation of strace(1): `recv(4, …, 1024) = 5 "hello"`.
import Course
import Sockets

extension Call {
    /// What was called with what: `recv(4, …)`.
    public var callText: String { "\(name)(\(argumentsText))" }

    /// The call with its outcome; `now` tells how long a blocked one has waited (ns).
    public func text(now: UInt64) -> String {
        if returnIsLost { return callText + say(" = ?   [not recorded]", " = ?   [没有记录到]") }
        guard returned != nil else {
            guard now > entered + 100_000_000 else { return callText + " ⋯" }
            return callText
                + say(
                    " ⋯ still blocked after \(seconds(now))", " ⋯ 阻塞了 \(seconds(now))，仍未返回")
        }
        var text = callText + " = " + resultText
        if isReceive && result > 0 { text += " " + quoted(data, total: Int(result)) }
        if let found, !found.host.isEmpty { text += note(found) }
        if !ready.isEmpty {
            let list = ready.map { "\($0.data) \(Call.eventNames(Int32(bitPattern: $0.events)))" }
            text += "   " + (list.prefix(3) + (result > 3 ? ["…"] : [])).joined(separator: ", ")
        }
        if let pendingError { text += "   → \(pendingError == 0 ? "0" : errorName(pendingError))" }
        if perturbed { text += say("   [made by the lab]", "   [实验环境制造]") }
        return text
    }

    /// `{3, 5}, {7}`: readable and writable, the second only if there are any.
    private var setsText: String? {
        guard let selected else { return nil }
        func text(_ set: [Int32]) -> String {
            "{" + (set.prefix(8).map(String.init) + (set.count > 8 ? ["…"] : [])).joined(separator: ", ") + "}"
        }
        return text(selected.readable) + (selected.writable.isEmpty ? "" : ", " + text(selected.writable))
    }

    private var argumentsText: String {
        switch name {
        case "socket", "socketpair": return "\(familyName), \(typeName)"
        case "bind", "connect": return "\(descriptor), \(given.map(\.description) ?? "?")"
        case "listen": return "\(descriptor), \(arguments.0)"
        case "send", "sendmsg", "sendto":
            let to = given.map { ", → \($0)" } ?? ""
            return "\(descriptor), \(quoted(data, total: length)), \(length)\(piecesText)\(flagsText)\(to)"
        case "write", "writev": return "\(descriptor), \(quoted(data, total: length)), \(length)\(piecesText)"
        case "sendfile": return "\(descriptor), …, \(length)"
        case "recv", "recvfrom", "recvmsg": return "\(descriptor), …, \(length)\(flagsText)"
        case "read", "readv": return "\(descriptor), …, \(length)"
        case "shutdown": return "\(descriptor), \(["SHUT_RD", "SHUT_WR", "SHUT_RDWR"][safe: Int(arguments.0)] ?? "?")"
        case "setsockopt": return "\(descriptor), \(optionName)\(optionValue.map { ", \($0)" } ?? "")"
        case "getsockopt": return "\(descriptor), \(optionName)"
        case "fcntl": return "\(descriptor), \(fcntlText)"
        case "ioctl": return "\(descriptor), \(requestName)"
        case "dup2", "dup3": return "\(descriptor), \(arguments.0)"
        case "epoll_ctl": return "\(watchText), \(descriptor), \(eventNames)"
        case "select", "pselect", "poll", "ppoll", "epoll_wait", "epoll_pwait":
            let wait = arguments.1 < 0 ? say("no timeout", "不限时") : "\(arguments.1) ms"
            if let setsText { return "\(setsText), \(wait)" }
            return (descriptor >= 0 ? "\(descriptor), " : "") + wait
        case "sleep", "usleep", "nanosleep": return "\(arguments.0) ms"
        case "fork", "wait", "getaddrinfo", "freeaddrinfo", "pthread_create": return ""
        case "waitpid": return "\(arguments.0)\(arguments.1 & 1 != 0 ? ", WNOHANG" : "")"
        case "kill": return "\(arguments.0), \(signalName(Int32(truncatingIfNeeded: arguments.1)))"
        case "signal", "sigaction":
            return signalName(Int32(truncatingIfNeeded: arguments.0)) + (arguments.1 == 1 ? ", SIG_IGN" : "")
        default: return descriptor >= 0 ? "\(descriptor)" : ""
        }
    }

    /// ` in 3 pieces`; nothing for one.
    private var piecesText: String {
        guard let pieces, pieces > 1 else { return "" }
        return say(" in \(pieces) pieces", "（\(pieces) 段）")
    }

    /// `, MSG_NOSIGNAL`; nothing if there are none.
    private var flagsText: String {
        let flags = Int32(truncatingIfNeeded: arguments.0)
        return flags == 0 ? "" : ", " + Call.flags(flags, Call.messageFlags)
    }

    /// `O_RDWR|O_NONBLOCK`: the names of the bits, and the number of those that have none here.
    static func flags(_ bits: Int32, _ names: [(bit: Int32, name: String)]) -> String {
        let known = names.filter { bits & $0.bit == $0.bit }
        let rest = known.reduce(bits) { $0 & ~$1.bit }
        return (known.map(\.name) + (rest == 0 ? [] : ["\(rest)"])).joined(separator: "|")
    }

    private var resultText: String {
        if name == "getaddrinfo", let error = resolveErrorName(Int32(truncatingIfNeeded: result)) {
            return "\(result) \(error)"
        }
        return result == -1 && error != 0 ? "-1 \(errorName(error))" : "\(result)"
    }

    private func note(_ found: SocketAddress) -> String {
        switch name {
        case "bind", "listen": return found == given ? "" : say("   at \(found)", "   地址 \(found)")
        case "accept", "accept4", "recv", "recvfrom", "recvmsg": return say("   from \(found)", "   来自 \(found)")
        case "connect": return say("   own address \(found)", "   本端 \(found)")
        case "getsockname", "getpeername": return "   \(found)"
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
}

extension Array {
    subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
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

/// `1 byte`, `5 bytes`; in Chinese `5 字节`.
public func byteCount(_ count: Int) -> String {
    say(count == 1 ? "1 byte" : "\(count) bytes", "\(count) 字节")
}

/// What `getaddrinfo` returned, by its name (netdb.h): its numbers are not those of errno. Nil for 0 and for others.
public func resolveErrorName(_ code: Int32) -> String? {
    let names = [
        EAI_AGAIN: "EAI_AGAIN", EAI_BADFLAGS: "EAI_BADFLAGS", EAI_FAIL: "EAI_FAIL", EAI_FAMILY: "EAI_FAMILY",
        EAI_MEMORY: "EAI_MEMORY", EAI_NONAME: "EAI_NONAME", EAI_SERVICE: "EAI_SERVICE", EAI_SOCKTYPE: "EAI_SOCKTYPE",
        EAI_SYSTEM: "EAI_SYSTEM",
    ]
    return names[code]
}
