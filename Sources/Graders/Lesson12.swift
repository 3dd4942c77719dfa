// Grader of lesson 12: Concurrency. Each exercise has its checks in a file of its own; here are the three servers that
// lesson 04 knows. lesson.json describes each check under the same id.
import Course
import GraderKit
import Sockets
import Wire

let lesson12 = LessonGrader(
    slug: Lesson12.slug,
    checks: iterativeChecks + forkChecks + threadChecks + poolChecks + asyncChecks + hubChecks)

/// One exchange with any of the five.
let lesson12Exchange = Exchange("five ways, 1 word", answer: "FIVE WAYS, 1 WORD")
private let exchange = lesson12Exchange

private let iterativeChecks: [Check] =
    answerChecks("iterative-server", "iterative") + [
        Check("iterative-next", suspects: [.serverServedOnce, .leftOpen] + Cause.streamServer) { trial in
            let server = try trial.serve("iterative-server")
            let clients = try (0..<5).map { _ in try server.connect() }
            // They speak while they are still in the queue: nothing of it may be lost.
            for client in clients { try client.send("waiting") }
            for client in clients {
                try client.expect("WAITING")
                client.halfClose()
                try client.expectEnd()
            }
        },
        Check("iterative-alone", suspects: Cause.streamServer) { trial in
            let server = try trial.serve("iterative-server")
            for _ in 0..<10 { try exchange.runOnce(server) }
            try trial.expectOneThread(server)
        },
    ]
    + streamServerChecks(
        "iterative-server", prefix: "iterative", exchange: exchange, suspects: [.answeredNothing])

private let forkChecks: [Check] =
    answerChecks("fork-server", "fork")
    + concurrentServerChecks(
        "fork-server", prefix: "fork", exchange: exchange, clients: 30,
        suspects: [.sentStaleBytes, .waitsForChild, .clientReset, .parentKeepsConnection])
    + forkServerChecks("fork-server", prefix: "fork", exchange: exchange)
    + streamServerChecks(
        "fork-server", prefix: "fork", exchange: exchange, suspects: Cause.forkServer + [.answeredNothing])

private let threadChecks: [Check] =
    answerChecks("thread-server", "thread")
    + concurrentServerChecks(
        "thread-server", prefix: "thread", exchange: exchange, clients: 50,
        suspects: [.sentStaleBytes] + Cause.threadServer)
    + threadServerChecks("thread-server", prefix: "thread", exchange: exchange)
    + [
        Check("thread-ends", suspects: [.leftOpen] + Cause.threadServer) { trial in
            let server = try trial.serve("thread-server")
            try exchange.runOnce(server)
            let before = server.subject.threadCount
            let clients = try (0..<20).map { _ in try server.connect() }
            for client in clients { try exchange.run(client) }
            let most = server.subject.threadCount
            guard most >= clients.count else {
                let forked = !server.subject.children.all.isEmpty
                throw Failure(
                    expected: say("a thread for each of 20 clients", "20 个客户端各有一个线程"),
                    got: say("\(most) threads", "\(most) 个线程"), cause: forked ? "process-per-client" : nil)
            }
            for client in clients {
                client.halfClose()
                try client.expectEnd()
            }
            // A thread may live a moment longer than its connection.
            let deadline = Deadline()
            while server.subject.threadCount > before + 2 {
                guard !deadline.hasPassed else {
                    throw Failure(
                        expected: say(
                            "\(before) threads again, or two more, after 20 clients have left",
                            "20 个客户端离开之后，线程数回到 \(before)，最多多两个"),
                        got: say("\(server.subject.threadCount) threads", "\(server.subject.threadCount) 个线程"),
                        cause: "threads-left-behind")
                }
                poll(nil, 0, 5)
            }
        }
    ]
    + streamServerChecks(
        "thread-server", prefix: "thread", exchange: exchange, suspects: Cause.threadServer + [.answeredNothing])
