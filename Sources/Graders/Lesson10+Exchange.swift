// nonblocking-exchange: the socket is the grader's own, so its flags can be looked at while the program uses it.
import Course
import GraderKit
import Sockets
import Wire

let nonblockingExchangeChecks: [Check] = [
    Check("exchange-answers", suspects: Cause.exchanging) { trial in
        let exchange = try trial.beginExchange("how do you do?", answerLength: 20)
        try exchange.peer.expect("how do you do?")
        try exchange.peer.send("thank you, ")
        try exchange.peer.send("very well")
        try exchange.expectAnswer("thank you, very well")
        try trial.expectNothingLeft(in: exchange.subject, say("five more exchanges", "又交换五次")) {
            let next = try trial.beginExchange("ping", answerLength: 4, in: exchange.subject)
            try next.peer.send("pong")
            try next.expectAnswer("pong")
        }
    },
    Check("exchange-nonblocking", suspects: [.staysBlocking] + Cause.exchanging) { trial in
        let exchange = try trial.beginExchange("ping", answerLength: 4)
        try exchange.peer.expect("ping")
        try exchange.expectFlags(
            O_NONBLOCK, whileItWaits: say("O_NONBLOCK is set while it waits for the answer", "等待回答时设置着 O_NONBLOCK"),
            else: "stays-blocking")
        try exchange.peer.send("pong")
        try exchange.expectAnswer("pong")
    },
    Check("exchange-waits", suspects: [.staysBlocking, .sleepsOnEagain, .spinsOnEagain]) { trial in
        let exchange = try trial.beginExchange("ping", answerLength: 4)
        try exchange.peer.expect("ping")
        try exchange.expectWait()
        try trial.expectRest(exchange.subject, say("a second in which the peer says nothing", "对端不说话的一秒内"))
        if let sleep = exchange.subject.timeline.calls.last(where: \.isSleep) {
            throw Failure(
                expected: say("it waits for the socket", "等待的是套接字"),
                got: say("it sleeps, and looks again", "它睡一会儿，再看一次"), cause: "sleeps-on-eagain",
                detail: sleep.callText)
        }
        try exchange.peer.send("pong")
        try exchange.expectAnswer("pong")

        // What lies behind the answer stays there, and is no end of the stream.
        let request = trial.random.letters(512 << 10)
        let early = try trial.beginExchange(request, answerLength: 4)
        try early.peer.send("pong, and for the next one")
        _ = try early.subject.waitForTimeline { $0.receivedCount >= 4 ? true : nil }
        do { try early.peer.expect(request) } catch let failure as Failure {
            guard try early.call.isOver(within: 0) else { throw failure }
            let empty = early.subject.timeline.calls.contains { $0.isReceive && $0.length == 0 }
            throw Failure(
                expected: say("it goes on until the request is sent", "它继续发送，直到请求发完"),
                got: try early.call.outcome().text, cause: empty ? "empty-receive-taken-for-end" : failure.cause)
        }
        try early.expectAnswer("pong")
    },
    Check("exchange-keeps-flags", suspects: [.flagsOverwritten] + Cause.exchanging) { trial in
        let exchange = try trial.beginExchange("ping", answerLength: 4, flags: O_APPEND)
        try exchange.peer.expect("ping")
        try exchange.expectFlags(
            O_APPEND,
            whileItWaits: say("O_APPEND, which was set before, is still set", "原来设置的 O_APPEND 仍然设置着"),
            else: "flags-overwritten")
        try exchange.peer.send("pong")
        try exchange.expectAnswer("pong")
        try exchange.expectFlagsAfter(O_APPEND)
    },
    Check("exchange-restores-flags", suspects: Cause.exchanging) { trial in
        for flags in [0, O_NONBLOCK] {
            let exchange = try trial.beginExchange("ping", answerLength: 4, flags: flags)
            try exchange.peer.send("pong")
            try exchange.expectAnswer("pong")
            try exchange.expectFlagsAfter(flags)
        }
        // And on the way out that nobody looks at.
        let exchange = try trial.beginExchange("ping", answerLength: 4)
        try exchange.peer.expect("ping")
        exchange.peer.close()
        _ = try exchange.call.outcome()
        try exchange.expectFlagsAfter(0)
    },
    Check("exchange-short", suspects: [.sentAgainFromTheStart] + Cause.exchanging) { trial in
        let request = trial.random.letters(200)
        let answer = trial.random.letters(200)
        let exchange = try trial.beginExchange(
            request, answerLength: answer.count, plan: .most(3, each: .send) + .most(1, each: .receive))
        try exchange.peer.expect(request)
        try exchange.peer.send(answer)
        try exchange.expectAnswer(answer)
    },
    Check("exchange-not-now", suspects: [.againIsAnError, .waitsForBytesOnly] + Cause.exchanging) { trial in
        let request = trial.random.letters(100)
        let answer = trial.random.letters(100)
        let pieces = FaultPlan.most(10, each: .send) + .most(10, each: .receive)
        let nothingYet = FaultPlan.fail(.send, every: 2, with: EAGAIN) + .fail(.receive, every: 2, with: EAGAIN)
        func begin(_ plan: FaultPlan) throws -> PendingExchange {
            try trial.beginExchange(request, answerLength: answer.count, plan: plan)
        }
        func finish(_ exchange: PendingExchange) throws {
            try exchange.peer.expect(request)
            try exchange.peer.send(answer)
            try exchange.expectAnswer(answer)
        }
        let exchange = try begin(nothingYet + pieces)
        do { try finish(exchange) } catch let failure as Failure {
            // No edge comes behind an EAGAIN that is not the kernel's: who asks for edges is not to be blamed.
            guard exchange.call.subject.timeline.calls.contains(where: \.asksForEdges) else { throw failure }
            try finish(begin(pieces))
        }
    },
    Check("exchange-eintr", suspects: [.interruptedCall] + Cause.exchanging) { trial in
        let exchange = try trial.beginExchange(
            "ping", answerLength: 4, plan: .fail(.waitReady, 1, through: 3, with: EINTR))
        try exchange.peer.expect("ping")
        try exchange.peer.send("pong")
        try exchange.expectAnswer("pong")
    },
    Check("exchange-both-ways", suspects: [.sendsBeforeItReceives] + Cause.exchanging) { trial in
        let request = trial.random.letters(512 << 10)
        let exchange = try trial.beginExchange(request, answerLength: request.count)
        // It answers what it has read, and reads on when that has been taken.
        for start in stride(from: 0, to: request.count, by: 1 << 16) {
            let part = Array(request[start..<start + 1 << 16])
            try exchange.peer.expect(part)
            try exchange.peer.send(uppercased(part))
        }
        try exchange.expectAnswer(uppercased(request))
    },
    Check("exchange-end", suspects: [.zeroTakenForNothing, .endUnnoticed] + Cause.exchanging) { trial in
        for count in [0, 7] {
            let exchange = try trial.beginExchange("ping", answerLength: 10)
            try exchange.peer.expect("ping")
            try exchange.peer.send(trial.random.letters(count))
            exchange.peer.close()
            let error = "ended(received: \(count))"
            let expected = say("it throws StreamError.\(error)", "抛出 StreamError.\(error)")
            switch try exchange.call.outcome() {
            case .threw("StreamError", _, _, error): continue
            case let outcome: throw Failure(expected: expected, got: outcome.text)
            }
        }
        // And nothing stays open on that way out.
        let process = try trial.launch()
        func endEarly() throws {
            let exchange = try trial.beginExchange("ping", answerLength: 4, in: process)
            exchange.peer.close()
            _ = try exchange.call.outcome()
        }
        try endEarly()
        try trial.expectNothingLeft(
            in: process, say("five more exchanges that end early", "又有五次交换提前结束"), endEarly)
    },
    Check("exchange-broken", suspects: [.breakUnnoticed]) { trial in
        let waiting = try trial.beginExchange("ping", answerLength: 4)
        try waiting.peer.expect("ping")
        waiting.peer.reset()
        try expectSocketError([ECONNRESET], from: waiting.call)
        // A reset behind the end of the stream, and both are there when it looks: send fails with EPIPE, which comes with a
        // signal, and recv returns 0. Which of the two it calls first is its own business; where no answer is awaited, it
        // is send.
        for answerLength in [4, 0] {
            let sending = try trial.beginExchange(trial.random.letters(512 << 10), answerLength: answerLength)
            _ = try sending.subject.waitForTimeline { $0.calls.first(where: \.isSend) }
            try sending.subject.pause()
            sending.peer.halfClose()
            sending.peer.reset()
            sending.subject.resume()
            let outcome = try sending.call.outcome()
            switch outcome {
            case .threw("SocketError", _, EPIPE, _), .threw("SocketError", _, ECONNRESET, _),
                .threw("StreamError", _, _, "ended(received: 0)"):
                break
            default:
                throw Failure(
                    expected: say(
                        "it throws SocketError EPIPE or ECONNRESET, or StreamError.ended",
                        "抛出 SocketError EPIPE 或 ECONNRESET，或 StreamError.ended"),
                    got: outcome.text)
            }
        }
        // A reset alone, where only the sending can tell.
        let telling = try trial.beginExchange(trial.random.letters(512 << 10), answerLength: 0)
        _ = try telling.subject.waitForTimeline { $0.calls.first(where: \.isSend) }
        telling.peer.reset()
        try expectSocketError([EPIPE, ECONNRESET], from: telling.call)
    },
    Check("exchange-no-more", suspects: Cause.exchanging) { trial in
        for parts in [["pong, and for the next one"], ["po", "ng, and for the next one"]] {
            let exchange = try trial.beginExchange("ping", answerLength: 4)
            try exchange.peer.expect("ping")
            try exchange.peer.send(parts[0])
            if parts.count > 1 {
                _ = try exchange.subject.waitForTimeline { $0.receivedCount >= 2 ? true : nil }
                try exchange.peer.send(parts[1])
            }
            _ = try exchange.call.isOver(within: Deadline.patience)
            // From the socket: it may have a pipe of its own, and the kernel may have something under way.
            var left: Int32 = 0
            let deadline = Deadline(in: 1)
            repeat {
                try check("ioctl", ioctl(exchange.socket.descriptor, UInt(FIONREAD), &left))
            } while parts.joined().utf8.count - Int(left) > 4 && !deadline.hasPassed && poll(nil, 0, 1) == 0
            let count = parts.joined().utf8.count - Int(left)
            guard count <= 4 else {
                throw Failure(
                    expected: say("4 bytes are taken from the socket", "从套接字取走 4 字节"),
                    got: say("\(count) were taken", "取走了 \(count) 字节"), cause: "took-the-next-ones-bytes")
            }
            try exchange.expectAnswer("pong")
        }
    },
]

