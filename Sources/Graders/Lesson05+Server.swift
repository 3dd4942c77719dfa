// Lesson 05: the framed echo server. What every TCP server must bear (resets, silence, EINTR, restarts) is checked as for
// the servers of lesson 04.
import Course
import GraderKit
import Sockets
import Wire

private let server = "framed-echo-server"
private let largestMessage = 1 << 20

let framedEchoChecks: [Check] =
    [
        Check("echo-frames", suspects: [.answeredWithoutLength, .answeredOnce]) { trial in
            let client = try trial.serve(server).connect()
            for message in [Array("hello".utf8), [], trial.random.bytes(300), Array("\0\n粘包".utf8)] {
                try client.send(framed(message))
                try client.expect(framed(message))
            }
            // Exactly as long as may be: more than one recv can give.
            let longest = [UInt8](repeating: UInt8(ascii: "x"), count: largestMessage)
            try client.send(framed(longest))
            try client.expect(framed(longest))
        },
        Check("echo-pipelined", suspects: [.answeredWithoutLength, .answeredOnce]) { trial in
            let client = try trial.serve(server).connect()
            let frames = (1...50).flatMap { framed(Array("message \($0)".utf8)) }
            try client.send(frames)
            try client.expect(frames)
        },
        Check("echo-cut", suspects: [.answeredWithoutLength, .neverAnswered]) { trial in
            for most in [1, 3] {
                let client = try trial.serve(server, plan: .most(most, each: .receive)).connect()
                let frames = ["cut", "", "anywhere"].flatMap { framed(Array($0.utf8)) }
                try client.send(frames)
                try client.expect(frames)
            }
        },
        Check("echo-half-frame", suspects: [.blockedInReceive]) { trial in
            let service = try trial.serve(server)
            let (first, second, third) = (try service.connect(), try service.connect(), try service.connect())
            let frame = framed(Array("half".utf8))
            try first.send(Array(frame[..<2]))
            try second.send(Array(frame[..<6]))
            // The last to come is answered first: none of the others holds it up.
            try third.send(frame)
            try third.expect(frame)
            try second.send(Array(frame[6...]))
            try second.expect(frame)
            try first.send(Array(frame[2...]))
            try first.expect(frame)
        },
        Check("echo-too-long", suspects: [.waitsForTooLong, .keptConnection]) { trial in
            let service = try trial.serve(server)
            let client = try service.connect()
            let hello = framed(Array("hello".utf8))
            try client.send(hello)
            try client.expect(hello)
            // The four bytes and nothing else: who waits for the message waits for ever.
            try client.send(bigEndianBytes(UInt32(largestMessage + 1)))
            let expected = say("the program closes \(client.name)", "程序关闭\(client.name)")
            switch try client.receive(64, until: Deadline(), expected: expected) {
            case .end, .broken: break
            case .late: throw Failure(expected: expected, got: say("it is still open", "它仍然开着"))
            case .bytes(let bytes): throw Failure(expected: expected, got: say("an answer: ", "回答了 ") + quoted(bytes))
            }
            let next = try service.connect()
            try next.send(hello)
            try next.expect(hello)
        },
        Check("echo-end-mid-frame", suspects: [.answeredWithoutLength, .answeredOnce]) { trial in
            let client = try trial.serve(server).connect()
            let complete = ["one", "", "two"].flatMap { framed(Array($0.utf8)) }
            try client.send(complete + framed(Array("three".utf8)).dropLast(2))
            client.halfClose()
            let answer = try client.receiveToEnd()
            try trial.expect(
                answer, equals: complete,
                say("the three complete frames, and then the end", "三个完整的帧，然后流结束"))
        },
    ] + concurrentServerChecks(server, prefix: "echo", exchange: oneFrame, clients: 50)
    + streamServerChecks(server, prefix: "echo", exchange: oneFrame)

private let oneFrame = Exchange(question: framed(Array("Hello, 世界".utf8))) { client in
    try client.expect(framed(Array("Hello, 世界".utf8)))
}

extension Cause {
    /// The message went back as `next` gave it.
    static let answeredWithoutLength = Cause("message-not-frame") { evidence in
        guard let sent = evidence.timeline.calls.first(where: { $0.isSend && $0.length > 0 }),
            let received = evidence.timeline.calls.first(where: { $0.isReceive && $0.result > 4 }),
            sent.data.first != 0, received.data.dropFirst(4).starts(with: sent.data)
        else { return nil }
        return sent.callText
    }

    /// Several frames came at once and one was answered; now the server waits for more.
    static let answeredOnce = Cause("one-message-a-chunk") { evidence in
        let calls = evidence.timeline.calls
        guard let waiting = calls.last(where: { $0.isReceive && $0.isBlocked }),
            let chunk = calls.last(where: { $0.isReceive && $0.result > 0 && $0.descriptor == waiting.descriptor }),
            calls.filter({ $0.isSend && $0.entered > chunk.entered }).count == 1
        else { return nil }
        return say(
            "one recv gave \(chunk.result) bytes; one frame was answered, then \(waiting.callText)",
            "一次 recv 给了 \(chunk.result) 字节，只回答了一个帧，然后 \(waiting.callText)")
    }

    /// All bytes came, none was answered: what one recv gave was not kept for the next.
    static let neverAnswered = Cause("decoder-a-chunk") { evidence in
        let calls = evidence.timeline.calls
        let received = calls.filter { $0.isReceive && $0.result > 0 }
        guard received.count > 3, !calls.contains(where: \.isSend) else { return nil }
        return say("\(received.count) calls gave bytes, and nothing was sent", "\(received.count) 次调用给了字节，却什么也没有发送")
    }

    /// Four bytes tell that the frame is too long; the server asks for more.
    static let waitsForTooLong = Cause("limit-checked-late") { evidence in
        let calls = evidence.timeline.calls
        guard let waiting = calls.last(where: { $0.isReceive && $0.isBlocked }),
            let last = calls.last(where: { $0.isReceive && $0.result > 0 && $0.descriptor == waiting.descriptor }),
            last.data == bigEndianBytes(UInt32(largestMessage + 1))
        else { return nil }
        return waiting.callText
    }

    /// The bad length was noticed, the connection stays.
    static let keptConnection = Cause("connection-kept-after-error") { evidence in
        let calls = evidence.timeline.calls
        guard let bad = calls.last(where: { $0.isReceive && $0.result == 4 }) else { return nil }
        let closed = calls.contains { ["close", "shutdown"].contains($0.name) && $0.descriptor == bad.descriptor }
        return closed ? nil : ""
    }
}
