// What a server that serves everybody in one thread must do, by whatever call it waits: lessons 06 and 07.
import Course
import GraderKit
import Sockets
import Wire

/// - Parameter entry: its name in the contract: `select-server`.
/// - Parameter prefix: what its checks' ids begin with: `select`.
/// - Parameter crowd: how many clients it must serve at once.
/// - Parameter isReminded: what it waits with says again what it has said before: not so for edges.
/// - Parameter suspects: mistakes that only a server of this kind can make.
func eventServerChecks(
    _ entry: String, prefix: String, crowd count: Int, isReminded: Bool = true, suspects: [Cause] = []
) -> [Check] {
    [
        Check("\(prefix)-answers", suspects: [.mainThreadBlocked, .nothingTakenForEnd] + suspects) { trial in
            // What was announced may be gone: a packet with a wrong checksum is thrown away when it is looked at.
            let nothingThere = FaultPlan.fail(.receive, 1, through: 3, with: EAGAIN)
            for plan in isReminded ? [.none, nothingThere] : [.none] {
                let server = try trial.serve(entry, plan: plan)
                let client = try server.connect()
                for size in [1, 300, 40_000] {
                    let message = size == 1 ? trial.random.letters(1) : trial.random.bytes(size)
                    try client.send(message)
                    try client.expect(uppercased(message))
                }
                client.halfClose()
                try client.expectEnd()
                // Some wait for edges in a loop of their own, and there nothing is said again.
                server.subject.catchUp()
                if server.subject.timeline.calls.contains(where: \.asksForEdges) { break }
            }
        },
        Check("\(prefix)-one-thread", suspects: suspects) { trial in
            let server = try trial.serve(entry)
            let clients = try (0..<20).map { _ in try server.connect() }
            for client in clients.reversed() { try uppercaseExchange.run(client) }
            // To close is to call, too.
            for client in clients.prefix(5) {
                client.halfClose()
                try client.expectEnd()
            }
            _ = server.wait { server.openSockets.count <= 15 }
            try trial.expectOneThread(server)
        },
        Check("\(prefix)-crowd", suspects: [.smallBacklog, .mainThreadBlocked] + suspects + [.heldByOne]) {
            trial in
            // Two a client: some have a second descriptor to write with.
            let server = try trial.serve(entry, descriptorLimit: trial.descriptors(for: count, each: 2))
            let crowd = try server.crowd(count)
            for _ in 0..<3 {
                let salt = trial.random.letters(8)
                try crowd.exchange { index in salt + Array("client \(index)\u{e9}".utf8) }
            }
        },
        Check("\(prefix)-silent-client", suspects: [.mainThreadBlocked] + suspects) { trial in
            let server = try trial.serve(entry)
            let silent = try (0..<5).map { _ in try server.connect() }
            let talking = try server.connect()
            try uppercaseExchange.run(talking)
            // One leaves, and another comes, with the number that is free now: the others are not to be forgotten.
            silent[0].halfClose()
            try silent[0].expectEnd()
            silent[0].close()
            let late = try server.connect()
            try uppercaseExchange.run(late)
            for client in silent[1...].reversed() { try uppercaseExchange.run(client) }
        },
        Check(
            "\(prefix)-deaf-client",
            suspects: [.cutsWhoIsSlow, .blockedInSend, .mainThreadBlocked] + suspects
                + [.pendingDroppedAtEnd, .doesNotReadOn]
        ) { trial in
            let server = try trial.serve(entry)
            let deaf = try server.connect(smallBuffers: true)
            let message = trial.random.letters(1 << 20)
            let sent = try deaf.sendUntilStuck(message)
            let other = try server.connect()
            try uppercaseExchange.run(other)
            // What was kept for it is still there when it does read, though it sends no more.
            deaf.halfClose()
            try deaf.expect(Array(uppercased(message).prefix(sent)))
            try deaf.expectEnd()
        },
        Check("\(prefix)-back-pressure", suspects: [.cutsWhoIsSlow] + suspects + [.doesNotReadOn]) { trial in
            let server = try trial.serve(entry)
            try uppercaseExchange.runOnce(server)
            let before = server.subject.peakMemory
            let deaf = try server.connect(smallBuffers: true)
            let message = [UInt8](repeating: UInt8(ascii: "x"), count: 64 << 20)
            let most = 16 << 20
            // A busy machine may have stopped it, and not it itself: then more goes in.
            var sent = 0
            var quiet = 0
            while quiet < 3 && sent < message.count && server.subject.timeline.kept <= most {
                let more = try deaf.sendUntilStuck(Array(message[sent...])) { $0.kept > most }
                sent += more
                quiet = more < 1 << 16 ? quiet + 1 : 0
            }
            let kept = server.subject.timeline.kept
            let grown = server.subject.peakMemory - before
            guard sent < message.count, kept <= most, grown < most else {
                throw Failure(
                    expected: say(
                        "it stops reading from a client that reads nothing, and keeps less than 16 MB for it",
                        "不再从一个什么也不读的客户端读取，为它留着的不到 16 MB"),
                    got: say(
                        "it keeps \(kept >> 20) MB of what the client sent, and uses \(grown >> 20) MB more",
                        "它留着客户端发来的 \(kept >> 20) MB，多用了 \(grown >> 20) MB 内存"),
                    cause: "keeps-everything")
            }
            try trial.expectRestBesideDeafClient(server)
            // It reads all of it now, and stays: nothing is left to be sent.
            try deaf.expect([UInt8](repeating: UInt8(ascii: "X"), count: sent))
            try trial.expectRestBehindDeafClient(server)
        },
        Check(
            "\(prefix)-hang-up",
            suspects: [.brokenNotNoticed, .cutsWhoIsSlow] + suspects + [
                .blockedInSend, .connectionLeak, .pollsInsteadOfWaiting,
            ]
        ) {
            trial in
            let server = try trial.serve(entry)
            // One that says nothing, one in the middle of its answers, one that still has to be answered.
            func breakOff() throws {
                let silent = try server.connect()
                let deaf = try server.connect(smallBuffers: true)
                _ = try deaf.sendUntilStuck(trial.random.letters(1 << 20))
                let talking = try server.connect()
                try uppercaseExchange.run(talking)
                for client in [silent, deaf, talking] { client.reset() }
            }
            // A library makes descriptors for itself when it needs them first: the first round is not counted.
            try breakOff()
            try server.expectClosed(downTo: nil)
            let before = server.subject.descriptorCount
            try breakOff()
            try server.expectClosed(downTo: before)
            try trial.expectRest(
                server.subject, say("a second after all its clients have broken off", "所有客户端都断开之后的一秒内"))
            try uppercaseExchange.runOnce(server)
        },
        Check(
            "\(prefix)-full-table",
            suspects: [.throwsOutTheQueue, .asksWithoutWaiting, .spinsOnFullTable] + suspects + [
                .acceptErrorEndedServer
            ]
        ) {
            trial in
            let server = try trial.serve(entry, descriptorLimit: 40)
            let clients = try (0..<60).map { _ in try server.connect() }
            try uppercaseExchange.run(clients[0])
            try trial.expectRest(
                server.subject,
                say("a second with no room for another client", "没有空闲描述符的一秒内"))
            // Those who are in are served meanwhile, each of them.
            for client in clients.prefix(server.subject.timeline.openConnections.count) {
                try uppercaseExchange.run(client)
            }
            for client in clients.prefix(30) { client.close() }
            // Those who waited in the queue get their turn.
            for client in clients.suffix(20) {
                try uppercaseExchange.run(client)
                // Some have two descriptors for each client, and room for half as many.
                client.close()
            }
            // With nobody in the queue any more it listens as before.
            try uppercaseExchange.runOnce(server)
        },
    ]
}