extension Cause {
    /// Mistakes that any check of the exchange may run into.
    fileprivate static let exchanging: [Cause] = [
        .zeroTakenForNothing, .againIsAnError, .staysBlocking, .readOnceOfOne,
    ]
}

/// An exchange under way: the program's socket, which the grader has, too, and the other end of it.
private struct PendingExchange {
    let trial: Trial
    let socket: OwnedSocket
    let call: PendingCall
    let peer: StreamPeer

    var subject: Subject { call.subject }

    func expectAnswer(_ answer: String) throws { try expectAnswer(Array(answer.utf8)) }

    func expectAnswer(_ answer: [UInt8]) throws {
        try trial.expect(try call.bytes(), equals: answer, say("the answer", "回答"))
    }

    /// It waits for something.
    func expectWait() throws {
        let waiting = try subject.waitForTimeline { timeline -> Bool? in
            if timeline.blocked.contains(where: { $0.isWait && !$0.isSleep }) { return true }
            // A receive that has not come back yet may only be on its way, unless the socket blocks.
            let blocks = fcntl(socket.descriptor, F_GETFL) & O_NONBLOCK == 0
            return timeline.calls.filter(\.isSleep).count > 3 || blocks && timeline.blocked.contains(where: \.isReceive)
                ? false : nil
        }
        guard waiting == true else {
            throw Failure(
                expected: say("it waits in poll or select until the socket is ready", "在 poll 或 select 中等到套接字就绪"),
                got: waiting == nil
                    ? say("no call waits for the socket", "没有调用在等待这个套接字")
                    : subject.timeline.calls.last.map(\.callText) ?? "")
        }
    }

