// The server with async/await of lesson 12.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

private let entry = "async-server"
private let exchange = lesson12Exchange
private let suspects: [Cause] = [.blocksThePool]

/// As many threads as Swift gives to tasks, at most.
private let width = ProcessInfo.processInfo.activeProcessorCount

let asyncChecks: [Check] =
    // Not with a table that is full in truth: libdispatch ends a program whose first timer finds no descriptor.
    eventServerChecks(entry, prefix: "async", crowd: 1000).filter {
        !["async-one-thread", "async-full-table"].contains($0.id)
    }.map { $0.explained(first: suspects) }
    + [
        Check("async-full", suspects: [.throwsOutTheQueue, .spinsOnFullTable] + suspects + [.acceptErrorEndedServer]) {
            trial in
            try trial.expectServedAfterFullTable(entry, exchange)
            // And for as long as nobody leaves: whoever does not wait then spins.
            let full = try trial.serve(entry, plan: .fail(.accept, every: 1, with: EMFILE))
            _ = try full.connect()
            try trial.expectRest(full.subject, say("a second with no room for a client", "没有空闲描述符的一秒内"))
        },
        Check("async-silent-crowd", suspects: suspects) { trial in
            let server = try trial.serve(entry)
            // More than there are threads: if each of them held one, nobody would be left for the last client.
            let silent = try (0..<width + 32).map { _ in try server.connect() }
            let talking = try server.connect()
            try exchange.run(talking)
            for client in silent.reversed() { try exchange.run(client) }
        },
        Check("async-few-threads", suspects: suspects) { trial in
            let server = try trial.serve(entry)
            let clients = try (0..<100).map { _ in try server.connect() }
            for client in clients { try exchange.run(client) }
            let threads = server.subject.threadCount
            let most = width + 16
            guard threads <= most, server.subject.children.all.isEmpty else {
                throw Failure(
                    expected: say(
                        "at most \(most) threads for 100 clients: \(width) processors, and 16",
                        "100 个客户端最多 \(most) 个线程：\(width) 个处理器，加 16"),
                    got: say("\(threads) threads", "\(threads) 个线程"), cause: "thread-behind-await")
            }
        },
        Check("async-never-blocks", suspects: suspects) { trial in
            let server = try trial.serve(entry)
            let clients = try (0..<5).map { _ in try server.connect() }
            for client in clients { try exchange.run(client) }
            let deaf = try server.connect(smallBuffers: true)
            _ = try deaf.sendUntilStuck(trial.random.letters(1 << 20))
            try exchange.run(clients[0])
            try trial.expectSettled(server)
            guard let call = server.subject.timeline.callThatBlocksThePool else { return }
            throw Failure(
                expected: say(
                    "no thread waits in recv, send or accept, nor the server's own in poll",
                    "没有线程停在 recv、send、accept 里，服务器自己的线程也不停在 poll 里"),
                got: say("\(call.callText) has not come back", "\(call.callText) 还没有返回"), cause: "blocks-the-pool")
        },
    ]
    + gracefulStopChecks(entry, prefix: "async", suspects: suspects)
    + [
        Check(
            "async-stop-crowd",
            suspects: suspects + [.returnedBeforeClosing, .idleHoldsStop, .idleTaskHoldsStop, .stopUnheard]
        ) { trial in
            let server = try trial.serve(entry, descriptorLimit: trial.descriptors(for: 500, each: 3))
            let crowd = try server.crowd(500)
            try crowd.exchange { index in Array("client \(index)".utf8) }
            try server.askToStop(trial)
            try server.expectReturn(within: Deadline.patience + Double(Lesson12.grace) / 1000)
            try trial.expectEverythingClosed(server)
        }
    ] + streamServerChecks(entry, prefix: "async", exchange: exchange, suspects: suspects)

extension Timeline {
    /// A call that a thread waits in for one client; or any wait of the thread that the server's function runs on: such a
    /// thread is one of the few that all tasks share. (A thread of the program's own may wait in poll for all of them.)
    var callThatBlocksThePool: Call? {
        let own = calls("listen").last?.thread
        return blocked.last { $0.isReceive && accepted($0.descriptor) || $0.isSend || $0.isAccept }
            ?? blocked.last { $0.isWait && $0.thread == own && $0.arguments.1 != 0 }
    }

    private func accepted(_ descriptor: Int32) -> Bool {
        calls.contains { $0.isAccept && $0.result == Int64(descriptor) }
    }
}
