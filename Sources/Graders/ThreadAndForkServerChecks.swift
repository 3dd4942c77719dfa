// What servers with a thread or a process for each client must do besides: lessons 04 and 12.
import Course
import GraderKit
import Sockets
import Wire

extension Cause {
    /// Mistakes that any check of a server with a thread for each client may run into.
    static let threadServer: [Cause] = [.sharedConnection, .waitsForThread, .fewThreads]
    /// The same with a process for each.
    static let forkServer: [Cause] = [
        .waitsForChild, .childKeepsServing, .zombies, .clientReset, .parentKeepsConnection,
    ]
}

/// - Parameter prefix: what its checks' ids begin with: `threaded`.
func threadServerChecks(_ entry: String, prefix: String, exchange: Exchange) -> [Check] {
    [
        Check(
            "\(prefix)-no-mixing",
            suspects: [
                .closedTwice, .closedTooEarly, .sentStaleBytes, .sentAgainFromTheStart, .receivedAfterShortSend,
                .sharedBuffer,
            ] + Cause.threadServer + [.waitsForMore]
        ) { trial in
            // One byte at a time, so that the threads are all in the middle of their answers at once.
            let server = try trial.serve(entry, plan: .most(1, each: .send))
            let clients = try (0..<20).map { _ in try server.connect() }
            for _ in 0..<5 {
                let messages = clients.map { _ in trial.random.letters(200) }
                for (client, message) in zip(clients, messages) { try client.send(message) }
                for (client, message) in zip(clients, messages) { try client.expect(uppercased(message)) }
            }
        },
        Check(
            "\(prefix)-full",
            suspects: [
                .crashAtFullTable, .throwsOutTheQueue, .spinsOnFullTable, .acceptErrorEndedServer, .waitsForThread,
            ]
                + Cause.streamServer
        ) { trial in
            try trial.expectServedAfterFullTable(entry, exchange)
            // And for as long as nobody leaves: whoever does not wait then spins. Few wait in the queue, so that a short one
            // has room for them.
            let crowded = try trial.serve(entry, descriptorLimit: 20)
            let clients = try (0..<20).map { _ in try crowded.connect() }
            try exchange.run(clients[0])
            try trial.expectRest(
                crowded.subject, say("a second with no room for another client", "没有空闲描述符的一秒内"))
            for client in clients.prefix(10) { client.close() }
            for client in clients.suffix(10) {
                try exchange.run(client)
                // Some have two descriptors for each client, and room for half as many.
                client.close()
            }
        },
    ]
}

extension Trial {
    /// No descriptor for a moment: neither the client who waits nor the one who is in loses anything by it.
    func expectServedAfterFullTable(_ entry: String, _ exchange: Exchange) throws {
        let server = try serve(entry, plan: .fail(.accept, 2, through: 4, with: EMFILE))
        let first = try server.connect()
        try exchange.run(first)
        let second = try server.connect()
        try exchange.run(second)
        try exchange.run(first)
    }
}

