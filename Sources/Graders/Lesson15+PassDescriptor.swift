// Lesson 15: the checks of passing a descriptor. What arrived is proved by what can be done with it.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

let passDescriptorChecks: [Check] = [
    Check("pass-sends") { trial in
        let pair = try UnixPair()
        for _ in 0..<2 {
            let file = try UnixPair()
            let call = try trial.begin("send-descriptor", [.passed(file.theirs), .passed(pair.theirs)])
            _ = try call.value()
            try trial.expectDescriptor(file.theirs, at: pair.ours, call)
        }
    },
    Check("pass-lent") { trial in
        let (pair, file) = (try UnixPair(), try UnixPair())
        let arguments: [Value] = [.passed(file.theirs), .passed(pair.theirs)]
        let first = try trial.begin("send-descriptor", arguments)
        _ = try first.value()
        let before = first.subject.descriptorCount
        for _ in 0..<5 { _ = try trial.begin("send-descriptor", arguments).value() }
        // Each call brings copies of two descriptors, which are the caller's.
        let more = first.subject.descriptorCount - before
        guard more == 10 else {
            throw Failure(
                expected: say("after five calls both descriptors of each are open", "五次调用之后，每次的两个描述符都开着"),
                got: say("\(more) of 10 are open", "10 个中开着 \(more) 个"), cause: "closed-what-was-lent")
        }
    },
    Check("pass-broken", suspects: [.breakUnnoticed]) { trial in
        let file = try UnixPair()
        let end: Int32
        do {
            let pair = try UnixPair()
            end = dup(pair.theirs)
        }
        defer { close(end) }
        try expectSocketError([EPIPE], from: try trial.begin("send-descriptor", [.passed(file.theirs), .passed(end)]))
        let pair = try UnixPair()
        try expectSocketError(
            [EBADF], from: try trial.begin("send-descriptor", [.descriptor(-1), .passed(pair.theirs)]))
    },
    Check("pass-eintr", suspects: [.interruptedCall]) { trial in
        let (pair, file) = (try UnixPair(), try UnixPair())
        let call = try trial.begin(
            "send-descriptor", [.passed(file.theirs), .passed(pair.theirs)],
            plan: .fail(.send, 1, through: 3, with: EINTR))
        _ = try call.value()
        try trial.expectDescriptor(file.theirs, at: pair.ours, call)
        let other = try UnixPair()
        try give([file.theirs], [7], other.ours)
        let receiving = try trial.begin(
            "receive-descriptor", [.passed(other.theirs), .bytes([9])],
            plan: .fail(.receive, 1, through: 3, with: EINTR))
        try trial.expectReceived(receiving, [9], file.ours)
    },
    Check("receive-one", suspects: [.byteAlone]) { trial in
        let pair = try UnixPair()
        for _ in 0..<3 {
            let file = try UnixPair()
            let proof = trial.random.letters(8)
            let call = try trial.begin("receive-descriptor", [.passed(pair.theirs), .bytes(proof)])
            try give([file.theirs], [0], pair.ours)
            try trial.expectReceived(call, proof, file.ours)
        }
    },
    Check("receive-close-on-exec", suspects: [.byteAlone]) { trial in
        let (pair, file) = (try UnixPair(), try UnixPair())
        try give([file.theirs], [0], pair.ours)
        let value = try trial.begin("receive-descriptor", [.passed(pair.theirs), .bytes([1])]).value()
        guard try [value].list(0).bool(0) else {
            throw Failure(
                expected: say("the received descriptor is close-on-exec", "收到的描述符带有 close-on-exec 标志"),
                got: say("it is not: FD_CLOEXEC is not set", "没有设置 FD_CLOEXEC"), cause: "inherited-on-exec")
        }
    },
    Check("receive-one-byte", suspects: [.byteAlone]) { trial in
        let (pair, file) = (try UnixPair(), try UnixPair())
        try give([file.theirs], Array("Xhello".utf8), pair.ours)
        try trial.expectReceived(
            try trial.begin("receive-descriptor", [.passed(pair.theirs), .bytes([1])]), [1], file.ours)
        let hello = Array("hello".utf8)
        let rest = receivePassed(100, from: pair.theirs)?.bytes ?? []
        try trial.expect(
            rest, equals: hello, say("what is left in the socket behind the one byte", "一个字节之后套接字里剩下的"),
            cause: rest.count < 5 ? "took-too-much" : nil)
    },
    Check("receive-nothing") { trial in
        let pair = try UnixPair()
        try give([], [5], pair.ours)
        try trial.expectRefused("missing", pair, say("a byte with nothing beside it", "一个字节，旁边没有描述符"))
        shutdown(pair.ours, SHUT_WR)
        try trial.expectRefused("ended", pair, say("the end of the stream", "流的结束"))
    },
    Check("receive-several") { trial in
        let file = try UnixPair()
        let pair = try UnixPair()
        // The first call is over: what its process keeps by itself is open by now.
        try give([file.theirs], [0], pair.ours)
        let first = try trial.begin("receive-descriptor", [.passed(pair.theirs), .bytes([1])])
        try trial.expectReceived(first, [1], file.ours)
        for count in [2, 3, 20] {
            let before = first.subject.descriptorCount
            try give(Array(repeating: file.theirs, count: count), [0], pair.ours)
            try trial.expectRefused("unwanted", pair, say("\(count) descriptors at once", "一次来了 \(count) 个描述符"))
            // One more is the copy of the socket, which each call gets.
            let kept = first.subject.descriptorCount - before - 1
            guard kept == 0 else {
                throw Failure(
                    expected: say("of \(count) descriptors that came at once none is open", "一次来的 \(count) 个描述符全部关闭"),
                    got: say("\(kept) are open", "还开着 \(kept) 个"), cause: "extra-kept")
            }
        }
    },
    Check("receive-flood") { trial in
        // The kernel stops where the table is full, and says MSG_CTRUNC.
        let limit = 64
        let process = try trial.launch(descriptorLimit: limit)
        let (pair, file) = (try UnixPair(), try UnixPair())
        let what = say("250 descriptors, for a process that may have 64", "250 个描述符，而进程最多能有 64 个")
        try give(Array(repeating: file.theirs, count: 250), [0], pair.ours)
        try trial.expectRefused("unwanted", pair, what, process)
        let full = Failure(
            expected: say("the process can still receive a descriptor", "进程还能接收描述符"),
            got: say("its table is full", "它的描述符表满了"), cause: "extra-kept")
        do {
            for _ in 0..<2 {
                try give(Array(repeating: file.theirs, count: 250), [0], pair.ours)
                try trial.expectRefused("unwanted", pair, what, process)
            }
            // Until there is room for two: the copy of the socket, which each call gets and keeps, and one more. The two
            // of the lab itself have numbers over the limit.
            repeat {
                try give([file.theirs], [0], pair.ours)
                let call = try trial.begin("receive-descriptor", [.passed(pair.theirs), .bytes([8])], in: process)
                try trial.expectReceived(call, [8], file.ours)
            } while process.descriptorCount - 2 < limit - 2
        } catch is Failure { throw full } catch is LabError {
            // Not even the copy of the socket has found a place.
            throw full
        }
        // One comes, and only MSG_CTRUNC tells that there were more.
        try give(Array(repeating: file.theirs, count: 3), [0], pair.ours)
        try trial.expectRefused(
            "unwanted", pair, say("3 descriptors, for a process with room for one", "3 个描述符，而进程只放得下一个"), process)
    },
    Check("receive-no-leak") { trial in
        let (pair, file) = (try UnixPair(), try UnixPair())
        var process: Subject?
        var before = 0
        for round in 0...20 {
            try give([file.theirs], [0], pair.ours)
            let call = try trial.begin("receive-descriptor", [.passed(pair.theirs), .bytes([1])])
            try trial.expectReceived(call, [1], file.ours)
            process = call.subject
            if round == 0 { before = call.subject.descriptorCount }
        }
        let more = (process?.descriptorCount ?? 0) - before
        guard more == 20 else {
            throw Failure(
                expected: say(
                    "after 20 calls nothing is open but the 20 sockets that were lent", "20 次调用后，只有借来的 20 个套接字开着"),
                got: say("\(more) descriptors more than before", "比之前多了 \(more) 个描述符"),
                cause: more > 20 ? "extra-kept" : "closed-what-was-lent")
        }
    },
    Check("pass-python") { trial in
        let path = trial.path("python.sock")
        let listener = try UnixListener(at: path)
        // Gives us the writing end of a pipe, takes one back, and says through it what it read from the first.
        let python = try PythonScript(
            """
            import os, socket, sys
            s = socket.socket(socket.AF_UNIX)
            s.connect(sys.argv[1])
            reading, writing = os.pipe()
            socket.send_fds(s, [b"!"], [writing])
            os.close(writing)
            word = os.read(reading, 100)
            data, received, flags, address = socket.recv_fds(s, 10, 4)
            os.write(received[0], b"python read %s, %d byte, %d descriptor" % (word, len(data), len(received)))
            sys.stdin.read()
            """, [path])
        defer { python.stop() }
        let connection = try listener.accept(from: python)
        defer { close(connection) }
        let value = try trial.begin("receive-descriptor", [.passed(connection), .bytes(Array("SocketLab".utf8))])
            .value()
        guard try [value].list(0).bool(1) else {
            throw Failure(
                expected: say("what Python sent can be written to", "Python 发来的描述符可以写"), got: say("it cannot", "不能写"))
        }
        let answer = try UnixPair()
        let call = try trial.begin("send-descriptor", [.passed(answer.theirs), .passed(connection)])
        _ = try call.value()
        let right = "python read SocketLab, 1 byte, 1 descriptor"
        let what = say("Python says through the descriptor", "Python 通过描述符说")
        guard let said = try readSome(answer.ours, 200), !said.isEmpty else {
            let last = call.subject.timeline.calls.last { $0.isSend }
            let hasPocket = last?.name == "sendmsg"
            throw Failure(
                expected: "\(what): \(right)", got: say("nothing: it has received no descriptor", "什么也没说：它没有收到描述符"),
                cause: hasPocket ? last?.length == 0 ? "no-byte-beside" : nil : "number-sent")
        }
        let text = String(decoding: said, as: UTF8.self)
        let isSeveral = text.hasPrefix("python read SocketLab, 1 byte, ")
        try trial.expect(text, equals: right, what, cause: isSeveral ? "control-length-padded" : nil)
    },
]

