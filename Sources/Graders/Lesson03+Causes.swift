// Lesson 03: mistakes with datagrams, and how they look in what the program did. lesson.json explains them.
import Course
import GraderKit
import Sockets
import Wire

extension Cause {
    // MARK: Servers

    /// sendto was given the buffer's length, not the datagram's.
    static let sentWholeBuffer = Cause("sent-whole-buffer") { evidence in
        guard let (received, sent) = evidence.timeline.lastExchange, sent.length == received.length,
            sent.length > Int(received.result)
        else { return nil }
        return say(
            "it received \(received.result) bytes and sent \(sent.length)",
            "收到 \(received.result) 字节，却发送了 \(sent.length) 字节")
    }

    static let answeredElsewhere = Cause("answered-from-elsewhere") { evidence in
        guard let (received, sent) = evidence.timeline.lastExchange, received.descriptor != sent.descriptor else {
            return nil
        }
        return say(
            "received on socket \(received.descriptor), sent on socket \(sent.descriptor)",
            "在套接字 \(received.descriptor) 上接收，却在套接字 \(sent.descriptor) 上发送")
    }

    static let repliesToFirstClient = Cause("replies-to-first-client") { evidence in
        guard let first = evidence.timeline.calls.first(where: { $0.isReceive && $0.result >= 0 })?.found,
            let (received, sent) = evidence.timeline.lastExchange, let sender = received.found, sender != first,
            sent.given == first
        else { return nil }
        return say("the datagram came from \(sender), the answer went to \(first)", "数据报来自 \(sender)，回答却发给了 \(first)")
    }

    /// Less room than a sockaddr of this family takes: the sender's address is cut, or missing.
    static let noRoomForAddress = Cause("no-room-for-address") { evidence in
        let needed = evidence.asked?.host.contains(":") == true ? 28 : 16
        guard
            let call = evidence.timeline.calls.last(where: {
                $0.isReceive && $0.result >= 0 && (0..<Int64(needed)).contains($0.arguments.1)
            })
        else { return nil }
        return say(
            "\(call.name) was given room for \(call.arguments.1) of the address's \(needed) bytes",
            "\(call.name) 的地址缓冲区只有 \(call.arguments.1) 字节，地址需要 \(needed) 字节")
    }

    static let bufferTooSmall = Cause("buffer-too-small") { evidence in
        guard
            let call = evidence.timeline.calls.last(where: {
                $0.isReceive && $0.result >= 0 && $0.length > 0 && $0.length < 65_493
            })
        else { return nil }
        return say("\(call.name) had room for \(call.length) bytes", "\(call.name) 的缓冲区只有 \(call.length) 字节")
    }

    /// The room for the next datagram is what the last one needed.
    static let roomOfTheOneBefore = Cause("room-of-the-one-before") { evidence in
        let receives = evidence.timeline.calls.filter { $0.isReceive && $0.length > 0 }
        guard
            let index = receives.indices.dropFirst().last(where: {
                receives[$0].length < receives[$0 - 1].length && Int64(receives[$0].length) == receives[$0 - 1].result
            })
        else { return nil }
        let (before, call) = (receives[index - 1], receives[index])
        return say(
            "\(before.name) took \(before.result) bytes, and the next one had room for \(call.length)",
            "\(before.name) 收到 \(before.result) 字节，下一次就只有 \(call.length) 字节的地方")
    }

    static let emptyTakenForEnd = Cause("empty-taken-for-end") { evidence in
        guard
            let empty = evidence.timeline.calls.last(where: { $0.isReceive && $0.returned != nil && $0.result == 0 }),
            !evidence.timeline.calls.contains(where: { $0.isSend && $0.entered > empty.entered })
        else { return nil }
        return say("after \(empty.name) returned 0 it sent nothing", "\(empty.name) 返回 0 之后，什么也没有发")
    }