/// - Parameter prefix: what its checks' ids begin with: `forking`.
func forkServerChecks(_ entry: String, prefix: String, exchange: Exchange) -> [Check] {
    [
        Check("\(prefix)-listener", suspects: Cause.streamServer) { trial in
            let server = try trial.serve(entry)
            let client = try server.connect()
            try exchange.run(client)
            server.subject.catchUp()
            let timeline = server.subject.timeline
            guard let listener = timeline.calls("listen").last?.descriptor,
                let child = timeline.child(of: server.process)
            else { throw Failure.noChild }
            // A library's receive is not recorded: then it is before it sends, or before it waits for more.
            let served = timeline.calls.first { $0.process == child && ($0.isReceive || $0.isSend) }?.entered ?? .max
            // A child of a child may serve before its parent's fork has returned.
            let closed = try server.subject.waitForTimeline(until: Deadline(in: 2)) { timeline in
                timeline.hasClosed(listener, in: child, before: served) ? true : nil
            }
            guard closed == true else {
                throw Failure(
                    expected: say(
                        "the child closes the listener, descriptor \(listener), before it serves",
                        "子进程先关闭监听套接字（描述符 \(listener)），再服务"),
                    got: say("it did not", "没有关闭"), cause: "child-keeps-listener")
            }
        },
        Check(
            "\(prefix)-child-ends",
            suspects: [.childKeepsServing, .clientReset, .parentKeepsConnection] + Cause.streamServer
        ) {
            trial in
            let server = try trial.serve(entry)
            let client = try server.connect()
            try exchange.run(client)
            server.subject.catchUp()
            guard let child = server.subject.timeline.child(of: server.process) else { throw Failure.noChild }
            client.halfClose()
            try exchange.expectEnd(client)
            guard server.wait({ !server.subject.isRunning(child) }) else {
                throw Failure(
                    expected: say("the child ends with its client", "子进程随客户端一起结束"),
                    got: say("process \(child) lives on", "进程 \(child) 还在运行"))
            }
            // One that only fails to accept, since it has closed the listener, has gone on in the loop, too.
            server.subject.catchUp()
            if let accept = server.subject.timeline.calls.first(where: { $0.isAccept && $0.process == child }) {
                throw Failure(
                    expected: say("the child ends when it has served", "子进程服务完就结束"),
                    got: say("it calls \(accept.callText)", "它调用了 \(accept.callText)"), cause: "child-keeps-serving")
            }
            try exchange.runOnce(server)
        },
        Check(
            "\(prefix)-zombies",
            suspects: [.waitsForChild, .childKeepsServing, .zombies, .clientReset, .parentKeepsConnection]
                + Cause.streamServer
        ) { trial in
            let server = try trial.serve(entry)
            for _ in 0..<300 { try exchange.runOnce(server) }
            // And 30 that leave at the same moment: one SIGCHLD, or one new client, may stand for all of them.
            let others = try (0..<30).map { _ in try server.connect() }
            for client in others { try exchange.run(client) }
            for client in others { client.halfClose() }
            for client in others { try exchange.expectEnd(client) }
            _ = server.wait { server.subject.children.all.count == server.subject.children.zombies.count }
            // A server that asks for its ended children whenever a client comes has been asked now, too.
            let last = try server.connect()
            try exchange.run(last)
            guard server.wait({ server.subject.children.zombies.count <= 10 }) else {
                let count = server.subject.children.zombies.count
                throw Failure(
                    expected: say("at most 10 zombies after 330 clients", "330 个客户端之后最多 10 个僵尸进程"),
                    got: say("\(count)", "\(count) 个"), cause: "zombies")
            }
        },
        Check(
            "\(prefix)-full",
            suspects: [
                .forkTriedAgain, .forkErrorIgnored, .waitsForChild, .neverForked, .clientReset, .parentKeepsConnection,
            ]
                + Cause.streamServer
        ) { trial in
            let server = try trial.serve(entry, plan: .fail(.fork, with: EAGAIN))
            let first = try server.connect()
            try exchange.expectEnd(first)
            try exchange.runOnce(server)
        },
    ]
}

extension Failure {
    fileprivate static var noChild: Failure {
        Failure(
            expected: say("a child process serves the client", "由子进程服务客户端"),
            got: say("there is no child process", "没有子进程"), cause: "never-forked")
    }
}

extension Timeline {
    /// The process that served: one that received, or else the first that was forked.
    fileprivate func child(of server: Int32) -> Int32? {
        calls.first { $0.isReceive && $0.process != server }?.process
            ?? calls("fork").first { $0.process == server && $0.result > 0 }.map { Int32($0.result) }
    }

    /// Did this process close the descriptor, or put another in its place (dup2(2)), or its parent before it forked it?
    fileprivate func hasClosed(_ descriptor: Int32, in process: Int32, before time: UInt64) -> Bool {
        let closes = calls.filter { $0.process == process && $0.closes(descriptor) }
        if closes.contains(where: { $0.entered < time }) { return true }
        guard let fork = calls("fork").first(where: { $0.result == Int64(process) }) else { return false }
        return hasClosed(descriptor, in: fork.process, before: fork.entered)
    }
}

extension Server {
    /// Of the process that accepts.
    fileprivate var process: Int32 { subject.processNumber }
}
