// Lesson 09: a client under way: what it is told to do, and what must come of it.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

// MARK: - What a client is told to do, and what it answers

let receiveStep = Value.list([.string("receive")])
func closeStep(_ code: Int, _ reason: String = "") -> Value {
    .list([.string("close"), .string(reason), .int(code)])
}
func eventValue(_ name: String, _ bytes: [UInt8]) -> Value { .list([.string(name), .bytes(bytes)]) }
func closedEvent(_ code: UInt16?, _ reason: String = "") -> Value {
    .list([.string("close"), .bytes(Array(reason.utf8)), code.map { .int(Int($0)) } ?? .none])
}

func clientArguments(
    _ address: SocketAddress, path: String = "/", key: String, origin: String? = nil, steps: [Value]
) -> [Value] {
    [
        .string(address.host), .int(Int(address.port)), .string(path), .string(key),
        origin.map { .string($0) } ?? .none, .list(steps),
    ]
}

func acceptingAnswer(to key: String) -> [UInt8] {
    Array(
        ("HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nconnection: upgrade\r\n"
            + "Server: grader\r\nSec-WebSocket-Accept: \(acceptFor(key))\r\n\r\n").utf8)
}

/// A client under way, and the grader's end of its connection.
struct ClientPlay {
    let trial: Trial
    let call: PendingCall
    let stream: StreamPeer
    let host: String
    let key: String
    /// Where the grader listens for this connection alone.
    let address: SocketAddress

    /// Shakes hands as a server should, and lets the client take the answer before any frame follows: where both come at
    /// once is a check of its own.
    func accept(
        alreadyRead: Bool = false, atOnce: Bool = false,
        sending send: ([UInt8], StreamPeer) throws -> Void = { try $1.send($0) }
    ) throws -> FramePeer {
        if !alreadyRead { _ = try stream.receiveHead(say("a request up to its empty line", "一个请求，直到空行")) }
        let answer = acceptingAnswer(to: key)
        try send(answer, stream)
        if !atOnce {
            // What the process received for connections before this one does not count. A library's receives are not seen.
            _ = try call.subject.waitForTimeline(until: Deadline(in: 2)) { timeline -> Bool? in
                let calls = timeline.calls
                guard let mine = calls.lastIndex(where: { $0.name == "connect" && $0.given?.port == address.port })
                else { return nil }
                let count = calls[mine...].reduce(0) { $0 + ($1.isReceive ? max(0, Int($1.result)) : 0) }
                return count >= answer.count ? true : nil
            }
        }
        return FramePeer(stream, as: .server, random: trial.random)
    }
}

extension FramePeer {
    /// The client closes with this code; the server answers, and ends the connection, as it should be the first to.
    func answerClose(_ code: UInt16, _ reason: String? = nil) throws {
        let frame = try nextFrame("close \(code)")
        try checkMask(frame)
        guard frame.opcode == Opcode.close.rawValue,
            frame.payload.prefix(2) == [UInt8(code >> 8), UInt8(code & 0xFF)]
        else { throw Failure(expected: say("close \(code) on \(name)", "\(name)收到 close \(code)"), got: frame.text) }
        try send(.close, frame.payload)
        stream.halfClose()
    }
}

extension Trial {
    func beginClient(
        path: String = "/", origin: String? = nil, steps: [Value], plan: FaultPlan? = nil, smallBuffers: Bool = false
    ) throws -> ClientPlay {
        let listener = try listen(smallBuffers: smallBuffers)
        let key = Data(random.bytes(16)).base64EncodedString()
        let call = try begin(
            "client", clientArguments(listener.address, path: path, key: key, origin: origin, steps: steps), plan: plan)
        let stream = try listener.accept(from: call)
        return ClientPlay(
            trial: self, call: call, stream: stream, host: "\(listener.address.host):\(listener.address.port)",
            key: key,
            address: listener.address)
    }

