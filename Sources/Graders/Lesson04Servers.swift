// The three servers of lesson 04. What every TCP server must stand is in StreamServerChecks.swift, what every server for
// many clients must do in ConcurrentServerChecks.swift, what comes with threads and processes in
// ThreadAndForkServerChecks.swift; here is what only these do.
import Course
import GraderKit
import Sockets
import Wire

let lesson04ServerChecks: [Check] = [
    answerChecks("uppercase-server", "uppercase"), [uppercaseBytes, uppercaseNext],
    streamServerChecks(
        "uppercase-server", prefix: "uppercase", exchange: exchange, suspects: [.serverServedOnce, .answeredNothing]),

    answerChecks("threaded-server", "threaded"),
    concurrentServerChecks(
        "threaded-server", prefix: "threaded", exchange: exchange, clients: 100,
        suspects: [.sentStaleBytes] + Cause.threadServer + [.answeredNothing]),
    threadServerChecks("threaded-server", prefix: "threaded", exchange: exchange),
    streamServerChecks(
        "threaded-server", prefix: "threaded", exchange: exchange,
        suspects: [.serverServedOnce] + Cause.threadServer + [.answeredNothing]),

    answerChecks("forking-server", "forking"),
    concurrentServerChecks(
        "forking-server", prefix: "forking", exchange: exchange, clients: 50,
        suspects: [.sentStaleBytes, .waitsForChild, .clientReset, .parentKeepsConnection, .answeredNothing]),
    forkServerChecks("forking-server", prefix: "forking", exchange: exchange),
    streamServerChecks(
        "forking-server", prefix: "forking", exchange: exchange,
        suspects: [.serverServedOnce] + Cause.forkServer + [.answeredNothing]),
].flatMap { $0 }

private let exchange = Exchange("Hello, 123", answer: "HELLO, 123")

/// What each of them answers.
func answerChecks(_ entry: String, _ prefix: String) -> [Check] {
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
            suspects: [.parentKeepsConnection, .decodedAsText, .otherBytesChanged, .readsPastTheEnd, .leftOpen]
                + Cause.streamServer
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

private let uppercaseBytes = Check(
    "uppercase-bytes", suspects: [.decodedAsText, .otherBytesChanged] + Cause.streamServer
) { trial in
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
