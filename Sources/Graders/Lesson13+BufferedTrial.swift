// The buffered socket of lesson 13 that is tried: operations on it, and what must come of them.
import Course
import GraderKit
import Sockets
import Wire

/// What it is asked to do: see `BufferedStream.perform` of Course.
enum Operation {
    case line
    case exactly(Int)
    case write([UInt8])
    case writeEach([UInt8], Int)
    case flush

    var value: Value {
        switch self {
        case .line: return .list([.string("line")])
        case .exactly(let count): return .list([.string("exactly"), .int(count)])
        case .write(let bytes): return .list([.string("write"), .bytes(bytes)])
        case .writeEach(let bytes, let size): return .list([.string("write-each"), .bytes(bytes), .int(size)])
        case .flush: return .list([.string("flush")])
        }
    }
}

/// What was done to a line that should have been left alone.
func changed(_ line: [UInt8], to answer: Value) -> String? {
    guard case .bytes(let got) = answer else { return nil }
    if got + [UInt8(ascii: "\r")] == line { return "cr-removed" }
    // U+FFFD in UTF-8, which random bytes hardly ever are.
    let replaced = Array("\u{FFFD}".utf8)
    let isReplaced = got.indices.contains {
        got[$0...].starts(with: replaced) && !line[min($0, line.count)...].starts(with: replaced)
    }
    return isReplaced ? "decoded-as-text" : nil
}

/// Is it found in the stream, but not where the stream goes on? A few bytes may be there by chance.
func comesLater(_ answer: Value, in rest: ArraySlice<UInt8>) -> Bool {
    guard case .bytes(let got) = answer, got.count > 7 else { return false }
    return rest.indices.dropFirst().contains { rest[$0...].starts(with: got) }
}

struct Buffered {
    let trial: Trial
    let process: Subject
    let number: Int
    let capacity: Int
    let peer: StreamPeer

    func begin(_ operations: [Operation]) throws -> PendingCall {
        try trial.begin("buffered-do", [.int(number), .list(operations.map(\.value))], in: process)
    }

    /// What came of each.
    func answers(_ operations: [Operation]) throws -> [Value] { try answers(of: begin(operations), operations) }

    func answers(of call: PendingCall, _ operations: [Operation]) throws -> [Value] {
        do {
            guard case .list(let answers) = try call.value() else { throw LabError("buffered-do answers with a list") }
            return answers
        } catch var failure as Failure {
            if isFilling(beyond: operations) { failure.cause = "waits-for-full-buffer" }
            throw failure
        }
    }

    /// It waits for a whole buffer, where less than that was asked for. (What came of it stays in the kernel until then.)
    private func isFilling(beyond operations: [Operation]) -> Bool {
        process.catchUp()
        let most = operations.reduce(1) { if case .exactly(let count) = $1 { max($0, count) } else { $0 } }
        return process.timeline.blocked.contains {
            $0.isReceive && $0.arguments.0 & Int64(MSG_WAITALL as Int32) != 0 && $0.length > most
        }
    }

    func expectDone(_ operations: [Operation]) throws {
        do {
            for (operation, answer) in zip(operations, try answers(operations)) {
                guard answer == .none else {
                    throw Failure(
                        expected: say("\(operation.name) succeeds", "\(operation.name) 成功"), got: answer.outcomeText)
                }
            }
        } catch var failure as Failure {
            if hasSentTooSoon(operations) { failure.cause = "no-write-buffer" }
            throw failure
        }
    }

    /// Of the first write something was sent, though it did not fill the buffer and nobody flushed.
    private func hasSentTooSoon(_ operations: [Operation]) -> Bool {
        guard let first = sends.first, case .write(let bytes)? = operations.first, operations.count == 1 else {
            return false
        }
        return bytes.count < capacity && !first.data.isEmpty && bytes.starts(with: first.data)
    }

    func expectError(_ code: Int32, of operation: Operation, says answer: Value) throws {
        guard answer.thrownCode == code else {
            throw Failure(
                expected: say(
                    "\(operation.name) throws SocketError \(errorName(code))",
                    "\(operation.name) 抛出 SocketError \(errorName(code))"),
                got: answer.outcomeText,
                cause: answer.thrown?.type != "SocketError" && hasFailed(with: code) ? "break-unnoticed" : nil)
        }
    }

    private func hasFailed(with code: Int32) -> Bool {
        process.catchUp()
        return process.timeline.calls.contains { $0.failed && $0.error == code }
    }