    /// FIONREAD was asked how long the next datagram is, and 0 taken for none.
    static let sizeTakenForNews = Cause("size-taken-for-news") { evidence in
        let calls = evidence.timeline.calls
        guard let last = calls.last(where: { $0.name == "ioctl" }),
            !calls.contains(where: { $0.isReceive && $0.entered > last.entered && $0.result >= 0 })
        else { return nil }
        return last.callText
    }

    /// What is not UTF-8 was replaced (ef bf bd), or the datagram was dropped because of it.
    static let decodedToString = Cause("decoded-to-string") { evidence in
        guard
            let received = evidence.timeline.calls.last(where: {
                $0.isReceive && $0.result > 0 && String(validating: $0.data, as: UTF8.self) == nil
            })
        else { return nil }
        guard
            let sent = evidence.timeline.calls.first(where: { $0.isSend && $0.entered > received.entered })
        else { return say("bytes that are not UTF-8 were not answered", "对不是 UTF-8 的字节没有回答") }
        guard sent.data.contains([0xef, 0xbf, 0xbd]), !received.data.contains([0xef, 0xbf, 0xbd]) else { return nil }
        return say("what is not UTF-8 became ef bf bd", "不是 UTF-8 的字节变成了 ef bf bd")
    }

    static let changedOtherBytes = Cause("changed-other-bytes") { evidence in
        guard let (received, sent) = evidence.timeline.lastExchange else { return nil }
        if sent.length == Int(received.result) {
            let changed = zip(received.data, sent.data).first { $0 != $1 && !(0x61...0x7a).contains($0) }
            return changed.map { say("byte \(hex($0.0)) became \(hex($0.1))", "字节 \(hex($0.0)) 变成了 \(hex($0.1))") }
        }
        return say(
            "\(received.result) bytes came, \(sent.length) went", "收到 \(received.result) 字节，发出 \(sent.length) 字节")
    }

    static let stoppedBySendError = Cause("stopped-by-send-error") { evidence in
        guard let failed = evidence.timeline.calls.last(where: { $0.isSend && $0.failed && $0.error != EINTR }),
            !evidence.timeline.calls.contains(where: { ($0.isReceive || $0.isWait) && $0.entered > failed.entered })
        else { return nil }
        return "\(failed.name): \(errorName(failed.error))"
    }

    static let connectedServer = Cause("connected-server") { evidence in
        guard let bound = evidence.timeline.calls("bind").last(where: { $0.result == 0 }) else { return nil }
        return evidence.timeline.calls("connect").last { $0.descriptor == bound.descriptor && $0.result == 0 }?.callText
    }

    /// Where no two clients sent the same: two answers in a row that are the same, to different clients.
    static let answersMixedUp = Cause("answers-mixed-up") { evidence in
        let sends = evidence.timeline.sends
        return zip(sends, sends.dropFirst()).first { one, next in
            one.result > 0 && one.data == next.data && one.given != next.given
        }?.1.callText
    }

    static let bindErrorIgnored = Cause("bind-error-ignored") { evidence in
        guard evidence.ending == nil, let bound = evidence.timeline.calls("bind").last, bound.failed else { return nil }
        return bound.text(now: evidence.now)
    }

    /// Where the general words for a failed bind (TIME_WAIT) would mislead: over UDP there is none.
    static let exitedItself = Cause("exited") { evidence in
        evidence.ending?.code.map { say("exit code \($0)", "退出码 \($0)") }
    }

    /// Sockets that were made and never closed. The check runs with a limit, so in the end there are none left.
    static let descriptorLeak = Cause("descriptor-leak") { evidence in
        let timeline = evidence.timeline
        guard timeline.calls.contains(where: { $0.error == EMFILE }) else { return nil }
        return say(
            "socket was called \(timeline.count("socket")) times, close \(timeline.count("close")) times",
            "socket 被调用 \(timeline.count("socket")) 次，close 被调用 \(timeline.count("close")) 次")
    }

    // MARK: Clients

    static let neverConnected = Cause("never-connected") { evidence in
        evidence.timeline.count("connect") == 0 && !evidence.timeline.sends.isEmpty
    }

