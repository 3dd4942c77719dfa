// The three servers of lesson 04. What every TCP server must stand is in StreamServerChecks.swift, what every server for
// many clients must do in ConcurrentServerChecks.swift; here is what only these do.
import Course
import GraderKit
import Sockets
import Wire

let lesson04ServerChecks: [Check] = [
    answerChecks("uppercase-server", "uppercase"), [uppercaseBytes, uppercaseNext],
    streamServerChecks("uppercase-server", prefix: "uppercase", exchange: exchange),

    answerChecks("threaded-server", "threaded"),
    concurrentServerChecks(
        "threaded-server", prefix: "threaded", exchange: exchange, clients: 100,
        suspects: [.sharedConnection, .waitsForThread, .fewThreads]),
    [threadedNoMixing, threadedFull],
    streamServerChecks(
        "threaded-server", prefix: "threaded", exchange: exchange,
        suspects: [.sharedConnection, .waitsForThread, .fewThreads]),

    answerChecks("forking-server", "forking"),
    concurrentServerChecks(
        "forking-server", prefix: "forking", exchange: exchange, clients: 50, suspects: [.waitsForChild]),
    [forkingListener, forkingChildEnds, forkingZombies, forkingFull],
    streamServerChecks(
        "forking-server", prefix: "forking", exchange: exchange, suspects: [.waitsForChild, .zombies]),
].flatMap { $0 }

private let exchange = Exchange("Hello, 123", answer: "HELLO, 123")

/// What each of them answers.
private func answerChecks(_ entry: String, _ prefix: String) -> [Check] {
    [
        Check(
            "\(prefix)-answers", suspects: [.parentKeepsConnection, .readsPastTheEnd, .leftOpen] + Cause.streamServer
        ) { trial in
            let server = try trial.serve(entry)
            let client = try server.connect()
            for _ in 0..<10 {
                let message = trial.random.letters(20)
                try client.send(message)
                try client.expect(uppercased(message))
            }
            client.halfClose()
            try client.expectEnd()
        },
        Check(
            "\(prefix)-stream",
            suspects: [.parentKeepsConnection, .decodedAsText, .readsPastTheEnd, .leftOpen] + Cause.streamServer
        ) {
            trial in
            let server = try trial.serve(entry)
            let client = try server.connect(smallBuffers: true)
            let message = trial.random.bytes(512 << 10)
            var sent = 0
            var answer: [UInt8] = []
            // Sends ahead as far as it can, and reads only when nothing more goes in: the server has to wait in send.
            let expected = say("the answer to \(message.count) bytes", "\(message.count) 字节的回答")
            while sent < message.count {
                let count = try client.sendWhatFits(Array(message[sent..<min(sent + 16_384, message.count)]))
                sent += count
                if count > 0 { continue }
                switch try client.receive(8192, until: Deadline(), expected: expected) {
                case .bytes(let bytes): answer += bytes
                case .end: throw Failure(expected: expected, got: say("the connection was closed", "连接被关闭"))
                case .late:
                    throw Failure(
                        expected: expected,
                        got: say("\(answer.count) bytes, and then nothing", "\(answer.count) 字节，之后什么也没有"))
                case .broken(let code): throw Failure(expected: expected, got: errorText(code))
                }
            }
            client.halfClose()
            answer += try client.receiveToEnd()
            try trial.expect(answer, equals: uppercased(message), say("the answer", "回答"))
        },
    ]
}

private let uppercaseBytes = Check("uppercase-bytes", suspects: [.decodedAsText] + Cause.streamServer) { trial in
    let server = try trial.serve("uppercase-server")
    let client = try server.connect()
    // From 255 down, so that what is no text comes first.
    let all = Array((UInt8.min...UInt8.max).reversed())
    try client.send(all)
    try client.expect(uppercased(all))
}

private let uppercaseNext = Check("uppercase-next", suspects: [.serverServedOnce] + Cause.streamServer) { trial in
    let server = try trial.serve("uppercase-server")
    let first = try server.connect()
    let second = try server.connect()
    // The second speaks while it is still in the queue: nothing of it may be lost.
    try second.send("waiting")
    try exchange.run(first)
    first.halfClose()
    try first.expectEnd()
    try second.expect("WAITING")
    try exchange.run(second)
    second.close()
    try exchange.runOnce(server)
}

private let threadedNoMixing = Check(
    "threaded-no-mixing", suspects: [.closedTooEarly, .sharedBuffer, .sharedConnection, .waitsForThread, .fewThreads]
) { trial in
    // One byte at a time, so that the threads are all in the middle of their answers at once.
    let server = try trial.serve("threaded-server", plan: .most(1, each: .send))
    let clients = try (0..<20).map { _ in try server.connect() }
    for _ in 0..<5 {
        let messages = clients.map { _ in trial.random.letters(200) }
        for (client, message) in zip(clients, messages) { try client.send(message) }
        for (client, message) in zip(clients, messages) { try client.expect(uppercased(message)) }
    }
}