    var sends: [Call] {
        process.catchUp()
        return process.timeline.calls.filter(\.isSend)
    }

    /// How many bytes it has taken.
    var received: Int {
        process.catchUp()
        return process.timeline.receivedCount
    }

    /// How many bytes went.
    var sent: Int { sends.reduce(0) { $0 + max(0, Int($1.result)) } }

    /// Once so much had gathered it went: less than that is still to be sent.
    func expectRoom(capacity: Int, written: Int) throws {
        let left = written - sent
        guard left >= capacity else { return }
        throw Failure(
            expected: say(
                "of \(written) bytes fewer than \(capacity) are still in the buffer",
                "\(written) 字节中，还留在缓冲区的不到 \(capacity) 字节"),
            got: say("\(left) are", "留着 \(left) 字节"), cause: "never-full")
    }

    func expectFewCalls(
        _ most: Int, _ what: String, where isOne: (Call) -> Bool, cause: String? = nil
    ) throws {
        process.catchUp()
        let count = process.timeline.calls.filter(isOne).count
        guard count > most else { return }
        throw Failure(
            expected: say("at most \(most) \(what)", "\(what)不超过 \(most)"), got: say("\(count)", "\(count) 次"),
            cause: cause)
    }

    /// The program ends, and with it the stream: what has not arrived by then never will.
    ///
    /// - Parameter cause: if all that came is right, and there is too little.
    func expectAll(_ message: [UInt8], after what: String, cause: String = "rest-not-sent") throws {
        process.catchUp()
        process.stop()
        let got = try peer.receiveToEnd()
        guard got != message else { return }
        throw Failure(
            expected: say(
                "all \(message.count) bytes, in order, after \(what)", "\(what)之后，\(message.count) 字节全部按顺序到达"),
            got: say("\(got.count) bytes", "收到 \(got.count) 字节"),
            difference: byteDifference(expected: message, got: got),
            cause: got.count < message.count && message.starts(with: got) ? cause : nil)
    }

    func expectNothingMore() throws {
        process.catchUp()
        process.stop()
        try peer.expectEnd()
    }
}

extension Operation {
    fileprivate var name: String {
        switch self {
        case .line: return "readLine"
        case .exactly(let count): return "readExactly(\(count))"
        case .write, .writeEach: return "write"
        case .flush: return "flush"
        }
    }
}

extension Trial {
    func makeBuffered(capacity: Int, plan: FaultPlan = .none, smallBuffers: Bool = false) throws -> Buffered {
        let listener = try listen(smallBuffers: smallBuffers)
        let process = try launch(plan: plan)
        let call = try begin("buffered-make", [listener.socketArgument, .int(capacity)], in: process)
        let peer = try listener.accept(from: call)
        guard case .int(let number) = try call.value() else { throw LabError("buffered-make answers with a number") }
        return Buffered(trial: self, process: process, number: number, capacity: capacity, peer: peer)
    }

    /// - Parameter what: completes "expected …": line 7.
    func expect(_ answer: Value, says expected: Value, _ what: String, cause: String? = nil) throws {
        guard answer != expected else { return }
        var difference: [String] = []
        if case .bytes(let expected) = expected, case .bytes(let got) = answer {
            difference = byteDifference(expected: expected, got: got)
        }
        throw Failure(
            expected: say("\(what): \(expected.outcomeText)", "\(what)：\(expected.outcomeText)"),
            got: answer.outcomeText,
            difference: difference, cause: cause)
    }
}

extension Value {
    /// `threw SocketError …`, or what it returned, for people.
    var outcomeText: String {
        switch self {
        case .list(let words):
            guard words.count == 4, words[0] == .string("threw"), case .string(let type) = words[1],
                case .string(let text) = words[2]
            else { return self.text }
            return say("it threw \(type): \(text)", "抛出 \(type)：\(text)")
        case .none: return say("nil", "nil")
        case .bytes(let bytes): return quoted(bytes)
        default: return text
        }
    }

    /// The errno of a `SocketError` that was thrown.
    var thrownCode: Int32? {
        guard case .list(let words) = self, words.count == 4,
            words.prefix(2) == [.string("threw"), .string("SocketError")],
            case .int(let code) = words[3]
        else { return nil }
        return Int32(clamping: code)
    }

    /// What was thrown: `timedOut` of `PoolError`.
    var thrown: (type: String, name: String)? {
        guard case .list(let words) = self, words.count == 4, words[0] == .string("threw"),
            case .string(let type) = words[1], case .string(let name) = words[2]
        else { return nil }
        return (type, name)
    }
}