    /// - Parameter cause: the mistake, if one of them is not set.
    func expectFlags(_ flags: Int32, whileItWaits expected: String, else cause: String) throws {
        _ = try subject.waitForTimeline { timeline in timeline.blocked.first { $0.isWait || $0.isReceive } }
        let got = try check("fcntl", fcntl(socket.descriptor, F_GETFL))
        guard got & flags == flags else {
            throw Failure(
                expected: expected, got: flagText(got), cause: cause,
                detail: subject.timeline.blocked.last(where: \.isReceive)?.callText)
        }
    }

    func expectFlagsAfter(_ flags: Int32) throws {
        let watched = O_NONBLOCK | O_APPEND
        let got = try check("fcntl", fcntl(socket.descriptor, F_GETFL)) & watched
        guard got != flags else { return }
        throw Failure(
            expected: say(
                "afterwards the socket's flags are as before: \(flagText(flags))", "之后套接字的标志和原来一样：\(flagText(flags))"),
            got: flagText(got), cause: hasClosed ? "ended-what-was-lent" : "flags-not-restored")
    }

    /// The program has closed its descriptor of the socket, which nobody can set flags on any more.
    private var hasClosed: Bool {
        subject.catchUp()
        let timeline = subject.timeline
        guard let first = timeline.calls.first(where: { $0.isSend || $0.isReceive }) else { return false }
        return timeline.calls("close").contains { $0.descriptor == first.descriptor && timeline.endsWhatWasLent($0) }
    }
}