private let threadedFull = Check("threaded-full", suspects: [.acceptErrorEndedServer, .waitsForThread]) { trial in
    let server = try trial.serve("threaded-server", plan: .fail(.accept, 2, through: 4, with: EMFILE))
    let first = try server.connect()
    try exchange.run(first)
    let second = try server.connect()
    try exchange.run(second)
    try exchange.run(first)
}

private let forkingListener = Check("forking-listener") { trial in
    let server = try trial.serve("forking-server")
    let client = try server.connect()
    try exchange.run(client)
    server.subject.catchUp()
    let timeline = server.subject.timeline
    guard let listener = timeline.calls("listen").last?.descriptor,
        let receive = timeline.calls.first(where: { $0.isReceive && $0.process != server.process })
    else { throw Failure.noChild }
    // A child of a child may serve before its parent's fork has returned.
    let closed = try server.subject.waitForTimeline(until: Deadline(in: 2)) { timeline in
        timeline.hasClosed(listener, in: receive.process, before: receive.entered) ? true : nil
    }
    guard closed == true else {
        throw Failure(
            expected: say(
                "the child closes the listener, descriptor \(listener), before it serves",
                "子进程先关闭监听套接字（描述符 \(listener)），再服务"),
            got: say("it did not", "没有关闭"), cause: "child-keeps-listener")
    }
}

private let forkingChildEnds = Check("forking-child-ends", suspects: [.childKeepsServing, .parentKeepsConnection]) {
    trial in
    let server = try trial.serve("forking-server")
    let client = try server.connect()
    try exchange.run(client)
    server.subject.catchUp()
    let receives = server.subject.timeline.calls.filter(\.isReceive)
    guard let child = receives.first(where: { $0.process != server.process })?.process else { throw Failure.noChild }
    client.halfClose()
    try client.expectEnd()
    guard server.wait({ !server.subject.isRunning(child) }) else {
        throw Failure(
            expected: say("the child ends with its client", "子进程随客户端一起结束"),
            got: say("process \(child) lives on", "进程 \(child) 还在运行"))
    }
    try exchange.runOnce(server)
}

private let forkingZombies = Check("forking-zombies", suspects: [.zombies, .parentKeepsConnection]) { trial in
    let server = try trial.serve("forking-server")
    for _ in 0..<300 { try exchange.runOnce(server) }
    // A server that asks for its ended children whenever a client comes has been asked now, too.
    let last = try server.connect()
    try exchange.run(last)
    guard server.wait({ server.subject.children.zombies.count <= 10 }) else {
        let count = server.subject.children.zombies.count
        throw Failure(
            expected: say("at most 10 zombies after 300 clients", "300 个客户端之后最多 10 个僵尸进程"),
            got: say("\(count)", "\(count) 个"), cause: "zombies")
    }
}

private let forkingFull = Check("forking-full", suspects: [.forkErrorIgnored, .waitsForChild, .neverForked]) { trial in
    let server = try trial.serve("forking-server", plan: .fail(.fork, with: EAGAIN))
    let first = try server.connect()
    try first.expectEnd()
    try exchange.runOnce(server)
}

extension Failure {
    fileprivate static var noChild: Failure {
        Failure(
            expected: say("a child process serves the client", "由子进程服务客户端"),
            got: say("there is no child process", "没有子进程"), cause: "never-forked")
    }
}

extension Timeline {
    /// Did this process close the descriptor, or its parent before it forked it?
    fileprivate func hasClosed(_ descriptor: Int32, in process: Int32, before time: UInt64) -> Bool {
        let closes = calls("close").filter { $0.descriptor == descriptor && $0.process == process }
        if closes.contains(where: { $0.entered < time }) { return true }
        guard let fork = calls("fork").first(where: { $0.result == Int64(process) }) else { return false }
        return hasClosed(descriptor, in: fork.process, before: fork.entered)
    }
}

extension Server {
    /// Of the process that accepts.
    fileprivate var process: Int32 { subject.processNumber }

    /// Waits until it is so; false if it is not in time. The kernel tells only a parent when its child ends, so this has
    /// to ask again and again.
    fileprivate func wait(_ condition: () -> Bool) -> Bool {
        let deadline = Deadline()
        while !condition() {
            if deadline.hasPassed { return false }
            poll(nil, 0, 5)
        }
        return true
    }
}
