// Lesson 03: the client with a connected socket.
import Course
import GraderKit
import Sockets
import Wire

let lesson03ConnectedClient: [Check] = [
    Check("connected-answers", suspects: [.noDeadline]) { trial in
        let server = try trial.datagramPeer()
        let message = trial.random.letters(20)
        let call = try trial.ask("connected-client", message, at: server.address, timeout: scaled(10_000))
        let (bytes, sender) = try server.expectMessage(message, during: call)
        try trial.expect(bytes, equals: message, say("the message, in one datagram", "一个数据报，内容就是消息"))
        let answer = trial.random.bytes(30)
        try server.send(answer, to: sender)
        try call.expectReturn(answer)
        try server.expectNothingMore(say("one datagram", "只发一个数据报"), cause: "sent-more-than-once")

        // A datagram whose checksum is wrong is seen by poll, and dropped when it is read.
        let patient = try trial.ask(
            "connected-client", message, at: server.address, timeout: scaled(5_000),
            plan: .fail(.receive, 1, with: EAGAIN))
        let (_, asker) = try server.expectMessage(message, during: patient)
        try server.send(answer, to: asker)
        _ = try patient.subject.waitForTimeline { timeline in
            timeline.calls.contains { $0.isReceive && $0.returned != nil } ? true : nil
        }
        try server.send(answer, to: asker)
        do {
            try patient.expectReturn(
                answer,
                say(
                    "it returns the answer that comes after a receive has said EAGAIN, though something was readable",
                    "明明可读而接收返回 EAGAIN，之后到来的回答仍要返回"))
        } catch var failure as Failure {
            if patient.subject.timeline.calls.contains(where: { $0.isReceive && $0.error == EAGAIN }) {
                failure.cause = "readable-and-nothing-there"
            }
            throw failure
        }
    },
    Check("connected-refused", suspects: [.neverConnected, .refusalUnnoticed]) { trial in
        let closed = try trial.closedPort()
        // A minute: a refusal is known at once, so whoever needs the timeout has not heard it.
        let call = try trial.ask("connected-client", Array("hello?".utf8), at: closed.address, timeout: 60_000)
        let expected = say(
            "it throws SocketError with ECONNREFUSED: nobody has port \(closed.address.port)",
            "抛出 SocketError，code 为 ECONNREFUSED：没有人占用端口 \(closed.address.port)")
        switch try call.outcome() {
        case .threw("SocketError", _, ECONNREFUSED, _): break
        case let outcome: throw Failure(expected: expected, got: outcome.text)
        }
        try trial.expectThrown(
            ENETUNREACH, say("connect fails with it", "connect 以此失败"), by: "connected-client",
            closed.asked(Array("hello?".utf8)), plan: .fail(.connect, every: 1, with: ENETUNREACH))
    },
    Check("connected-stranger", suspects: [.trustsStrangers]) { trial in
        let server = try trial.datagramPeer()
        let message = trial.random.letters(20)
        let call = try trial.ask("connected-client", message, at: server.address, timeout: scaled(10_000))
        let (_, sender) = try server.expectMessage(message, during: call)
        for stranger in try trial.strangers(to: server) {
            try stranger.send(Array("from a stranger".utf8), to: sender)
        }
        try server.send(Array("from the server".utf8), to: sender)
        try call.expectReturn(Array("from the server".utf8), say("it returns the server's answer", "返回服务器的回答"))
    },
    Check("connected-no-answer", suspects: [.noDeadline]) { trial in
        let server = try trial.datagramPeer()
        let timeout = scaled(300)
        let message = trial.random.letters(20)
        let call = try trial.ask("connected-client", message, at: server.address, timeout: timeout)
        _ = try server.expectMessage(message, during: call)
        try call.expectNoAnswer(after: timeout, datagrams: 1)
        try server.expectNothingMore(say("one datagram", "只发一个数据报"), cause: "sent-more-than-once")
    },
    Check("connected-empty", suspects: [.emptyAnswerLost]) { trial in
        let server = try trial.datagramPeer()
        let call = try trial.ask("connected-client", [], at: server.address, timeout: scaled(10_000))
        let (_, sender) = try server.expectMessage([], during: call)
        try server.send([], to: sender)
        try call.expectReturn([], say("it returns no bytes for an empty answer", "空回答应返回零个字节"))
    },
    Check("connected-largest", suspects: [.bufferTooSmall]) { trial in
        let server = try trial.datagramPeer()
        let message = trial.random.letters(20)
        let call = try trial.ask("connected-client", message, at: server.address, timeout: scaled(10_000))
        let (_, sender) = try server.expectMessage(message, during: call)
        let answer = trial.random.bytes(65_507)
        try server.send(answer, to: sender)
        try call.expectReturn(answer)
        try trial.expectThrown(
            EMSGSIZE, say("65,508 bytes do not fit into a datagram", "65,508 字节放不进一个数据报"),
            by: "connected-client", server.asked(trial.random.letters(Trial.tooLong)))
    },
    Check("connected-ipv6", suspects: [.ipv4Only]) { trial in
        try trial.needsLoopback("::1")
        let server = try trial.datagramPeer(host: "::1")
        let message = trial.random.letters(20)
        let call = try trial.ask("connected-client", message, at: server.address, timeout: scaled(10_000))
        let (_, sender) = try server.expectMessage(message, during: call)
        try server.send(Array("six".utf8), to: sender)
        try call.expectReturn(Array("six".utf8))
    },
    Check("connected-eintr") { trial in
        let server = try trial.datagramPeer()
        let message = trial.random.letters(20)
        let call = try trial.ask(
            "connected-client", message, at: server.address, timeout: scaled(10_000), plan: .threeInterrupts)
        let (_, sender) = try server.expectMessage(message, during: call)
        try server.send(Array("at last".utf8), to: sender)
        try call.expectReturn(Array("at last".utf8))
        // Only a send that was interrupted is made again.
        try server.expectNothingMore(say("one datagram", "只发一个数据报"), cause: "asked-again-when-interrupted")
    },
    Check("connected-descriptors", suspects: [.descriptorLeak, .noDeadline]) { trial in
        let process = try trial.launch(descriptorLimit: 64)
        let server = try trial.datagramPeer()
        let silent = try trial.datagramPeer()
        let closed = try trial.closedPort()
        let message = Array("again".utf8)
        for number in 1...100 {
            let answered = try trial.ask(
                "connected-client", message, at: server.address, timeout: scaled(10_000), in: process)
            let (_, sender) = try server.expectMessage(message, during: answered)
            try server.send(Array("answer \(number)".utf8), to: sender)
            try answered.expectReturn(Array("answer \(number)".utf8))

            let refused = try trial.ask("connected-client", message, at: closed.address, timeout: 1, in: process)
            guard case .threw = try refused.outcome() else {
                throw Failure(expected: say("it throws", "抛出错误"), got: say("it returned", "正常返回"))
            }
            let unanswered = try trial.ask("connected-client", message, at: silent.address, timeout: 1, in: process)
            try unanswered.expectNoAnswer(after: 0, datagrams: 1)
        }
        try trial.expectNoSocket("connected-client", silent.asked(message))
    },
]

