// Grader of lesson 06: select. lesson.json describes each check under the same id.
import Course
import GraderKit
import Sockets
import Wire

let lesson06 = LessonGrader(
    slug: Lesson06.slug, checks: selectServerChecks + connectWithTimeoutChecks + duplexChatChecks)

let uppercaseExchange = Exchange("hello, select", answer: "HELLO, SELECT")

// MARK: - The server

private let selectServerChecks: [Check] =
    [
        Check("select-used", suspects: selectSuspects) { trial in
            let server = try trial.serve("select-server")
            try uppercaseExchange.runOnce(server)
            try trial.expectSelect(server)
        },
        Check(
            "select-fd-setsize",
            suspects: [.anotherCallThanSelect] + Cause.eachClientsOwn + [.pastTheSet] + selectSuspects
        ) { trial in
            // Numbers from 3 on are the program's, so the last of these clients do not fit into a set.
            let server = try trial.serve("select-server", descriptorLimit: 2048)
            try trial.needsDescriptors(Int(FD_SETSIZE) + 100)
            let early = try server.connect()
            try uppercaseExchange.run(early)
            let crowd = try (0..<(Int(FD_SETSIZE) + 10)).map { _ in try server.connect() }
            let last = crowd[crowd.count - 1]
            let sentence = say(
                "a client whose descriptor is \(FD_SETSIZE) or more is closed", "描述符达到 \(FD_SETSIZE) 的客户端被关闭")
            switch try last.receive(1, until: Deadline(), expected: sentence) {
            case .end, .broken: break
            case .late:
                let isFull = server.subject.timeline.calls.last(where: \.isAccept)?.error == EMFILE
                throw Failure(
                    expected: sentence, got: say("it is kept, and not served", "连接保留着，但没有人服务"),
                    cause: isFull ? "left-in-the-queue" : nil)
            case .bytes(let bytes): throw Failure(expected: sentence, got: quoted(bytes))
            }
            // How many found room is the server's: one that has two descriptors for each client keeps half as many. Who was
            // kept is served, up to the last bit of the set.
            let kept = try crowd.filter { client in
                if case .late = try client.receive(1, until: Deadline(in: 0), expected: sentence) { return true }
                return false
            }
            let open = server.subject.descriptorCount
            guard open >= Int(FD_SETSIZE) - 20 else {
                throw Failure(
                    expected: say(
                        "the others are kept: there is room in a set as long as fewer than \(FD_SETSIZE) descriptors are open",
                        "其余的保留着：打开的描述符少于 \(FD_SETSIZE) 个时，集合里就有位置"),
                    got: say("\(kept.count) clients, \(open) descriptors", "\(kept.count) 个客户端，\(open) 个描述符"))
            }
            for client in [early, kept[0], kept[kept.count / 2], kept[kept.count - 1]] {
                try uppercaseExchange.run(client)
            }
            // One that leaves makes room for another, once the server has closed its side.
            for client in kept.prefix(100) {
                client.halfClose()
                try client.expectEnd()
                client.close()
            }
            try early.send("still there?")
            try early.expect("STILL THERE?")
            try uppercaseExchange.runOnce(server)
            // Past the end of the set lies somebody else's memory, and often nothing is to be seen of it.
            let selects = server.subject.timeline.calls("select", "pselect")
            if let widest = selects.max(by: { $0.arguments.0 < $1.arguments.0 }), widest.arguments.0 > FD_SETSIZE {
                throw Failure(
                    expected: say(
                        "select is asked about descriptors below \(FD_SETSIZE)", "只向 select 询问小于 \(FD_SETSIZE) 的描述符"),
                    got: say(
                        "\(widest.callText), with \(widest.arguments.0) as the first argument",
                        "\(widest.callText)，第一个参数是 \(widest.arguments.0)"),
                    cause: "past-fd-setsize")
            }
        },
    ] + eventServerChecks("select-server", prefix: "select", crowd: 500, suspects: selectSuspects)
    + streamServerChecks(
        "select-server", prefix: "select", exchange: uppercaseExchange,
        suspects: selectSuspects + [.pendingDroppedAtEnd])

/// Mistakes that any check of a server over select may run into.
private let selectSuspects: [Cause] = [
    .stateOfTheOneBefore, .restForgotten, .tooFewBits, .waitsForOneClient, .setNotRebuilt, .leftOutOfTheSet,
    .alwaysAsksToWrite, .acceptBlocks,
]

// MARK: - Connecting

