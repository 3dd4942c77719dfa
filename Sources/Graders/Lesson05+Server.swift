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
        Check("echo-frames", suspects: decoding + [.neverAnswered, .waitsForMore]) { trial in
            let service = try trial.serve(server)
            let client = try service.connect()
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
                if failure.cause == nil, try service.echoes(framed(longest.dropLast(4))) {
                    failure.cause = "limit-off-by-one"
                }
                throw failure
            }
        },
        Check("echo-pipelined", suspects: decoding + [.waitsForMore]) { trial in
            let client = try trial.serve(server).connect()
            let messages = (1...50).map { Array("message \($0)".utf8) }
            try client.send(messages.flatMap(framed))
            try client.expectFrame(messages[0], trial)
            do { try client.expect(messages[1...].flatMap(framed)) } catch var failure as Failure {
                failure.cause = client.reasonForSilence(afterFirstOf: messages)
                throw failure
            }
        },
        Check("echo-cut", suspects: decoding + [.neverAnswered]) { trial in
            for most in [1, 3] {
                let client = try trial.serve(server, plan: .most(most, each: .receive)).connect()
                let messages = ["cut", "", "anywhere"].map { Array($0.utf8) }
                try client.send(messages.flatMap(framed))
                for message in messages { try client.expectFrame(message, trial) }
            }
        },
        Check("echo-half-frame", suspects: decoding + [.halfLost, .blockedInReceive]) { trial in
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
                try client.expect(frame)
            }
        },
        Check("echo-too-long", suspects: decoding + [.clientEndedServer, .keptConnection]) { trial in
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
            case .late:
                throw Failure(
                    expected: expected, got: say("it is still open", "它仍然开着"),
                    cause: client.answersOneByte() ? "length-cut-to-bits" : nil)
            case .bytes(let bytes): throw Failure(expected: expected, got: say("an answer: ", "回答了 ") + quoted(bytes))
            }
            let next = try service.connect()
            try next.send(hello)
            try next.expect(hello)
        },
        Check("echo-end-mid-frame", suspects: decoding + [.closedUnread, .closedTooEarly, .neverClosesIt]) { trial in
            let client = try trial.serve(server).connect()
            let complete = ["one", "", "two"].flatMap { framed(Array($0.utf8)) }
            try client.send(complete + framed(Array("three".utf8)).dropLast(2))
            client.halfClose()
            let answer = try client.receiveToEnd()
            try trial.expect(
                answer, equals: complete,
                say("the three complete frames, and then the end", "三个完整的帧，然后流结束"))
        },
    ]
    + concurrentServerChecks(
        server, prefix: "echo", exchange: oneFrame, clients: 50, suspects: decoding + [.fewThreads])
    + streamServerChecks(server, prefix: "echo", exchange: oneFrame, suspects: decoding)

/// What goes wrong with frames, in the echo of any: asked before all that may be wrong with a server.
private let decoding: [Cause] =
    [.lengthSwapped, .fedWholeBuffer, .sameFrameAgain, .framedChunk, .continuesAnother] + Cause.framingMistakes + [
        .severalFrames
    ]

private let oneFrame = Exchange(question: framed(Array("Hello, 世界".utf8))) { client in
    try client.expect(framed(Array("Hello, 世界".utf8)))
}

