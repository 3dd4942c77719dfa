// The pool of lesson 12.
import Course
import GraderKit
import Sockets
import Wire

private let entry = "pool-server"
private let exchange = lesson12Exchange
private let limits = Lesson12.limits
private let suspects: [Cause] = [.sharedConnection, .waitsForThread, .poolThreadGone, .newestFirst, .turnedAway]

let poolChecks: [Check] =
    answerChecks(entry, "pool")
    + concurrentServerChecks(
        entry, prefix: "pool", exchange: exchange, clients: limits.threads, suspects: suspects + [.fewThreads])
    + boundChecks
    + gracefulStopChecks(entry, prefix: "pool", before: suspects)
    + [
        Check(
            "pool-stop-full",
            suspects: [
                .closedUnderACall, .returnedBeforeClosing, .idleHoldsStop, .idleTaskHoldsStop, .stopUnheard,
            ] + suspects
        ) {
            trial in
            let server = try trial.serve(entry)
            let crowd = try (0..<limits.threads + limits.queue + 10).map { _ in try server.connect() }
            try exchange.run(crowd[0])
            try trial.expectSettled(server)
            try server.askToStop(trial)
            try server.expectReturn(within: Deadline.patience + Double(limits.grace) / 1000)
            try trial.expectEverythingClosed(server)
        }
    ] + streamServerChecks(entry, prefix: "pool", exchange: exchange, suspects: suspects)

private let boundChecks: [Check] = [
    Check("pool-threads", suspects: suspects) { trial in
        let server = try trial.serve(entry)
        let crowd = try (0..<30).map { _ in try server.connect() }
        try exchange.run(crowd[0])
        try trial.expectSettled(server)
        let threads = server.subject.threadCount
        // Its own main thread and one for the stop, and some that Foundation and Dispatch may have started.
        let most = limits.threads + 6
        guard threads <= most, server.subject.children.all.isEmpty else {
            throw Failure(
                expected: say(
                    "at most \(most) threads and no child with 30 clients: \(limits.threads) that serve, and 6 others",
                    "有 30 个客户端时最多 \(most) 个线程、没有子进程：\(limits.threads) 个服务线程，另外 6 个"),
                got: say(
                    "\(threads) threads, \(server.subject.children.all.count) children",
                    "\(threads) 个线程，\(server.subject.children.all.count) 个子进程"),
                cause: "pool-without-bound")
        }
    },
    Check("pool-back-pressure", suspects: [.turnedAway] + suspects) { trial in
        let server = try trial.serve(entry)
        let crowd = try (0..<40).map { _ in try server.connect() }
        try exchange.run(crowd[0])
        try trial.expectSettled(server)
        let timeline = server.subject.timeline
        let accepted = timeline.openConnections.count
        // One may be in the hand of the thread that accepts.
        let most = limits.threads + limits.queue + 1
        guard accepted <= most else {
            throw Failure(
                expected: say(
                    "at most \(most) of 40 clients are accepted while nobody leaves: \(limits.threads) served, "
                        + "\(limits.queue) in the queue, one in the hand",
                    "没有人离开时，40 个客户端中最多接受 \(most) 个：服务 \(limits.threads) 个，排队 \(limits.queue) 个，手里一个"),
                got: say("it accepted \(accepted)", "它接受了 \(accepted) 个"), cause: "queue-without-bound")
        }
        let before = timeline.callCount
        do { try trial.expectQuiet(server) } catch var failure as Failure {
            // Without a call it is the CPU alone that is busy.
            let calls = server.subject.timeline.callCount - before
            if calls > 10 { failure.cause = failure.cause ?? "polls-instead-of-waiting" }
            throw failure
        }
        // Everybody gets a turn, those who waited in the kernel too, in the order in which they came.
        for client in crowd {
            try exchange.run(client)
            client.halfClose()
            try client.expectEnd()
        }
        // Nor are all of those in the kernel's queue taken when one place is free. Whoever is served to the end may be counted
        // out before it is closed.
        server.subject.catchUp()
        let crowded = server.subject.timeline.mostOpenConnections
        guard crowded <= most + limits.threads else {
            throw Failure(
                expected: say(
                    "at most \(most) clients are accepted at any time, also when one has left",
                    "任何时候最多接受 \(most) 个客户端，有人离开时也一样"),
                got: say("\(crowded) were open at once", "同时打开了 \(crowded) 个"), cause: "queue-without-bound")
        }
    },
    Check("pool-next", suspects: [.turnedAway] + suspects) { trial in
        let server = try trial.serve(entry)
        let first = try (0..<limits.threads).map { _ in try server.connect() }
        for client in first { try exchange.run(client) }
        // All threads are taken. Who comes now waits, and what it says is not lost.
        let next = try server.connect()
        try next.send("my turn?")
        try trial.expectSettled(server)
        first[1].halfClose()
        try first[1].expectEnd()
        try next.expect("MY TURN?")
        for client in [first[0], first[2], first[3], next] { try exchange.run(client) }
    },
    Check("pool-threads-stay", suspects: [.poolThreadGone] + suspects) { trial in
        let server = try trial.serve(entry)
        // Each thread meets clients that break off, and serves on.
        for _ in 0..<limits.threads * 3 {
            let client = try server.connect()
            try exchange.run(client)
            client.reset()
        }
        let clients = try (0..<limits.threads).map { _ in try server.connect() }
        for client in clients.reversed() { try exchange.run(client) }
    },
]

extension Trial {
    /// Nobody accepts for half a second, after at least one client was served: what the server wants to take in, it has.
    func expectSettled(_ server: Server) throws {
        let deadline = Deadline()
        while !deadline.hasPassed {
            let before = server.subject.timeline.calls.filter(\.isAccept).count
            // Not to wait for something: this half second is what is measured.
            poll(nil, 0, 500)
            if server.subject.timeline.calls.filter(\.isAccept).count == before { return }
        }
    }
}