private let connectWithTimeoutChecks: [Check] = [
    Check("connect-connects", suspects: [.begunTakenForFailed]) { trial in
        let listener = try trial.listen()
        let call = try trial.beginConnect(to: listener.address, timeout: 5000)
        _ = try listener.accept(from: call)
        let connected = try call.value()
        guard case .list(let facts) = connected, facts.count == 2 else { throw LabError("unexpected \(connected)") }
        try trial.expect(
            facts[1], equals: .string(listener.address.description), say("the peer of the descriptor", "描述符的对端"))
    },
    Check("connect-blocking-again", suspects: [.begunTakenForFailed]) { trial in
        let listener = try trial.listen()
        let call = try trial.beginConnect(to: listener.address, timeout: 5000)
        _ = try listener.accept(from: call)
        guard case .list(let facts) = try call.value() else { throw LabError("a list was expected") }
        guard facts[0] == .bool(true) else {
            throw Failure(
                expected: say("a descriptor that blocks again", "描述符恢复为阻塞"),
                got: say("O_NONBLOCK is still set", "O_NONBLOCK 仍然设置着"), cause: "left-non-blocking")
        }
    },
    Check("connect-started-once", suspects: [.blockingConnect, .begunTakenForFailed]) { trial in
        let listener = try trial.listen()
        let call = try trial.beginConnect(to: listener.address, timeout: 5000)
        _ = try listener.accept(from: call)
        _ = try call.value()
        let connects = call.subject.timeline.calls("connect")
        let nonblocking = call.subject.timeline.setNonblocking
        guard nonblocking, connects.count == 1 else {
            throw Failure(
                expected: say("one connect, on a non-blocking socket", "在非阻塞套接字上调用一次 connect"),
                got: nonblocking
                    ? say("\(connects.count) calls of connect", "connect 被调用 \(connects.count) 次")
                    : say("connect on a blocking socket", "在阻塞套接字上调用 connect"),
                cause: nonblocking ? "connects-again" : nil)
        }
    },
    Check(
        "connect-refused",
        suspects: [.begunTakenForFailed, .connectErrorIgnored, .noSocketError, .askedTwice, .errnoForSocketError]
    ) { trial in
        // Bound, but nobody listens: the port is ours, so nobody else can have it meanwhile.
        let nobody = try trial.boundStream()
        try trial.expectConnectError(ECONNREFUSED, to: nobody.address, timeout: 5000)
        // There is nothing to wait for where a call fails at once.
        let unreachable = try trial.beginConnect(
            to: nobody.address, timeout: 5000, plan: .fail(.connect, 1, with: ENETUNREACH))
        try trial.expect(unreachable, throws: ENETUNREACH)
    },
    Check("connect-times-out", suspects: [.blockingConnect, .begunTakenForFailed, .noSocketError]) { trial in
        let full = try trial.fullListener()
        // A whole second, too: then select's microseconds are 0.
        for timeout in [300, 1000] {
            let began = now()
            let call = try trial.beginConnect(to: full.address, timeout: timeout)
            try trial.expect(call, throws: ETIMEDOUT)
            try call.expectWaited(timeout, since: began)
        }
    },
    Check("connect-eintr", suspects: [.blockingConnect, .begunTakenForFailed]) { trial in
        let listener = try trial.listen()
        let call = try trial.beginConnect(
            to: listener.address, timeout: 5000, plan: .fail(.waitReady, 1, through: 3, with: EINTR))
        _ = try listener.accept(from: call)
        _ = try call.value()
        // A signal ends every wait at once, for ever. Signals must not make the time longer.
        let full = try trial.fullListener()
        let began = now()
        let late = try trial.beginConnect(
            to: full.address, timeout: 300, plan: .fail(.waitReady, every: 1, with: EINTR))
        let expected = say("ETIMEDOUT after 300 ms of interrupted waits", "等待不断被打断，300 ms 后仍以 ETIMEDOUT 结束")
        switch try late.outcomeSoFar(within: Deadline.patience) {
        case .threw("SocketError", _, ETIMEDOUT, _)?:
            do { try late.expectWaited(300, since: began) } catch var failure as Failure {
                failure.name("interrupted-wait-counted")
                throw failure
            }
        case let outcome?: throw Failure(expected: expected, got: outcome.text)
        case nil:
            // Who waits in connect itself never came to a wait.
            let waits = late.subject.timeline.calls.contains(where: \.isWait)
            throw Failure(
                expected: expected, got: say("it is still waiting", "它还在等"),
                cause: waits ? "timeout-begins-anew" : nil)
        }
    },
    Check(
        "connect-leaves-nothing",
        suspects: [
            .connectionLeak, .begunTakenForFailed, .noSocketError, .askedTwice, .errnoForSocketError, .blockingConnect,
        ]
    ) { trial in
        let nobody = try trial.boundStream()
        let process = try trial.launch(descriptorLimit: 32)
        for _ in 0..<50 {
            let call = try trial.beginConnect(to: nobody.address, timeout: 5000, in: process)
            try trial.expect(call, throws: ECONNREFUSED)
        }
        let full = try trial.fullListener()
        for _ in 0..<40 {
            let call = try trial.beginConnect(to: full.address, timeout: 1, in: process)
            try trial.expect(call, throws: ETIMEDOUT)
        }
    },
]

// MARK: - Both directions