extension Server {
    /// To a client of its own.
    fileprivate func echoes(_ frame: [UInt8]) throws -> Bool {
        do {
            let client = try connect()
            try client.send(frame)
            try client.expect(frame)
            return true
        } catch is Failure { return false }
    }
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
                ("length-cut-to-bits", bigEndianBytes(count & 0xff)),
                ("length-cut-to-bits", bigEndianBytes(count & 0xffff)),
            ]
            failure.cause =
                mistakes.first {
                    !$0.1.isEmpty && $0.1 != bigEndianBytes(count) && answer.starts(with: $0.1)
                }?.0
            if message.isEmpty && answer.isEmpty { failure.cause = reasonForNoEmptyFrame() }
            throw failure
        }
    }

    /// An empty frame was not answered. Does it come with the next one, or not at all?
    private func reasonForNoEmptyFrame() -> String? {
        let (empty, next) = (framed([UInt8]()), framed(Array("next".utf8)))
        do {
            try send(next)
            guard case .bytes(let answer) = try receive(64, until: Deadline(in: 1), expected: "") else { return nil }
            return empty.starts(with: answer) || answer.starts(with: empty)
                ? "empty-message-waits" : answer == next ? "empty-dropped" : nil
        } catch { return nil }
    }

    /// Of a length over 1 MiB only the low bits were looked at: one byte behind it makes the frame whole.
    fileprivate func answersOneByte() -> Bool {
        do {
            try send("x")
            guard case .bytes(let answer) = try receive(64, until: Deadline(in: 1), expected: "") else { return false }
            return answer == framed(Array("x".utf8))
        } catch { return false }
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

    /// The frame came in two pieces, the connection is open, and nothing was sent on it.
    fileprivate static let halfLost = Cause("half-message-lost") { evidence in
        let frame = framed(Array("half".utf8))
        for connection in evidence.timeline.echoes where !connection.gaveUp && connection.sent.isEmpty {
            guard connection.chunks.count > 1, connection.chunks.flatMap({ $0 }) == frame else { continue }
            let kept = connection.chunks[0].count
            return say("\(kept) bytes came earlier than the rest", "有 \(kept) 个字节比其余的先到")
        }
        return nil
    }

    /// More was sent than had come, the same again and again.
    fileprivate static let sameFrameAgain = Cause("message-again") { evidence in
        var connections: [Int64: (received: Int64, sent: Int64, last: Call?, times: Int)] = [:]
        for call in evidence.timeline.calls {
            if call.isAccept && call.result >= 0 { connections[call.result] = (0, 0, nil, 0) }
            guard call.result > 0, call.isReceive || call.isSend,
                var connection = connections[Int64(call.descriptor)]
            else { continue }
            if call.isReceive {
                connection.received += call.result
                connection.times = 0
            } else {
                connection.sent += call.result
                let isSame = connection.last?.data == call.data && connection.last?.length == call.length
                connection.times = isSame ? connection.times + 1 : 1
                connection.last = call
                if connection.times >= 3 && connection.sent > connection.received {
                    return say("it sent the same \(call.length) bytes again", "它又发送了同样的 \(call.length) 字节")
                }
            }
            connections[Int64(call.descriptor)] = connection
        }
        return nil
    }

    /// What one receive gave was sent as one frame, though its first four bytes tell another length.
    fileprivate static let framedChunk = Cause(FramingMistake.oneChunkOneMessage.rawValue) { evidence in
        let calls = evidence.timeline.calls
        for (index, chunk) in calls.enumerated() where chunk.isReceive && chunk.result > 4 {
            let count = Int(chunk.result)
            guard
                let send = calls[(index + 1)...].first(where: {
                    $0.isSend && $0.descriptor == chunk.descriptor && $0.process == chunk.process
                }),
                send.length == count, !chunk.data.starts(with: send.data.prefix(4)),
                send.data.starts(with: bigEndianBytes(UInt32(count - 4))),
                zip(send.data, chunk.data).dropFirst(4).allSatisfy(==)
            else { continue }
            return say("recv gave \(count) bytes, it sent them as one frame", "recv 给了 \(count) 字节，它当作一个帧发送了出去")
        }
        return nil
    }

    /// Decoders are kept by descriptor, and the number of a connection that is gone is given to the next one.
    fileprivate static let continuesAnother = Cause("state-of-the-one-before") { evidence in
        evidence.timeline.echoes.contains(where: \.continuesAnother) ? "" : nil
    }

    /// What came back on each connection is what a decoder, or an encoder, with this one mistake makes of what was
    /// received there, and not what a right one does.
    fileprivate static let framingMistakes: [Cause] = FramingMistake.allCases.map { mistake in
        Cause(mistake.rawValue) { evidence in
            let echoes = evidence.timeline.echoes.filter { !$0.isExplained(by: nil) }
            guard !echoes.isEmpty else { return nil }
            func explains(_ mistake: FramingMistake) -> Bool { echoes.allSatisfy { $0.isExplained(by: mistake) } }
            guard explains(mistake) else { return nil }
            return FramingMistake.allCases.contains { $0 != mistake && explains($0) } ? nil : ""
        }
    }

    /// What came was one frame; the first answer has a smaller length, and more is sent than came.
    static let severalFrames = Cause("message-in-several-frames") { evidence in
        let calls = evidence.timeline.calls
        func length(_ call: Call) -> UInt32 { call.data.prefix(4).reduce(0) { $0 << 8 | UInt32($1) } }
        for (index, send) in calls.enumerated() where send.isSend && send.data.count >= 4 && send.result > 0 {
            // The first of what came since the answer before.
            let before = calls[..<index].filter { $0.descriptor == send.descriptor }
            let answered = before.lastIndex(where: \.isSend).map { $0 + 1 } ?? 0
            guard let receive = before[answered...].first(where: { $0.isReceive && $0.data.count >= 4 }) else {
                continue
            }
            let (came, went) = (length(receive), length(send))
            if went > 0, went < came, went != came.byteSwapped, send.length > Int(came) + 4 { return send.callText }
        }
        return nil
    }

    /// Four bytes told that the frame is too long, and the server asks for more, or leaves it at that.
    static let keptConnection = Cause("connection-kept-after-error") { evidence in
        let calls = evidence.timeline.calls
        let length = bigEndianBytes(UInt32(largestMessage + 1))
        guard let told = calls.firstIndex(where: { $0.isReceive && $0.data == length }) else { return nil }
        let later = calls[(told + 1)...].filter { $0.descriptor == calls[told].descriptor }
        return later.isEmpty ? calls[told].callText : later.last(where: \.isReceive)?.callText
    }

    /// Frames without end that nobody sent: the zeros of the buffer behind the bytes that came.
    static let fedWholeBuffer = Cause("fed-whole-buffer") { evidence in
        let calls = evidence.timeline.calls
        let empty = calls.filter { $0.isSend && $0.data == [0, 0, 0, 0] }.count
        // Each chunk has hundreds of them behind its bytes.
        guard empty > 20, empty > 20 * calls.filter({ $0.isReceive && $0.result > 0 }).count else { return nil }
        return say("\(empty) empty frames were sent", "发送了 \(empty) 个空帧")
    }
}

