// Lesson 15: the checks of the datagram with a reply path. The grader is the server, and a stranger.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

let unixDatagramChecks: [Check] = [
    Check("datagram-answer", suspects: [.noOwnName, .ownFileLeft, .emptyTakenForEnd]) { trial in
        for (question, answer) in [(10, 20), (0, 1), (5_000, 200_000), (1, 0)] {
            try trial.exchange(question: trial.random.bytes(question), answer: trial.random.bytes(answer))
        }
    },
    Check("datagram-stranger", suspects: [.noOwnName]) { trial in
        let server = try trial.datagramPeer(path: trial.path("server"))
        let stranger = try trial.datagramPeer(path: trial.path("stranger"))
        let call = try trial.ask(Array("who are you".utf8), server)
        let sender = try trial.question(at: server, during: call)
        // A connected socket does not take it: EPERM.
        do { try stranger.send(Array("I am the server".utf8), to: sender) } catch let error as SocketError
            where error.code == EPERM
        {}
        let answer = trial.random.letters(12)
        try server.send(answer, to: sender)
        let got = try [try call.value()].bytes(0)
        try trial.expect(
            got, equals: answer, say("the answer of the server", "服务器的回答"),
            cause: got == Array("I am the server".utf8) ? "trusts-strangers" : nil)
    },
    Check("datagram-timeout", suspects: [.waitsForEver, .ownFileLeft, .sendsInVain]) { trial in
        let server = try trial.datagramPeer(path: trial.path("server"))
        let call = try trial.ask(Array("hello?".utf8), server, timeout: 300)
        _ = try trial.question(at: server, during: call)
        try expectSocketError([ETIMEDOUT], from: call)
        // A server that is stuck: its queue is full, and send waits, too.
        let stuck = try trial.datagramPeer(path: trial.path("stuck"))
        let crowd = try closeOnExecSocket(AF_UNIX, SOCK_DGRAM)
        defer { close(crowd) }
        while stuck.address.withSockaddr({ sendto(crowd, "x", 1, MSG_DONTWAIT, $0, $1) }) >= 0 {}
        guard errno == EAGAIN else { throw SocketError("sendto", errno) }
        try withExtendedLifetime(stuck) {
            let late = try trial.ask(Array("hello?".utf8), stuck, timeout: 300)
            do { try expectSocketError([ETIMEDOUT], from: late) } catch var failure as Failure {
                // As long as the server is there: without it the send comes back. Who only tries again and
                // again does not wait.
                if let send = late.subject.timeline.blocked.last(where: {
                    $0.isSend && $0.entered + 1_000_000_000 < now()
                }) {
                    (failure.cause, failure.detail) = ("blocked-in-send", send.callText)
                } else if let send = late.subject.timeline.calls.last(where: \.isSend), send.error == EAGAIN,
                    send.returned.map({ $0 > send.entered + 200_000_000 }) ?? false
                {
                    (failure.cause, failure.detail) = ("limit-has-another-name", send.callText)
                }
                throw failure
            }
        }
    },
    Check("datagram-no-server", suspects: [.ownFileLeft, .breakUnnoticed]) { trial in
        let nowhere = try trial.begin("datagram-request", arguments(trial, Array("hello?".utf8), "nobody"))
        try expectSocketError([ENOENT], from: nowhere)
        // A file that a server left behind.
        do { _ = try trial.datagramPeer(path: trial.path("left")) }
        let left = try trial.begin("datagram-request", arguments(trial, Array("hello?".utf8), "left"))
        try expectSocketError([ECONNREFUSED], from: left)
    },
    Check("datagram-removed", suspects: [.noOwnName, .waitsForEver]) { trial in
        let process = try trial.exchange(question: Array("first".utf8), answer: Array("warm".utf8)).subject
        let before = process.descriptorCount
        let server = try trial.datagramPeer(path: trial.path("server"))
        for timeout in [10_000, 200] {
            let call = try trial.ask(Array("hello".utf8), server, timeout: timeout)
            let sender = try trial.question(at: server, during: call)
            if timeout > 1000 { try server.send(Array("here".utf8), to: sender) }
            _ = try call.outcome()
            try trial.expectGone(timeout > 1000 ? say("after an answer", "收到回答后") : say("after a timeout", "超时后"))
        }
        _ = try trial.begin("datagram-request", arguments(trial, [1], "nobody")).outcome()
        try trial.expectGone(say("when there is no server", "没有服务器时"))
        let left = process.descriptorCount - before
        guard left == 0 else {
            throw Failure(
                expected: say("its socket is closed, however it ends", "不管怎样结束，套接字都已关闭"),
                got: say("\(left) more descriptors are open after three calls", "三次调用后多了 \(left) 个打开的描述符"),
                cause: "never-closed")
        }
    },
    Check("datagram-own-path", suspects: [.noOwnName]) { trial in
        let server = try trial.datagramPeer(path: trial.path("server"))
        let content = Array("not yours".utf8)
        try Data(content).write(to: URL(fileURLWithPath: trial.path("own")))
        let call = try trial.ask(Array("hello".utf8), server)
        do { try expectSocketError([EADDRINUSE], from: call) } catch var failure as Failure {
            if FileManager.default.contents(atPath: trial.path("own")) != Data(content) {
                failure.cause = "removed-a-file"
            }
            throw failure
        }
        guard FileManager.default.contents(atPath: trial.path("own")) == Data(content) else {
            throw Failure(
                expected: say("a file that was there before is left as it is", "原来就有的文件原样保留"),
                got: say("it is gone", "文件没了"), cause: "removed-a-file")
        }
        let long = try trial.path(ofLength: longestPath + 1)
        let tooLong = try trial.begin(
            "datagram-request", [.bytes([1]), .string(server.address.host), .string(long), .int(10_000)])
        try expectSocketError([ENAMETOOLONG], from: tooLong)
    },
    Check("datagram-eintr", suspects: [.interruptedCall]) { trial in
        let thrice = [FaultPlan.Calls.receive, .send, .waitReady].map { FaultPlan.fail($0, 1, through: 3, with: EINTR) }
        try trial.exchange(question: [1, 2, 3], answer: [4, 5], plan: thrice.reduce(.none, +))
    },
]

