// Lesson 03: datagrams for many: broadcast, discovery, multicast.
import Course
import GraderKit
import Sockets
import Wire

let lesson03Broadcast: [Check] = [
    Check("broadcast-reaches-all", suspects: [.noPermissionToBroadcast, .notTheBroadcastAddress]) { trial in
        // Bound to the broadcast address, they get nothing that is sent to one machine alone.
        let first = try trial.datagramPeer(host: everybody, sharing: true)
        let second = try trial.datagramPeer(host: everybody, port: first.address.port, sharing: true)
        for message in [trial.random.letters(30), []] {
            let call = try trial.begin("broadcast", [.bytes(message), .int(Int(first.address.port))])
            try call.expectNothingThrown()
            for peer in [first, second] {
                try peer.expectCopy(of: message, during: call)
                try peer.expectNothingMore(say("one datagram", "只有一个数据报"), cause: "sent-more-than-once")
            }
        }
    },
    Check("broadcast-too-long") { trial in
        let peer = try trial.datagramPeer(host: everybody, sharing: true)
        let message = trial.random.letters(65_508)
        let call = try trial.begin("broadcast", [.bytes(message), .int(Int(peer.address.port))])
        let expected = say(
            "it throws SocketError with EMSGSIZE: 65,508 bytes do not fit into a datagram",
            "抛出 SocketError，code 为 EMSGSIZE：65,508 字节放不进一个数据报")
        switch try call.outcome() {
        case .threw("SocketError", _, EMSGSIZE, _): return
        case .returned: throw Failure(expected: expected, got: say("it returned", "正常返回"), cause: "send-error-ignored")
        case let outcome: throw Failure(expected: expected, got: outcome.text)
        }
    },
    Check("broadcast-descriptors", suspects: [.descriptorLeak]) { trial in
        let process = try trial.launch(descriptorLimit: 64)
        let peer = try trial.datagramPeer(host: everybody, sharing: true)
        for _ in 0..<300 {
            let call = try trial.begin(
                "broadcast", [.bytes([1, 2, 3]), .int(Int(peer.address.port))], in: process)
            try call.expectNothingThrown()
            try peer.expectCopy(of: [1, 2, 3], during: call)
        }
    },
]

let lesson03Discover: [Check] = [
    Check("discover-question", suspects: [.noPermissionToBroadcast, .notTheBroadcastAddress, .noDeadline]) { trial in
        let listener = try trial.datagramPeer(host: everybody, sharing: true)
        let call = try trial.discover(at: listener, timeout: scaled(200))
        try listener.expectQuestion(during: call)
        _ = try call.found()
        try listener.expectNothingMore(say("one datagram", "只发一个数据报"), cause: "sent-more-than-once")
    },
    Check("discover-finds-all", suspects: [.noPermissionToBroadcast]) { trial in
        try trial.expectDiscovered(cause: "stops-at-first-answer") { people, asker, deadline in
            for (index, peer) in people.dropLast().enumerated() {
                try peer.send(index == 0 ? [] : Array("here is \(index)".utf8), to: asker)
            }
            // Nothing to be heard here: this waits.
            _ = try people[0].receive(until: deadline, expected: "")
            try people[people.count - 1].send(Array("sorry, late".utf8), to: asker)
            return people.enumerated().map { index, peer in
                let answer = index == 0 ? "" : index == people.count - 1 ? "sorry, late" : "here is \(index)"
                return Found(peer, Array(answer.utf8))
            }
        }
    },
    Check("discover-once-each", suspects: [.noPermissionToBroadcast]) { trial in
        try trial.expectDiscovered(cause: "counts-answers") { people, asker, _ in
            for round in 1...3 {
                for peer in people { try peer.send(Array("answer \(round)".utf8), to: asker) }
            }
            return people.map { Found($0, Array("answer 1".utf8)) }
        }
    },
    Check("discover-nobody", suspects: [.noPermissionToBroadcast, .noDeadline]) { trial in
        let listener = try trial.datagramPeer(host: everybody, sharing: true)
        let timeout = scaled(300)
        let call = try trial.discover(at: listener, timeout: timeout)
        try listener.expectQuestion(during: call)
        let found = try call.found()
        let end = now()
        try trial.expect(found, equals: [], say("what it returns if nobody answers", "没有人回答时的返回值"))
        if let sent = try call.subject.waitForTimeline({ $0.sends.last }) {
            try call.expectWait(timeout, from: sent, until: end)
        }
    },
    Check("discover-deadline", suspects: [.noPermissionToBroadcast]) { trial in
        let listener = try trial.datagramPeer(host: everybody, sharing: true)
        let talker = try trial.datagramPeer()
        let call = try trial.discover(at: listener, timeout: scaled(300))
        let asker = try listener.expectQuestion(during: call)
        let expected = say("it returns when the time is up, though answers go on", "尽管回答源源不断，时间一到就返回")
        let patience = Deadline()
        while true {
            try talker.send(Array("still here".utf8), to: asker)
            switch try listener.receive(during: call, until: Deadline(in: 0.02), expected: expected) {
            case .outcome(let outcome):
                try trial.expect(
                    try outcome.found(), equals: [Found(talker, Array("still here".utf8))], say("who was found", "找到的人")
                )
                return
            case .datagram, .nothing:
                if patience.hasPassed {
                    throw Failure(
                        expected: expected, got: say("it is still running after 10 s", "10 秒后仍在运行"),
                        cause: "timeout-restarts")
                }
            }
        }
    },
    Check("discover-eintr", suspects: [.noPermissionToBroadcast, .interrupted]) { trial in
        let listener = try trial.datagramPeer(host: everybody, sharing: true)
        let call = try trial.discover(at: listener, timeout: scaled(1_000), plan: .threeInterrupts)
        let asker = try listener.expectQuestion(during: call)
        let peer = try trial.datagramPeer()
        try peer.send(Array("me".utf8), to: asker)
        try trial.expect(try call.found(), equals: [Found(peer, Array("me".utf8))], say("who was found", "找到的人"))
    },
    Check("discover-descriptors", suspects: [.descriptorLeak, .noDeadline]) { trial in
        let process = try trial.launch(descriptorLimit: 64)
        let listener = try trial.datagramPeer(host: everybody, sharing: true)
        for _ in 0..<100 {
            let call = try trial.discover(at: listener, timeout: 1, in: process)
            try listener.expectQuestion(during: call)
            _ = try call.found()
        }
    },
]