/// What came and went on one connection of an echo server.
private struct EchoedConnection {
    var chunks: [[UInt8]] = []
    /// What the connection that had its descriptor before left unfinished.
    var before: [UInt8] = []
    var sent: [UInt8] = []
    /// The server closed it before it saw an end or an error.
    var gaveUp = false
    var isOver = false
    /// It is in the middle of something, or the tap did not keep all bytes: nothing can be said.
    var isUnclear = false
    /// Of the last chunk only the beginning is known.
    var isCut = false
    /// Its last call left the server with something to do.
    var isBusy = false

    /// A server with this mistake, or none, sends the same and gives up at the same point.
    func isExplained(by mistake: FramingMistake?) -> Bool {
        [0, 1].contains { variant in
            var encoding: FramingMistake?
            if mistake == .lengthIncludesHeader || mistake == .lengthCutToBits { encoding = mistake }
            return isExplained(decoder: mistake, variant, encoder: nil)
                || encoding != nil && isExplained(decoder: nil, variant, encoder: encoding)
        }
    }

    /// What it sends is what a decoder makes of these bytes that has the rest of another connection in it.
    var continuesAnother: Bool {
        var other = self
        other.chunks.insert(before, at: 0)
        return !before.isEmpty && !isExplained(by: nil) && other.isExplained(by: nil)
    }