    /// The kernel told it, and it went on waiting.
    static let refusalUnnoticed = Cause("refusal-not-noticed") { evidence in
        guard evidence.timeline.calls("connect").contains(where: { $0.result == 0 }), !evidence.timeline.sends.isEmpty
        else { return nil }
        return evidence.timeline.calls.last { $0.error == ECONNREFUSED }?.text(now: evidence.now) ?? ""
    }

    /// Waits for an answer in a call that has no time limit.
    static let noDeadline = Cause("no-deadline") { evidence in
        let timeline = evidence.timeline
        let limited = Set(
            timeline.calls("setsockopt").filter { $0.isOption(SOL_SOCKET, SO_RCVTIMEO) && $0.result == 0 }
                .map(\.descriptor))
        let endless = timeline.calls.last { call in
            call.isBlocked
                && (call.isReceive && !limited.contains(call.descriptor) || call.isWait && call.arguments.1 < 0)
        }
        return endless?.text(now: evidence.now)
    }

    static let noPermissionToBroadcast = Cause("no-broadcast-option") { evidence in
        evidence.timeline.calls.last { $0.isSend && $0.error == EACCES }.map { $0.text(now: evidence.now) }
    }

    static let notTheBroadcastAddress = Cause("not-broadcast-address") { evidence in
        guard let given = evidence.timeline.calls.last(where: { $0.isSend })?.given, given.host != "127.255.255.255"
        else { return nil }
        return say("it sent to \(given)", "发到了 \(given)")
    }

    static let wrongInterface = Cause("multicast-interface") { evidence in
        !evidence.timeline.calls("setsockopt").contains { $0.isOption(IPPROTO_IP, IP_MULTICAST_IF) && $0.result == 0 }
    }

    static let notJoined = Cause("not-joined") { evidence in
        !evidence.timeline.calls("setsockopt").contains { $0.joinsGroup && $0.result == 0 }
    }

    /// It has joined, and yet nothing of what was sent on loopback has arrived.
    static let joinedElsewhere = Cause("joined-elsewhere") { evidence in
        evidence.timeline.calls("setsockopt").contains { $0.joinsGroup && $0.result == 0 }
            && !evidence.timeline.calls.contains { $0.isReceive && $0.returned != nil && $0.result >= 0 }
    }

    static let boundToAny = Cause("bound-to-any") { evidence in
        guard let bound = evidence.timeline.calls("bind").last?.given, bound.host == "0.0.0.0" else { return nil }
        return say("it bound \(bound)", "绑定了 \(bound)")
    }

    static let portNotShared = Cause("port-not-shared") { evidence in
        evidence.timeline.calls("bind").last { $0.error == EADDRINUSE }.map { $0.text(now: evidence.now) }
    }
}

extension Timeline {
    /// The last datagram received that was answered at all, and the send behind it.
    var lastExchange: (received: Call, sent: Call)? {
        guard let sent = calls.last(where: { $0.isSend }),
            let received = calls.last(where: { $0.isReceive && $0.result >= 0 && $0.entered < sent.entered })
        else { return nil }
        return (received, sent)
    }

    /// What was sent without an error, in order. A byte in a pipe of its own is no datagram.
    var sends: [Call] {
        let given = Set(calls.filter { $0.name == "socket" || $0.copiesDescriptor }.map(\.result))
        return calls.filter {
            $0.isSend && $0.result >= 0 && $0.returned != nil
                && (!["write", "writev"].contains($0.name) || given.contains(Int64($0.descriptor)))
        }
    }
}

extension Call {
    func isOption(_ level: Int32, _ option: Int32) -> Bool { arguments == (Int64(level), Int64(option)) }

    /// By either of the two ways (ip(7)).
    var joinsGroup: Bool {
        #if os(Linux)
        return isOption(IPPROTO_IP, IP_ADD_MEMBERSHIP) || isOption(IPPROTO_IP, MCAST_JOIN_GROUP)
        #else
        return isOption(IPPROTO_IP, IP_ADD_MEMBERSHIP)
        #endif
    }
}