extension Cause {
    /// A receive said "nothing now", and the connection was closed.
    fileprivate static let nothingTakenForEnd = Cause("eagain-taken-for-end") { evidence in
        for (close, transfers) in evidence.timeline.closedConnections {
            if let last = transfers.last(where: \.isReceive), last.error == EAGAIN { return close.callText }
        }
        return nil
    }

    /// Its waits have no time to wait.
    fileprivate static let asksWithoutWaiting = Cause("polls-instead-of-waiting") { evidence in
        guard let waits = evidence.timeline.lastWaits(20),
            waits.allSatisfy({ $0.result == 0 && $0.arguments.1 == 0 })
        else { return nil }
        return waits.last?.callText
    }

    /// It closed a client that had neither ended nor broken, with answers for it pending.
    static let cutsWhoIsSlow = Cause("slow-client-cut") { evidence in
        for (close, transfers) in evidence.timeline.closedConnections {
            let isOver = transfers.contains { call in
                call.isReceive && call.returned != nil && call.result == 0
                    || call.result < 0 && ![EAGAIN, EINTR].contains(call.error)
            }
            let (received, sent) = (transfers.receivedBytes, transfers.sentBytes)
            if !isOver, received > sent {
                return say(
                    "\(close.callText) after \(received) bytes were received and \(sent) sent",
                    "\(close.callText) 之前接收了 \(received) 字节，发送了 \(sent) 字节")
            }
        }
        return nil
    }

    /// It sends again and again to somebody who is gone.
    fileprivate static let brokenNotNoticed = Cause("broken-client-kept") { evidence in
        let failed = evidence.timeline.calls.filter { $0.isSend && ($0.error == EPIPE || $0.error == ECONNRESET) }
        guard failed.count > 50, let last = failed.last else { return nil }
        return say("\(last.callText) failed \(failed.count) times", "\(last.callText) 失败 \(failed.count) 次")
    }
}

extension Trial {
    /// It rests while a client has more to say than it takes, and reads nothing.
    func expectRestBesideDeafClient(_ server: Server) throws {
        let second = say("a second in which that client reads nothing", "那个客户端什么也不读的一秒内")
        try expectRest(server, second) { timeline in
            timeline.turnsWithoutReceiving
                ? "asks-without-receiving"
                : timeline.isAlwaysWritable ? "always-asks-to-write" : "polls-instead-of-waiting"
        }
    }