let lesson03Multicast: [Check] = [
    Check("multicast-send", suspects: [.wrongInterface]) { trial in
        let group = trial.randomGroup()
        let member = try trial.datagramPeer(host: group, port: trial.freePort(SOCK_DGRAM), sharing: true)
        try member.join(group)
        let message = trial.random.letters(30)
        let call = try trial.begin("multicast-send", [.bytes(message), .string(group), .int(Int(member.address.port))])
        try call.expectNothingThrown()
        let sender = try member.expectCopy(of: message, during: call)
        try trial.expect(sender.host, equals: "127.0.0.1", say("the sender's address", "发送方地址"))
        try member.expectNothingMore(say("one datagram", "只有一个数据报"), cause: "sent-more-than-once")
    },
    Check("multicast-receive", suspects: [.notJoined, .noDeadline]) { trial in
        let group = trial.randomGroup()
        for message in [trial.random.letters(30), []] {
            let port = try trial.freePort(SOCK_DGRAM)
            let call = try trial.receiveMulticast(group, port, timeout: scaled(5_000))
            try trial.multicastSender().send(message, to: try SocketAddress(host: group, port: port))
            try call.expectReturn(message, say("it returns the datagram", "返回这个数据报"))
        }
    },
    Check("multicast-only-group", suspects: [.boundToAny, .notJoined]) { trial in
        let group = trial.randomGroup()
        let other = trial.randomGroup()
        let port = try trial.freePort(SOCK_DGRAM)
        // What is sent to the other group reaches this machine, because somebody here has joined it.
        let neighbour = try trial.datagramPeer()
        try neighbour.join(other)
        let call = try trial.receiveMulticast(group, port, timeout: scaled(5_000))
        let sender = try trial.multicastSender()
        try sender.send(Array("to this machine".utf8), to: try SocketAddress(host: "127.0.0.1", port: port))
        try sender.send(Array("to another group".utf8), to: try SocketAddress(host: other, port: port))
        try sender.send(Array("to the group".utf8), to: try SocketAddress(host: group, port: port))
        try call.expectReturn(
            Array("to the group".utf8), say("it returns what was sent to the group \(group)", "返回发给组 \(group) 的数据报"))
    },
    Check("multicast-shared-port", suspects: [.portNotShared, .notJoined]) { trial in
        let group = trial.randomGroup()
        let holder = try trial.datagramPeer(host: group, port: trial.freePort(SOCK_DGRAM), sharing: true)
        let call = try trial.receiveMulticast(group, holder.address.port, timeout: scaled(5_000))
        try trial.multicastSender().send(Array("for both".utf8), to: holder.address)
        try call.expectReturn(Array("for both".utf8), say("it returns the datagram", "返回这个数据报"))
    },
    Check("multicast-no-answer", suspects: [.noDeadline]) { trial in
        let timeout = scaled(300)
        let began = now()
        let call = try trial.begin(
            "multicast-receive",
            [.string(trial.randomGroup()), .int(Int(try trial.freePort(SOCK_DGRAM))), .int(timeout)])
        let expected = say("it throws RequestError.noAnswer", "抛出 RequestError.noAnswer")
        let outcome = try call.outcome()
        let waited = Int((now() - began) / 1_000_000)
        guard case .threw("RequestError", "noAnswer", _, _) = outcome else {
            throw Failure(expected: expected, got: outcome.text)
        }
        guard waited + 20 >= timeout else {
            throw Failure(
                expected: say("it waits for \(timeout) ms", "等待 \(timeout) 毫秒"),
                got: say("it waited for \(waited) ms", "只等了 \(waited) 毫秒"), cause: "wait-cut-short")
        }
    },
    Check("multicast-eintr", suspects: [.interrupted]) { trial in
        let group = trial.randomGroup()
        let port = try trial.freePort(SOCK_DGRAM)
        let call = try trial.receiveMulticast(group, port, timeout: scaled(5_000), plan: .threeInterrupts)
        try trial.multicastSender().send(Array("again".utf8), to: try SocketAddress(host: group, port: port))
        try call.expectReturn(Array("again".utf8), say("it returns the datagram", "返回这个数据报"))
    },
    Check("multicast-descriptors", suspects: [.descriptorLeak, .noDeadline]) { trial in
        let process = try trial.launch(descriptorLimit: 64)
        let group = trial.randomGroup()
        let port = try trial.freePort(SOCK_DGRAM)
        for _ in 0..<100 {
            let sent = try trial.begin(
                "multicast-send", [.bytes([1]), .string(group), .int(Int(port))], in: process)
            try sent.expectNothingThrown()
            let received = try trial.begin(
                "multicast-receive", [.string(group), .int(Int(port)), .int(1)], in: process)
            try received.expectNoAnswer(after: 0, datagrams: 1)
        }
    },
]

