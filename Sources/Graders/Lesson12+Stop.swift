// The graceful stop of lesson 12: the same for the pool and for async/await.
import Course
import GraderKit
import Sockets
import Wire

private let exchange = lesson12Exchange

/// - Parameter suspects: mistakes that only a server of its kind can make.
/// - Parameter before: those that it can make only before it was asked to stop.
func gracefulStopChecks(
    _ entry: String, prefix: String, suspects: [Cause] = [], before: [Cause] = []
) -> [Check] {
    let suspects =
        suspects + [
            .closedUnderACall, .returnedBeforeClosing, .idleHoldsStop, .deafHoldsStop, .idleTaskHoldsStop, .stopUnheard,
            .notAllWoken,
        ] + before
    return [
        Check("\(prefix)-stop-alone", suspects: suspects) { trial in
            let server = try trial.serve(entry)
            // Its threads wait by then: one that has not begun need not be woken.
            try trial.expectSettled(server)
            try server.askToStop(trial)
            try server.expectReturn(within: beforeGrace)
            try trial.expectEverythingClosed(server)
        },
        Check("\(prefix)-stop-idle", suspects: suspects) { trial in
            let server = try trial.serve(entry)
            // These leave before, and the last of their numbers is nobody's when the stop comes.
            let gone = try (0..<4).map { _ in try server.connect() }
            for client in gone { try exchange.run(client) }
            for client in gone {
                client.halfClose()
                try client.expectEnd()
            }
            let clients = try (0..<3).map { _ in try server.connect() }
            for client in clients { try exchange.run(client) }
            try server.askToStop(trial)
            for client in clients { try client.expectEnd() }
            try server.expectReturn()
            try trial.expectEverythingClosed(server)
            server.subject.catchUp()
            let stray = server.subject.timeline.calls.last { call in
                call.failed && call.error == EBADF
                    && (call.isSend || call.isReceive || call.name == "shutdown" || call.name == "close")
            }
            guard let stray else { return }
            throw Failure(
                expected: say("nothing is done with a connection that is closed", "连接关闭之后不再对它做任何事"),
                got: "\(stray.callText) = -1 EBADF", cause: "closed-number-kept")
        },
        Check(
            "\(prefix)-stop-finishes", suspects: [.closedUnderACall, .droppedAtStop, .closedOverTheRest] + suspects
        ) { trial in
            let server = try trial.serve(entry)
            let idle = try server.connect()
            try exchange.run(idle)
            let client = try server.connect(smallBuffers: true)
            let message = try trial.fillWithAnswers(client, of: server)
            // This it has not asked for. It may leave it unanswered, but whoever closes over it resets the connection, and
            // the answer is lost that was on its way.
            let more = trial.random.letters(1000)
            try client.send(more)
            try server.askToStop(trial)
            let asked = now()
            // Nobody who is not in the middle of something is left, and that is not because the grace is over.
            try idle.expectEnd(within: beforeGrace)
            // It takes its time: the grace is seconds, not milliseconds.
            poll(nil, 0, 500)
            do {
                try client.expect(uppercased(message))
                let rest = try client.receiveToEnd()
                guard uppercased(more).starts(with: rest) else {
                    throw Failure(
                        expected: say("then the answer to what was sent last, or the end", "随后是对最后发送内容的回答，或者流结束"),
                        got: quoted(rest))
                }
            } catch let failure as Failure {
                // Had the machine stood still until the grace was over, a right server would have given up as well.
                let waited = Int(now() - asked) / 1_000_000
                if waited > Lesson12.grace * 3 / 4 && waited < Lesson12.grace + 900 { throw Unavailable(busyMachine) }
                throw failure
            }
            try server.expectReturn()
        },
        Check("\(prefix)-stop-refuses", suspects: suspects) { trial in
            let server = try trial.serve(entry)
            let deaf = try server.connect(smallBuffers: true)
            _ = try trial.fillWithAnswers(deaf, of: server)
            try server.askToStop(trial)
            // The deaf client holds it up until the grace is over; the listener must not.
            try server.expectReturn(within: Deadline.patience + Double(Lesson12.grace) / 1000)
            try trial.expectEverythingClosed(server)
            let timeline = server.subject.timeline
            // A library's close leaves no record, and on a busy machine a record may be lost.
            guard let listen = timeline.calls("listen").last,
                let accepted = timeline.calls.last(where: { $0.isAccept && $0.result >= 0 }),
                let refused = timeline.close(of: listen.descriptor, after: listen.entered),
                let gone = timeline.close(of: Int32(accepted.result), after: accepted.entered)
            else {
                throw Unavailable(
                    say("there is no record of which was closed first", "没有记录说明先关闭的是哪一个"))
            }
            guard refused.entered > gone.entered else { return }
            // A lost record can make it look as if an answer were pending: then nobody is waited for, and either may be first.
            let sends = timeline.calls.filter { $0.isSend && Int64($0.descriptor) == accepted.result }
            let isHeld = sends.contains {
                $0.entered < gone.entered && ($0.isBlocked || $0.failed || $0.result < $0.length)
            }
            guard isHeld else { throw Unavailable(busyMachine) }
            throw Failure(
                expected: say(
                    "the listener is closed first, and then a client that does not take its answer",
                    "先关闭监听套接字，再断开不取回答的客户端"),
                got: say("the listener was closed last", "监听套接字最后才关闭"), cause: "listens-while-stopping")
        },
        Check("\(prefix)-stop-deadline", suspects: suspects) { trial in
            let server = try trial.serve(entry)
            // Fewer than a pool has threads.
            let deaf = try (0..<2).map { _ in try server.connect(smallBuffers: true) }
            for client in deaf { _ = try client.sendUntilStuck(trial.random.letters(1 << 20)) }
            try server.askToStop(trial)
            try server.expectReturn(within: Deadline.patience + Double(Lesson12.grace) / 1000)
            try trial.expectEverythingClosed(server)
        },
    ]
}