    /// The same when it has read everything, and stays.
    fileprivate func expectRestBehindDeafClient(_ server: Server) throws {
        let second = say("a second after that client has read everything", "那个客户端全部读完之后的一秒内")
        try expectRest(server, second) { timeline in
            timeline.isAlwaysWritable ? "always-asks-to-write" : "polls-instead-of-waiting"
        }
    }

    private func expectRest(_ server: Server, _ second: String, cause: (Timeline) -> String) throws {
        do { try expectRest(server.subject, second) } catch var failure as Failure {
            failure.cause = cause(server.subject.timeline)
            throw failure
        }
    }

    /// Less than 300 ms of CPU and at most 300 calls in the next second. On a busy machine a program that spins gets little
    /// CPU, and still makes many calls.
    ///
    /// - Parameter second: which one it is.
    func expectRest(_ subject: Subject, _ second: String, cause: String? = nil) throws {
        let before = (cpu: subject.cpuTime, calls: subject.timeline.callCount)
        // Not to wait for something: this second is what is measured.
        poll(nil, 0, 1000)
        let cpu = (Int(subject.cpuTime) - Int(before.cpu)) / 1_000_000
        let calls = subject.timeline.callCount - before.calls
        guard cpu < 300, calls <= 300 else {
            throw Failure(
                expected: say(
                    "less than 300 ms of CPU and at most 300 calls in \(second)", "\(second)，CPU 少于 300 ms，调用不超过 300 次"),
                got: say("\(cpu) ms of CPU, \(calls) calls", "CPU \(cpu) ms，调用 \(calls) 次"), cause: cause)
        }
    }
}

extension Timeline {
    var received: Int { calls.reduce(0) { $0 + ($1.isReceive ? Int(max(0, $1.result)) : 0) } }

    /// When bytes were last received or sent (ns); whoever looks in on itself every now and then moves nothing.
    var lastTransfer: UInt64 {
        calls.last(where: movesBytes)?.returned ?? start
    }

    /// Accepted, and not closed.
    var openConnections: [Int32] { connectionsOverTime.now }

    /// How many were, when it was most.
    var mostOpenConnections: Int { connectionsOverTime.most }

    private var connectionsOverTime: (now: [Int32], most: Int) {
        // A number is free from when close was entered, and may be what an accept returns that was entered long before.
        var events: [(time: UInt64, descriptor: Int32, isOpen: Bool)] = []
        for call in calls {
            guard let returned = call.returned else { continue }
            if call.isAccept, call.result >= 0 { events.append((returned, Int32(call.result), true)) }
            if call.name == "close" { events.append((call.entered, call.descriptor, false)) }
        }
        var open: [Int32] = []
        var most = 0
        for event in events.sorted(by: { $0.time < $1.time }) {
            open.removeAll { $0 == event.descriptor }
            if event.isOpen { open.append(event.descriptor) }
            most = max(most, open.count)
        }
        return (open, most)
    }

    /// Each close of a connection, and what was received and sent on it before, by the same process.
    var closedConnections: [(close: Call, transfers: [Call])] {
        struct Owner: Hashable { let process, descriptor: Int32 }
        var transfers: [Owner: [Call]] = [:]
        var closed: [(close: Call, transfers: [Call])] = []
        for call in calls {
            let owner = Owner(process: call.process, descriptor: call.descriptor)
            if call.name == "close" {
                closed.append((call, transfers.removeValue(forKey: owner) ?? []))
            } else {
                transfers[owner, default: []].append(call)
            }
        }
        return closed
    }

    /// Wait after wait is over at once, and nothing is received.
    var turnsWithoutReceiving: Bool {
        guard let waits = lastWaits(20), let first = waits.first, waits.allSatisfy({ $0.result > 0 }),
            // Somebody else than the listener is asked about, or said to be readable.
            waits.allSatisfy({ wait in
                wait.selected.map { $0.readable.count > 1 }
                    ?? (wait.ready.isEmpty || wait.ready.contains { $0.events & 1 != 0 })
            })
        else { return false }
        return !calls.contains { $0.isReceive && $0.entered > first.entered }
    }

    /// Bytes that were received and not sent on.
    var kept: Int {
        calls.reduce(0) { $0 + ($1.result > 0 ? ($1.isReceive ? 1 : $1.isSend ? -1 : 0) * Int($1.result) : 0) }
    }
}

extension Collection<Call> {
    var receivedBytes: Int64 { reduce(0) { $0 + ($1.isReceive ? Swift.max(0, $1.result) : 0) } }
    var sentBytes: Int64 { reduce(0) { $0 + ($1.isSend ? Swift.max(0, $1.result) : 0) } }
}

extension Server {
    /// Waits until the connections that are over have been closed.
    ///
    /// - Parameter count: as many descriptors may stay open; nil: whatever is open when everything accepted is closed.
    fileprivate func expectClosed(downTo count: Int?) throws {
        let expected = say("connections that broke off are closed", "断开的连接都被关闭")
        guard wait({ openSockets.isEmpty }), count.map({ waitForDescriptors($0) }) ?? true else {
            throw Failure(expected: expected, got: say("some are still open", "还有没关闭的"))
        }
    }
}