private func arguments(_ trial: Trial, _ message: [UInt8], _ name: String, timeout: Int = 10_000) -> [Value] {
    [.bytes(message), .string(trial.path(name)), .string(trial.path("own")), .int(timeout)]
}

extension Trial {
    fileprivate func ask(
        _ message: [UInt8], _ server: DatagramPeer, timeout: Int = 10_000, plan: FaultPlan? = nil
    ) throws -> PendingCall {
        let path = Value.string(server.address.host)
        return try begin(
            "datagram-request", [.bytes(message), path, .string(self.path("own")), .int(timeout)], plan: plan)
    }

    /// The question at the server: where it came from.
    fileprivate func question(
        at server: DatagramPeer, during call: PendingCall, _ message: [UInt8]? = nil
    ) throws -> SocketAddress {
        let expected = say("the server receives the question from \(path("own"))", "服务器收到来自 \(path("own")) 的提问")
        switch try server.receive(during: call, expected: expected) {
        case .datagram(let datagram):
            if let message {
                let isPart = message.starts(with: datagram.bytes) && !datagram.bytes.isEmpty
                try expect(
                    datagram.bytes, equals: message, say("the question", "提问"),
                    cause: isPart ? "question-in-pieces" : nil)
            }
            guard datagram.sender.host == path("own") else {
                throw Failure(
                    expected: expected,
                    got: datagram.sender.host.isEmpty
                        ? say("it comes from a socket without a name", "它来自没有名字的套接字")
                        : say("it comes from \(datagram.sender.host)", "它来自 \(datagram.sender.host)"),
                    cause: datagram.sender.host.isEmpty ? "no-own-name" : nil)
            }
            return datagram.sender
        case .outcome(let outcome): throw Failure(expected: expected, got: outcome.text)
        case .nothing: throw Failure(expected: expected, got: say("nothing", "什么也没有"))
        }
    }

    @discardableResult
    fileprivate func exchange(question: [UInt8], answer: [UInt8], plan: FaultPlan? = nil) throws -> PendingCall {
        let server = try datagramPeer(path: path("server"))
        defer { unlink(server.address.host) }
        let call = try ask(question, server, plan: plan)
        try server.send(answer, to: try self.question(at: server, during: call, question))
        let got = try [try call.value()].bytes(0)
        let isCut = got.count < answer.count && answer.starts(with: got)
        try expect(got, equals: answer, say("the answer of the server", "服务器的回答"), cause: isCut ? "datagram-cut" : nil)
        return call
    }

    fileprivate func expectGone(_ when: String) throws {
        var status = stat()
        guard lstat(path("own"), &status) == 0 else { return }
        throw Failure(
            expected: say("the file of its own socket is gone, \(when)", "\(when)，它自己的套接字文件已不在"),
            got: say("it is still there", "它还在"), cause: "file-left")
    }
}

extension Cause {
    static let noOwnName = Cause("no-own-name") { evidence in
        evidence.timeline.calls.contains(where: \.isSend) && evidence.timeline.count("bind") == 0 ? "" : nil
    }

    /// The second call finds the file of the first in its way.
    static let ownFileLeft = Cause("file-left") { evidence in
        let binds = evidence.timeline.calls("bind")
        guard let last = binds.last, last.error == EADDRINUSE, let path = last.given, path.family == AF_UNIX,
            binds.contains(where: { $0.result == 0 && $0.given == path })
        else { return nil }
        return last.callText
    }

    /// Ready to send, says poll, for the socket has room; the queue of the other one has none.
    static let sendsInVain = Cause("spinning") { evidence in
        let sends = evidence.timeline.calls.filter { $0.isSend && $0.error == EAGAIN }
        guard sends.count > 1_000 else { return nil }
        let (name, times) = (sends[0].name, evidence.timeline.fruitless[sends[0].name] ?? sends.count)
        return say("\(name) came back \(times) times with EAGAIN", "\(name) 有 \(times) 次以 EAGAIN 返回")
    }

    /// A wait without an end.
    static let waitsForEver = Cause("waits-without-end") { evidence in
        evidence.timeline.blocked.last(where: { $0.isReceive || $0.isWait && $0.arguments.1 < 0 })?.callText
    }
}