    /// Behind the last whole frame, were it to go on where the one before it broke off.
    var rest: [UInt8] {
        let bytes = before + chunks.joined()
        let messages = DecoderModel.decode([bytes], as: .frames, limit: largestMessage).messages
        return Array(bytes.dropFirst(Framing.frames.bytes(in: messages.flatMap { $0 })))
    }

    private func isExplained(decoder: FramingMistake?, _ variant: Int, encoder: FramingMistake?) -> Bool {
        let decoding = DecoderModel.decode(
            chunks, as: .frames, limit: largestMessage, mistake: decoder, variant: variant)
        let answer = decoding.messages.flatMap { $0 }.flatMap { message -> [UInt8] in
            let count = UInt32(message.count)
            switch encoder {
            case .lengthIncludesHeader: return bigEndianBytes(count + 4) + message
            case .lengthCutToBits: return bigEndianBytes(count & (variant == 0 ? 0xff : 0xffff)) + message
            default: return framed(message)
            }
        }
        return answer == sent && (decoding.error != nil) == gaveUp
    }
}

extension Timeline {
    /// The connections of which all is known, and that wait for more or are over.
    fileprivate var echoes: [EchoedConnection] {
        var open: [Int64: EchoedConnection] = [:]
        var rests: [Int64: [UInt8]] = [:]
        var all: [EchoedConnection] = []
        // The thread that accepts enters accept again before another one closes the connection of this number.
        func time(_ call: Call) -> UInt64 { call.isAccept ? call.returned ?? call.entered : call.entered }
        for call in calls.sorted(by: { time($0) < time($1) }) {
            if call.isAccept && call.result >= 0 {
                if let before = open[call.result] { all.append(before) }
                open[call.result] = EchoedConnection(before: rests[call.result] ?? [])
                continue
            }
            let key = Int64(call.descriptor)
            guard var connection = open[key] else { continue }
            connection.isBusy =
                call.isReceive ? call.result > 0 : call.isSend || connection.isBusy && call.name != "close"
            if call.isReceive && call.result > 0 {
                connection.isUnclear = connection.isUnclear || connection.isCut
                connection.isCut = call.data.count < Int(call.result)
                connection.chunks.append(Array(call.data.prefix(Int(call.result))))
            } else if call.isReceive && call.returned != nil && call.error != EINTR && call.error != EAGAIN {
                connection.isOver = true
            } else if call.isSend {
                let count = max(0, Int(call.result))
                connection.isUnclear =
                    connection.isUnclear || connection.isCut || call.data.count < count
                    || call.failed && call.error != EINTR || call.returned == nil
                connection.sent += call.data.prefix(count)
            } else if call.name == "close" || call.name == "shutdown" {
                connection.gaveUp = connection.gaveUp || !connection.isOver
                if call.name == "close" {
                    open[key] = nil
                    rests[key] = connection.rest
                    all.append(connection)
                    continue
                }
            }
            open[key] = connection
        }
        // The beginning of a chunk may be enough to give up.
        return (all + open.values).filter {
            !$0.isUnclear && !$0.isBusy && !$0.chunks.isEmpty && (!$0.isCut || $0.gaveUp)
        }
    }
}

extension Cause {
    /// What it sends begins with the length of the rest, the smallest byte first.
    fileprivate static let lengthSwapped = Cause("length-host-order") { evidence in
        for call in evidence.timeline.calls where call.isSend && call.data.count >= 4 {
            let header = call.data.prefix(4)
            let length = header.reversed().reduce(0) { $0 << 8 | Int($1) }
            guard length > 0, length == call.length - 4, Array(header) != Array(header.reversed()) else { continue }
            return say(
                "a frame of \(length) bytes begins with \(hexText(Array(header)))",
                "\(length) 字节的帧以 \(hexText(Array(header))) 开头")
        }
        return nil
    }
}
