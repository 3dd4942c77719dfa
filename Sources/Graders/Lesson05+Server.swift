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
        Check("echo-frames", suspects: [.fedWholeBuffer, .neverAnswered, .waitsForMore]) { trial in
            let client = try trial.serve(server).connect()
            for message in [Array("hello".utf8), [], trial.random.bytes(300), Array("\0\n粘包".utf8)] {
                try client.send(framed(message))
                try client.expectFrame(message, trial)
            }
            // Exactly as long as may be: more than one recv can give.
            let longest = [UInt8](repeating: UInt8(ascii: "x"), count: largestMessage)
            try client.send(framed(longest))
            do { try client.expectFrame(longest, trial) } catch var failure as Failure {
                failure.expected = say(
                    "a frame of exactly 1 MiB (\(largestMessage) bytes) comes back",
                    "正好 1 MiB（\(largestMessage) 字节）的帧被发回")
                throw failure
            }
        },
        Check("echo-pipelined", suspects: [.fedWholeBuffer, .waitsForMore]) { trial in
            let client = try trial.serve(server).connect()
            let messages = (1...50).map { Array("message \($0)".utf8) }
            try client.send(messages.flatMap(framed))
            try client.expectFrame(messages[0], trial)
            do { try client.expect(messages[1...].flatMap(framed)) } catch var failure as Failure {
                failure.cause = client.reasonForSilence(afterFirstOf: messages)
                throw failure
            }
        },
        Check("echo-cut", suspects: [.fedWholeBuffer, .neverAnswered]) { trial in
            for most in [1, 3] {
                let client = try trial.serve(server, plan: .most(most, each: .receive)).connect()
                let messages = ["cut", "", "anywhere"].map { Array($0.utf8) }
                try client.send(messages.flatMap(framed))
                for message in messages { try client.expectFrame(message, trial) }
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
            for (client, kept) in [(second, 6), (first, 2)] {
                try client.send(Array(frame[kept...]))
                // The third was served, so if nothing comes now, it is not because somebody holds up the others.
                do { try client.expect(frame) } catch var failure as Failure {
                    failure.cause = "half-message-lost"
                    failure.detail = say("\(kept) bytes came earlier than the rest", "有 \(kept) 个字节比其余的先到")
                    throw failure
                }
            }
        },
        Check("echo-too-long", suspects: [.clientEndedServer, .keptConnection]) { trial in
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
        Check("echo-end-mid-frame", suspects: [.closedTooEarly]) { trial in
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

extension StreamPeer {
    /// The next bytes are the frame of `message`; where they are not, its length may tell which mistake was made.
    fileprivate func expectFrame(_ message: [UInt8], _ trial: Trial) throws {
        let before = received.count
        do { try expect(framed(message)) } catch var failure as Failure {
            let answer = Array(received[before...])
            let count = UInt32(message.count)
            let mistakes: [(String, [UInt8])] = [
                ("length-host-order", bigEndianBytes(count.byteSwapped)),
                ("length-includes-header", bigEndianBytes(count + 4)), ("message-not-frame", Array(message.prefix(4))),
            ]
            failure.cause = mistakes.first { !$0.1.isEmpty && answer.starts(with: $0.1) }?.0
            throw failure
        }
    }

    /// Several frames came at once and the first was answered. Are the others kept? One more frame brings it to light.
    fileprivate func reasonForSilence(afterFirstOf messages: [[UInt8]]) -> String? {
        let more = Array("one more".utf8)
        do {
            try send(framed(more))
            guard case .bytes(let answer) = try receive(64, until: Deadline(in: 1), expected: "") else { return nil }
            if answer.starts(with: framed(messages[1])) { return "one-message-a-chunk" }
            return answer.starts(with: framed(more)) ? "rest-thrown-away" : nil
        } catch { return nil }
    }
}

extension Cause {
    /// All bytes came, none was answered: what one recv gave was not kept for the next.
    static let neverAnswered = Cause("half-message-lost") { evidence in
        let calls = evidence.timeline.calls
        let received = calls.filter { $0.isReceive && $0.result > 0 }
        guard received.count > 3, !calls.contains(where: \.isSend) else { return nil }
        return say("\(received.count) calls gave bytes, and nothing was sent", "\(received.count) 次调用给了字节，却什么也没有发送")
    }

    /// Four bytes told that the frame is too long, and the server asks for more.
    static let keptConnection = Cause("connection-kept-after-error") { evidence in
        let calls = evidence.timeline.calls
        guard let waiting = calls.last(where: { $0.isReceive && $0.isBlocked }),
            let last = calls.last(where: { $0.isReceive && $0.result > 0 && $0.descriptor == waiting.descriptor }),
            last.data == bigEndianBytes(UInt32(largestMessage + 1))
        else { return nil }
        return waiting.callText
    }

    /// Frames without end that nobody sent: the zeros of the buffer behind the bytes that came.
    static let fedWholeBuffer = Cause("fed-whole-buffer") { evidence in
        let empty = evidence.timeline.calls.filter { $0.isSend && $0.data == [0, 0, 0, 0] }.count
        guard empty > 20 else { return nil }
        return say("\(empty) empty frames were sent", "发送了 \(empty) 个空帧")
    }
}