extension DatagramPeer {
    /// The message, as the program sends it.
    func expectMessage(_ message: [UInt8], during call: PendingCall) throws -> Datagram {
        let expected = say("a datagram with the message at \(address)", "\(address) 收到内容为消息的数据报")
        let datagram = try expectDatagram(during: call, expected)
        guard datagram.bytes == message else {
            throw Failure(
                expected: expected, got: quoted(datagram.bytes),
                difference: byteDifference(expected: message, got: datagram.bytes))
        }
        return datagram
    }
}

extension Trial {
    /// Sockets that are not the server: another port at its address, and its port at another address.
    func strangers(to server: DatagramPeer) throws -> [DatagramPeer] {
        let otherPort = try datagramPeer()
        #if os(Linux)
        return [otherPort, try datagramPeer(host: "127.0.0.2", port: server.address.port)]
        #else
        return [otherPort]
        #endif
    }
}

extension Cause {
    static let trustsStrangers = Cause("trusts-every-answer") { evidence in
        guard let taken = evidence.timeline.calls.last(where: { $0.isReceive && $0.result >= 0 }) else { return nil }
        return taken.found.map { say("it took the answer of \($0)", "把 \($0) 的数据报当成了回答") } ?? ""
    }

    /// An answer of 0 bytes was received, and taken for none.
    static let emptyAnswerLost = Cause("empty-taken-for-end") { evidence in
        evidence.timeline.calls.last { $0.isReceive && $0.returned != nil && $0.result == 0 }.map {
            $0.text(now: evidence.now)
        }
    }
}
