// Lesson 03: datagrams for those who asked for them.
import Course
import GraderKit
import Sockets
import Wire

let lesson03Multicast: [Check] = [
    Check("multicast-send", suspects: [.wrongInterface]) { trial in
        let group = trial.randomGroup()
        let member = try trial.datagramPeer(host: group, port: trial.freePort(SOCK_DGRAM), sharing: true)
        try member.join(group)
        let message = trial.random.letters(30)
        let call = try trial.begin("multicast-send", [.bytes(message), .string(group), .int(Int(member.address.port))])
        try call.expectNothingThrown()
        try member.expectCopy(of: message, during: call)
        try member.expectNothingMore(say("one datagram", "只有一个数据报"), cause: "sent-more-than-once")
        try trial.expectThrown(
            EMSGSIZE, say("65,508 bytes do not fit into a datagram", "65,508 字节放不进一个数据报"), by: "multicast-send",
            [.bytes(trial.random.letters(Trial.tooLong)), .string(group), .int(Int(member.address.port))])
    },
    Check("multicast-receive", suspects: [.notJoined, .emptyAnswerLost, .joinedElsewhere, .noDeadline]) { trial in
        let group = trial.randomGroup()
        for message in [trial.random.letters(30), []] {
            let port = try trial.freePort(SOCK_DGRAM)
            let call = try trial.receiveMulticast(group, port, timeout: scaled(5_000))
            try trial.multicastSender().send(message, to: try SocketAddress(host: group, port: port))
            try call.expectReturn(message, say("it returns the datagram", "返回这个数据报"))
        }
        // A socket can be bound to this address; a group it is not.
        try trial.expectThrown(
            EINVAL, say("127.0.0.1 is no group", "127.0.0.1 不是组"), by: "multicast-receive",
            [.string("127.0.0.1"), .int(Int(try trial.freePort(SOCK_DGRAM))), .int(100)])
    },
    Check("multicast-only-group", suspects: [.boundToAny, .notJoined, .joinedElsewhere, .noDeadline]) { trial in
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
    Check("multicast-shared-port", suspects: [.portNotShared, .notJoined, .joinedElsewhere, .noDeadline]) { trial in
        let group = trial.randomGroup()
        let holder = try trial.datagramPeer(host: group, port: trial.freePort(SOCK_DGRAM), sharing: true)
        let call = try trial.receiveMulticast(group, holder.address.port, timeout: scaled(5_000))
        try trial.multicastSender().send(Array("for both".utf8), to: holder.address)
        try call.expectReturn(Array("for both".utf8), say("it returns the datagram", "返回这个数据报"))
        // One who does not share it keeps it.
        let owner = try trial.datagramPeer(host: group, port: trial.freePort(SOCK_DGRAM))
        try trial.expectThrown(
            EADDRINUSE, say("port \(owner.address.port) is taken", "端口 \(owner.address.port) 已被占用"),
            by: "multicast-receive", [.string(group), .int(Int(owner.address.port)), .int(100)])
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
    Check("multicast-eintr", suspects: [.interrupted, .notJoined, .joinedElsewhere, .noDeadline]) { trial in
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
        try trial.expectNoSocket("multicast-send", [.bytes([1]), .string(group), .int(Int(port))])
        try trial.expectNoSocket("multicast-receive", [.string(group), .int(Int(port)), .int(1)])
    },
]

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