extension Trial {
    /// Calls it five times. Each call brings a copy of its socket, which is the caller's; all else is to be closed. What a
    /// library makes for itself is there by now.
    fileprivate func expectNothingLeft(in process: Subject, _ calls: String, _ exchange: () throws -> Void) throws {
        let before = process.descriptorCount
        for _ in 0..<5 { try exchange() }
        let more = process.descriptorCount - before
        guard more == 5 else {
            throw Failure(
                expected: say(
                    "after \(calls), five more descriptors are open: the sockets that were lent",
                    "\(calls)之后，多开着五个描述符：就是借给它的套接字"),
                got: say("\(more) more", "多了 \(more) 个"),
                cause: more > 5 ? "own-descriptor-left-open" : "ended-what-was-lent")
        }
    }

    fileprivate func beginExchange(
        _ request: String, answerLength: Int, flags: Int32 = 0, plan: FaultPlan = .none, in process: Subject? = nil
    ) throws -> PendingExchange {
        try beginExchange(Array(request.utf8), answerLength: answerLength, flags: flags, plan: plan, in: process)
    }

    /// - Parameter flags: what the socket has beside O_RDWR when the program gets it.
    fileprivate func beginExchange(
        _ request: [UInt8], answerLength: Int, flags: Int32 = 0, plan: FaultPlan = .none, in process: Subject? = nil
    ) throws -> PendingExchange {
        let listener = try listen(smallBuffers: true)
        let socket = try OwnedSocket(AF_INET, SOCK_STREAM)
        // Either side's send has to wait after some KB that the other one has not received. Set before connect: socket(7).
        try SocketOptions(sendBuffer: 16_384, receiveBuffer: 4096).apply(to: socket.descriptor)
        let address = listener.address
        try check("connect", address.withSockaddr { connect(socket.descriptor, $0, $1) })
        try check("fcntl", fcntl(socket.descriptor, F_SETFL, flags))
        let call = try begin(
            "nonblocking-exchange", [.passed(socket.descriptor), .bytes(request), .int(answerLength)], plan: plan,
            in: process)
        let peer = try listener.accept(from: call)
        try SocketOptions(sendBuffer: 16_384).apply(to: peer.descriptor)
        return PendingExchange(trial: self, socket: socket, call: call, peer: peer)
    }
}