private let duplexChatChecks: [Check] = [
    Check("duplex-peer-first", suspects: [.blockedOnOne]) { trial in
        let chat = try trial.beginChat()
        try chat.peer.send("who is there?\n")
        try chat.screen.expect("who is there?\n")
        try chat.keyboard.send("it is me\n")
        try chat.peer.expect("it is me\n")
        try chat.finish()
    },
    Check("duplex-keyboard-first", suspects: [.blockedOnOne]) { trial in
        let chat = try trial.beginChat()
        try chat.keyboard.send("hello?\n")
        try chat.peer.expect("hello?\n")
        try chat.keyboard.send("anybody?\n")
        try chat.peer.expect("anybody?\n")
        try chat.peer.send("yes\n")
        try chat.screen.expect("yes\n")
        try chat.finish()
    },
    Check("duplex-bytes", suspects: [.waitsForNewline, .interruptedCall, .shortSend, .blockedOnOne]) { trial in
        let signals = FaultPlan.fail(.waitReady, 1, through: 3, with: EINTR)
        let chat = try trial.beginChat(plan: .most(7, each: .receive) + .most(5, each: .send) + signals)
        let typed = trial.random.bytes(3000)
        let shown = trial.random.bytes(3000)
        try chat.keyboard.send(typed)
        try chat.peer.send(shown)
        try chat.peer.expect(typed)
        try chat.screen.expect(shown)
        try chat.finish()
    },
    Check(
        "duplex-half-close",
        suspects: [.endedAtTheEnd, .shortSend, .endedWithBytesPending, .closedBothDirections, .blockedOnOne]
    ) {
        trial in
        // Some is still to be sent when it reads the end.
        let chat = try trial.beginChat(plan: .most(5, each: .send))
        try chat.keyboard.send("the last words, and then some")
        chat.keyboard.halfClose()
        try chat.peer.expect("the last words, and then some")
        try chat.peer.expectEnd()
        // The other direction is still open.
        try chat.peer.send("answer to them")
        try chat.screen.expect("answer to them")
        try chat.finish()
    },
    Check(
        "duplex-peer-leaves",
        suspects: [.endedAtTheEnd, .shortSend, .resetTakenForEnd, .endedWithBytesPending, .blockedOnOne]
    ) {
        trial in
        // Some is still to be shown when it receives the end.
        let chat = try trial.beginChat(plan: .most(5, each: .send))
        try chat.peer.send("good night, and good luck")
        chat.peer.halfClose()
        try chat.screen.expect("good night, and good luck")
        // Nobody types anything more, and it ends all the same.
        try chat.expectEnd()
        // A peer that has broken off has not said that it was done: the caller has to hear of it.
        let broken = try trial.beginChat()
        try broken.peer.send("good n")
        try broken.screen.expect("good n")
        broken.peer.reset()
        try broken.expectError()
    },
    Check("duplex-idle-after-input", suspects: [.closedBothDirections, .spinning]) { trial in
        let chat = try trial.beginChat()
        chat.keyboard.halfClose()
        try chat.peer.expectEnd()
        do {
            try trial.expectRest(chat.call.subject, say("a second in which nothing happens", "什么也没有发生的一秒内"))
        } catch var failure as Failure {
            failure.cause = chat.call.subject.timeline.isAlwaysWritable ? "always-asks-to-write" : "input-end-selected"
            throw failure
        }
        try chat.peer.send("x")
        try chat.screen.expect("x")
        chat.peer.halfClose()
        try chat.expectEnd()
    },
    Check("duplex-deaf-peer", suspects: [.blockedInSend, .oneDirectionAtATime, .resetTakenForEnd]) { trial in
        let chat = try trial.beginChat(smallBuffers: true)
        let typed = try chat.keyboard.sendUntilStuck([UInt8](repeating: UInt8(ascii: "k"), count: 32 << 20))
        // The kernel has some of it; the rest the program keeps.
        guard typed < 24 << 20 else {
            throw Failure(
                expected: say(
                    "it stops reading the keyboard while the peer takes nothing", "对端什么也不取时，不再读键盘"),
                got: say("it took \(typed >> 20) MB in", "它收下了 \(typed >> 20) MB"), cause: "keeps-everything")
        }
        // The peer has read nothing yet, and what it says must be seen.
        try chat.peer.send("stop typing!")
        try chat.screen.expect("stop typing!")
        chat.peer.halfClose()
        try chat.expectEnd()
        // One that breaks off with much on its way to it.
        let broken = try trial.beginChat(smallBuffers: true)
        _ = try broken.keyboard.sendUntilStuck([UInt8](repeating: UInt8(ascii: "k"), count: 8 << 20))
        broken.peer.reset()
        try broken.expectError()
        // And the other way round: a screen that takes nothing, a pipe whose reader is busy.
        let other = try trial.beginChat(smallBuffers: true)
        _ = try other.peer.sendUntilStuck([UInt8](repeating: UInt8(ascii: "p"), count: 8 << 20))
        try other.keyboard.send("stop talking!")
        try other.peer.expect("stop talking!")
    },
    Check("duplex-one-thread", suspects: [.blockedOnOne]) { trial in
        let chat = try trial.beginChat()
        try chat.peer.send("a")
        try chat.screen.expect("a")
        try chat.keyboard.send("b")
        try chat.peer.expect("b")
        try trial.expectOneThread(chat.call.subject, else: "thread-per-direction")
        try chat.finish()
    },
]