// MARK: Broadcast

private let everybody = "127.255.255.255"

extension PendingCall {
    /// It has done its work, and nothing went wrong.
    func expectNothingThrown() throws {
        let outcome = try outcome()
        guard case .returned = outcome else {
            throw Failure(expected: say("it sends and returns", "发送后正常返回"), got: outcome.text)
        }
    }
}

extension DatagramPeer {
    /// One copy of what was sent to many. The call is over, so it is here, or it was not sent.
    ///
    /// - Returns: the sender.
    @discardableResult
    func expectCopy(of message: [UInt8], during call: PendingCall) throws -> SocketAddress {
        let expected = say(
            "\(quoted(message)), \(message.count) bytes, to \(address)",
            "\(address) 收到 \(quoted(message))，\(message.count) 字节")
        guard let (bytes, sender) = try receive(until: Deadline(in: 1), expected: expected) else {
            throw Failure(expected: expected, got: say("nothing", "什么也没有"))
        }
        guard bytes == message else {
            throw Failure(
                expected: expected, got: quoted(bytes), difference: byteDifference(expected: message, got: bytes))
        }
        return sender
    }

    /// The question of `discover`; returns who asks.
    @discardableResult
    func expectQuestion(during call: PendingCall) throws -> SocketAddress {
        let question = Array("WHO IS THERE?".utf8)
        let expected = say("\(quoted(question)) to \(address)", "\(address) 收到 \(quoted(question))")
        let (bytes, sender) = try expectDatagram(during: call, expected)
        guard bytes == question else {
            throw Failure(
                expected: expected, got: quoted(bytes), difference: byteDifference(expected: question, got: bytes))
        }
        return sender
    }
}

// MARK: Discovery

/// `Discovered`, as it comes over the control line.
struct Found: Hashable, CustomStringConvertible {
    var address: String
    var answer: [UInt8]

    init(_ peer: DatagramPeer, _ answer: [UInt8]) {
        address = peer.address.description
        self.answer = answer
    }

    init?(_ value: Value) {
        guard case .list(let parts) = value, parts.count == 3, case .string(let host) = parts[0],
            case .int(let port) = parts[1], case .bytes(let answer) = parts[2]
        else { return nil }
        address = "\(host):\(port)"
        self.answer = answer
    }

    var description: String { "\(address) \(quoted(answer))" }
}

extension PendingCall {
    func found() throws -> [Found] { try outcome().found() }
}