extension Cause {
    /// Only recvmsg receives what lies beside the bytes; every other call drops it.
    fileprivate static let byteAlone = Cause("descriptor-went-with-the-byte") { evidence in
        evidence.timeline.calls.first { $0.isReceive && $0.name != "recvmsg" && $0.result > 0 }?.callText
    }
}

/// Sends bytes, and descriptors beside them.
private func give(_ descriptors: [Int32], _ bytes: [UInt8], _ socket: Int32) throws {
    let count = bytes.withUnsafeBytes { sendPassing(descriptors, $0, to: socket) }
    guard count == bytes.count else { throw SocketError("sendmsg", errno) }
}

extension Trial {
    /// The program has sent a copy of this descriptor, beside one byte.
    fileprivate func expectDescriptor(_ sent: Int32, at socket: Int32, _ call: PendingCall) throws {
        let expected = say("one byte, and the descriptor beside it", "一个字节，旁边是那个描述符")
        var waiting = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, 0) > 0, let message = receivePassed(100, from: socket) else {
            throw Failure(expected: expected, got: say("nothing was sent", "什么也没有发来"), cause: "no-byte-beside")
        }
        defer { for descriptor in message.descriptors { close(descriptor) } }
        guard message.descriptors.count == 1, message.bytes.count == 1 else {
            throw Failure(
                expected: expected,
                got: say(
                    "\(byteCount(message.bytes.count)) and \(message.descriptors.count) descriptors",
                    "\(byteCount(message.bytes.count))，\(message.descriptors.count) 个描述符"),
                cause: message.descriptors.isEmpty
                    ? "number-sent" : message.bytes.count == 1 ? "control-length-padded" : nil)
        }
        var (right, got) = (stat(), stat())
        fstat(sent, &right)
        fstat(message.descriptors[0], &got)
        guard right.st_ino == got.st_ino, right.st_dev == got.st_dev else {
            throw Failure(expected: expected, got: say("another descriptor", "另一个描述符"), cause: "other-descriptor")
        }
    }

    /// The program has received a descriptor that the bytes it writes come out of.
    fileprivate func expectReceived(_ call: PendingCall, _ proof: [UInt8], _ other: Int32) throws {
        let expected = say("it receives the descriptor", "收到描述符")
        let outcome = try call.outcome(expecting: expected)
        guard case .returned(let value) = outcome else { throw Failure(expected: expected, got: outcome.text) }
        guard try [value].list(0).bool(1), let got = try readSome(other, 100) else {
            throw Failure(
                expected: say("what it returns is the descriptor that was passed", "返回的是传来的那个描述符"),
                got: say("nothing can be written to it", "不能向它写入"), cause: "number-without-meaning")
        }
        try expect(got, equals: proof, say("what comes out at the other end", "另一端读到的"))
    }

    fileprivate func expectRefused(
        _ name: String, _ pair: UnixPair, _ what: String, _ process: Subject? = nil
    ) throws {
        let expected = say("\(what): it throws DescriptorError.\(name)", "\(what)：抛出 DescriptorError.\(name)")
        let call = try begin("receive-descriptor", [.passed(pair.theirs), .bytes([1])], in: process)
        let isSeveral = name == "unwanted"
        switch try call.outcome(expecting: expected) {
        case .threw("DescriptorError", name, _, _): return
        case .returned:
            throw Failure(
                expected: expected, got: say("it returned a descriptor", "返回了一个描述符"),
                cause: isSeveral ? "extra-unnoticed" : "number-without-meaning")
        case let outcome: throw Failure(expected: expected, got: outcome.text)
        }
    }
}