/// Who has nothing to wait for is done by then (seconds).
private let beforeGrace = Double(Lesson12.grace) / 1000 * 3 / 4

private let busyMachine = say(
    "this machine is too busy to send 200 KB in \(Lesson12.grace) ms", "这台机器太忙，\(Lesson12.grace) ms 内传不完 200 KB")

extension Server {
    /// SIGTERM, as `kill` sends it.
    func askToStop(_ trial: Trial) throws {
        trial.note(say("ask it to stop (SIGTERM)", "请它停止（SIGTERM）"))
        subject.signal(SIGTERM)
    }
}

extension Trial {
    /// Sends a little at a time until the server is in the middle of an answer that the client does not take: it has received
    /// everything, and still has some of it to send.
    ///
    /// - Returns: what was sent.
    func fillWithAnswers(_ client: StreamPeer, of server: Server) throws -> [UInt8] {
        let before = server.subject.timeline.received
        let keptBefore = server.subject.timeline.kept
        var message: [UInt8] = []
        while message.count < 4 << 20 {
            // In the end no more than a segment at a time: it comes whole, so nothing is left unread behind what was read.
            let part = random.letters(message.count < 65_536 ? 4096 : 500)
            try client.send(part)
            message += part
            let count = message.count
            // All of it is received, and then sent; or nothing moves any more.
            let held = try server.subject.waitForTimeline { timeline -> Bool? in
                guard timeline.received - before >= count else {
                    // It has room for a part only, and waits in the middle of that one's answer.
                    return timeline.kept > keptBefore && now() > timeline.lastTransfer + 1_000_000_000 ? true : nil
                }
                if timeline.kept <= keptBefore { return false }
                return now() > timeline.lastTransfer + 400_000_000 ? true : nil
            }
            switch held {
            case true?:
                // A send that waits has some room again before it is woken; whatever wakes it, a shutdown too, lets it take
                // all of a small piece. Not before waking changes nothing is there an answer that cannot go out.
                try server.subject.pause()
                let woken = now()
                server.subject.resume()
                let moves = try server.subject.waitForTimeline(until: Deadline(in: 0.3)) { timeline -> Bool? in
                    timeline.lastTransfer > woken ? true : nil
                }
                if moves == nil { return message }
            case false?: continue
            case nil:
                // Something still moves, little by little: where it stands is not known.
                throw Unavailable(
                    say(
                        "after \(count) bytes it is not seen to stand still in the middle of an answer",
                        "收到 \(count) 字节后，看不出它停在一个回答的中间"))
            }
        }
        throw Failure(
            expected: say("it waits until the client takes its answers", "它等客户端取走回答"),
            got: say("it took \(message.count) bytes in", "它收下了 \(message.count) 字节"), cause: "keeps-everything")
    }

    /// Every connection that was accepted has been closed, and the listener too.
    func expectEverythingClosed(_ server: Server) throws {
        // Under load the record of a close may be lost, and a library's close leaves none: the kernel knows.
        let open = server.subject.sockets(among: server.subject.timeline.openSockets)
        guard open.isEmpty else {
            throw Failure(
                expected: say("listener and connections are closed", "监听套接字和连接都已关闭"),
                got: say("still open: \(open.count) of them", "还有 \(open.count) 个开着"), cause: "left-open-at-stop")
        }
    }
}

extension Timeline {
    /// Listeners, and connections that were accepted, which no call of the program has closed.
    var openSockets: Set<Int32> {
        var open: Set<Int32> = []
        for call in calls where call.returned != nil {
            if call.name == "listen", call.result == 0 { open.insert(call.descriptor) }
            if call.isAccept, call.result >= 0 { open.insert(Int32(call.result)) }
            if call.name == "close" { open.remove(call.descriptor) }
        }
        return open
    }

    func close(of descriptor: Int32, after time: UInt64) -> Call? {
        calls.first { $0.name == "close" && $0.descriptor == descriptor && $0.entered > time }
    }
}