extension PendingCall.Outcome {
    func found() throws -> [Found] {
        guard case .returned(.list(let values)) = self else {
            throw Failure(expected: say("it returns who was found", "返回找到的人"), got: text)
        }
        return values.compactMap(Found.init).sorted { $0.description < $1.description }
    }
}

extension Trial {
    func discover(
        at listener: DatagramPeer, timeout: Int, plan: FaultPlan? = nil, in process: Subject? = nil
    ) throws -> PendingCall {
        try begin("discover", [.int(Int(listener.address.port)), .int(timeout)], plan: plan, in: process)
    }

    /// Five answer, and `discover` finds them.
    ///
    /// - Parameter answer: sends the answers, of which those after the deadline are late ones; returns who must be found.
    func expectDiscovered(
        cause: String, _ answer: ([DatagramPeer], _ asker: SocketAddress, Deadline) throws -> [Found]
    ) throws {
        let listener = try datagramPeer(host: everybody, sharing: true)
        #if os(Linux)
        let hosts = ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]
        #else
        let hosts = [String](repeating: "127.0.0.1", count: 5)
        #endif
        // Should this machine be so busy that the grader itself was late, it tries again.
        for _ in 0..<5 {
            let people = try hosts.map { try datagramPeer(host: $0) }
            let call = try discover(at: listener, timeout: scaled(1_000))
            let asker = try listener.expectQuestion(during: call)
            let asked = try call.subject.waitForTimeline { $0.sends.last?.entered } ?? now()
            let expected = try answer(people, asker, Deadline(in: 0.3))
            let inTime = now() < asked + UInt64(scaled(800)) * 1_000_000
            let found = try call.found()
            if !inTime { continue }
            let all = expected.sorted { $0.description < $1.description }
            guard found != all else { return }
            let missing = Set(all).subtracting(found).map(\.description).sorted().joined(separator: "; ")
            let surplus = found.filter { !all.contains($0) }.map(\.description).joined(separator: "; ")
            let twice = found.count - Set(found).count
            throw Failure(
                expected: say(
                    "these five: ", "这五个：") + all.map(\.description).joined(separator: "; "),
                got: [
                    missing.isEmpty ? nil : say("missing: \(missing)", "缺少：\(missing)"),
                    surplus.isEmpty ? nil : say("wrong: \(surplus)", "错误：\(surplus)"),
                    twice == 0 ? nil : say("\(twice) twice", "\(twice) 个重复"),
                ].compactMap { $0 }.joined(separator: say(". ", "。")),
                cause: cause)
        }
        throw LabError(say("this machine is too busy: try LAB_TIME_SCALE=4", "这台机器太忙：请试试 LAB_TIME_SCALE=4"))
    }
}

// MARK: Multicast

extension Trial {
    /// A group that no other check uses at the same time.
    func randomGroup() -> String {
        "239.\(UInt8.random(in: 1...254, using: &random)).\(UInt8.random(in: 0...255, using: &random))"
            + ".\(UInt8.random(in: 1...254, using: &random))"
    }

    /// Starts `multicastReceive` and waits until it receives. The grader does not join the group: on Linux that would
    /// let a program hear it that has not joined.
    func receiveMulticast(_ group: String, _ port: UInt16, timeout: Int, plan: FaultPlan? = nil) throws -> PendingCall {
        let began = now()
        let call = try begin("multicast-receive", [.string(group), .int(Int(port)), .int(timeout)], plan: plan)
        let expected = say("it joins the group and receives", "加入组并接收")
        let waits = try call.subject.waitForTimeline { timeline in
            timeline.calls.first {
                $0.entered >= began && ($0.isReceive || $0.isWait || $0.failed && $0.error != EINTR)
            }
        }
        guard waits != nil else {
            throw Failure(expected: expected, got: say("it does not receive", "没有接收"))
        }
        return call
    }

    /// A socket that sends to groups on the loopback interface.
    func multicastSender() throws -> DatagramPeer {
        let peer = try datagramPeer()
        var loopback = in_addr()
        inet_pton(AF_INET, "127.0.0.1", &loopback)
        try check(
            "setsockopt",
            setsockopt(
                peer.descriptor, IPPROTO_IP, IP_MULTICAST_IF, &loopback, socklen_t(MemoryLayout<in_addr>.size)))
        return peer
    }
}

extension DatagramPeer {
    /// Joins a group on the loopback interface.
    func join(_ group: String) throws {
        var request = ip_mreq()
        inet_pton(AF_INET, group, &request.imr_multiaddr)
        inet_pton(AF_INET, "127.0.0.1", &request.imr_interface)
        try check(
            "setsockopt",
            setsockopt(descriptor, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, socklen_t(MemoryLayout<ip_mreq>.size)))
    }
}