    func expect(_ call: PendingCall, returns events: [Value]) throws {
        guard case .list(let got) = try call.value() else { throw LabError("a list was expected") }
        for (index, wanted) in events.enumerated() {
            guard index < got.count, got[index] == wanted else {
                throw Failure(
                    expected: say(
                        "event \(index + 1) is \(wanted.eventText)", "第 \(index + 1) 个事件是 \(wanted.eventText)"),
                    got: index < got.count ? got[index].eventText : say("no more events", "没有更多事件"))
            }
        }
    }

    func expect(_ call: PendingCall, throws type: String, _ name: String, cause: String?) throws {
        let sentence = say("it throws \(type).\(name)", "抛出 \(type).\(name)")
        let outcome: PendingCall.Outcome
        do { outcome = try call.outcome(expecting: sentence) } catch var failure as Failure {
            failure.cause = failure.cause ?? cause
            throw failure
        }
        if case .threw(type, name, _, _) = outcome { return }
        throw Failure(expected: sentence, got: outcome.text, cause: cause)
    }

    func expect(_ call: PendingCall, throwsSocketError code: Int32, cause: String?) throws {
        let sentence = say("it throws SocketError \(errorName(code))", "抛出 SocketError \(errorName(code))")
        let outcome: PendingCall.Outcome
        do { outcome = try call.outcome(expecting: sentence) } catch var failure as Failure {
            failure.cause = failure.cause ?? cause
            throw failure
        }
        if case .threw("SocketError", _, code, _) = outcome { return }
        throw Failure(expected: sentence, got: outcome.text)
    }

    func expectSocketError(_ call: PendingCall) throws {
        let sentence = say("it throws a SocketError", "抛出 SocketError")
        let outcome = try call.outcome(expecting: sentence)
        if case .threw("SocketError", _, _, _) = outcome { return }
        throw Failure(expected: sentence, got: outcome.text, cause: "end-taken-for-close")
    }

    /// A server that answers the handshake so is not spoken to.
    func expectRefusal(_ text: String, error: String, cause: String?) throws {
        let play = try beginClient(steps: [.list([.string("text"), .bytes([0x78])])])
        _ = try play.stream.receiveHead(say("a request up to its empty line", "一个请求，直到空行"))
        try play.stream.send(text.replacingOccurrences(of: "ACCEPT", with: acceptFor(play.key)))
        try expect(play.call, throws: "HandshakeError", error, cause: cause)
        try play.stream.expectEnd()
    }
}

extension Value {
    /// `text "hello"`
    var eventText: String {
        guard case .list(let parts) = self, case .string(let name)? = parts.first, parts.count > 1,
            case .bytes(let bytes) = parts[1]
        else { return text }
        var words = [name]
        if parts.count > 2, case .int(let code) = parts[2] { words.append("\(code)") }
        if name != "close" || !bytes.isEmpty { words.append(quoted(bytes)) }
        return words.joined(separator: " ")
    }
}

extension Cause {
    static let client: [Cause] = [.maskMissing, .sentLengthTurned, .finalBitMissing, .waitsForFrame, .waitsForMore]

    /// It refuses a right answer: the accept key that it wants is another.
    static let rightKeyRefused = Cause("accept-key-wrong") { evidence in
        if case .threw("HandshakeError", "wrongAcceptKey", _, _)? = evidence.answer { return "" }
        return evidence.failure.got.hasSuffix("wrongAcceptKey") ? "" : nil
    }

    /// What one recv brought was the answer and the first frames, and the client waits for the frames.
    static let framesBehindAnswerLost = Cause("frames-behind-answer-lost") { evidence in
        guard evidence.failure.got == say("nothing", "什么也没有"),
            let blocked = evidence.timeline.blocked.last(where: { $0.isReceive || $0.isWait })
        else { return nil }
        return blocked.callText
    }

    static let pingReturned = Cause("ping-returned") { evidence in
        evidence.failure.got.hasPrefix("ping") ? evidence.failure.got : nil
    }

    static let clientKeptClose = Cause("close-not-answered") { evidence in
        evidence.failure.got.contains(say("closed", "关闭")) ? "" : nil
    }

    /// It waits for bytes of which the server has sent all.
    static let waitsForFrame = Cause("waits-for-frame") { evidence in
        guard let blocked = evidence.timeline.blocked.last(where: \.isReceive) else { return nil }
        return blocked.callText
    }
}
