// Lesson 09: what graders send and get.
import Sockets

extension ServerHandshake {
    var value: Value {
        switch self {
        case .incomplete: .list([.string("incomplete")])
        case .accepted(let response, let length): .list([.string("accepted"), .bytes(response), .int(length)])
        case .refused(let status, let response): .list([.string("refused"), .bytes(response), .int(status)])
        }
    }
}

extension WebSocketEvent {
    var value: Value {
        switch self {
        case .text(let bytes): .list([.string("text"), .bytes(bytes)])
        case .binary(let bytes): .list([.string("binary"), .bytes(bytes)])
        case .ping(let bytes): .list([.string("ping"), .bytes(bytes)])
        case .pong(let bytes): .list([.string("pong"), .bytes(bytes)])
        case .close(let code, let reason):
            .list([.string("close"), .bytes(Array(reason.utf8)), code.map { Value.int(Int($0)) } ?? Value.none])
        }
    }
}

extension WebSocketError {
    /// `protocolError`, without its text.
    var name: String { String("\(self)".prefix { $0 != "(" }) }
}

extension Lesson09 {
    func optionalString(_ arguments: [Value], at index: Int) throws -> String? {
        if index >= arguments.count || arguments[index] == .none { return nil }
        return try arguments.string(index)
    }

    func request(_ a: [Value], at index: Int) throws -> HandshakeRequest {
        HandshakeRequest(
            host: try a.string(index), path: try a.string(index + 1), key: try a.string(index + 2),
            origin: try optionalString(a, at: index + 3))
    }

    func role(_ arguments: [Value], at index: Int) throws -> WebSocketRole {
        if let role = WebSocketRole(rawValue: try arguments.string(index)) { return role }
        throw ArgumentError(description: "argument \(index + 1) should be a role")
    }

    func opcode(_ arguments: [Value], at index: Int) throws -> Opcode {
        if let opcode = UInt8(exactly: try arguments.int(index)).flatMap(Opcode.init) { return opcode }
        throw ArgumentError(description: "argument \(index + 1) should be an opcode")
    }

    /// Feeds the chunks one by one; the answer is, for each chunk, the list of events that it completed. An error ends the
    /// answer with its name. So does a decoder that gives more events than there were bytes: `endless`.
    func decode(with decoder: any WebSocketDecoder, chunks: [[UInt8]]) -> Value {
        var decoder = decoder
        var answers: [Value] = []
        var bytesLeft = 0
        for chunk in chunks {
            decoder.feed(chunk)
            bytesLeft += chunk.count
            var events: [Value] = []
            do {
                while let event = try decoder.next() {
                    events.append(event.value)
                    bytesLeft -= 1
                    if bytesLeft < 0 { return .list(answers + [.list(events), .string("endless")]) }
                }
                answers.append(.list(events))
            } catch let error as WebSocketError {
                return .list(answers + [.list(events), .string(error.name)])
            } catch {
                return .list(answers + [.list(events), .string("\(error)")])
            }
        }
        return .list(answers)
    }

    /// How much work a stream is: the number of events in it, and the CPU time that the decoder took, in nanoseconds.
    func cost(of decoder: any WebSocketDecoder, _ arguments: [Value]) throws -> Value {
        let (beginning, pattern, times) = (try arguments.bytes(2), try arguments.bytes(3), try arguments.int(4))
        let chunks = cut(beginning + repeatElement(pattern, count: times).flatMap { $0 }, try arguments.int(5))
        var decoder = decoder
        var count = 0
        let start = threadCPUTime()
        for chunk in chunks {
            decoder.feed(chunk)
            while try decoder.next() != nil, count < (pattern.count + 1) * times { count += 1 }
        }
        return .list([.int(count), .unsigned(threadCPUTime() - start)])
    }

    /// What a client is to do, one after another: `["text", bytes]`, `["binary", bytes]` and `["ping", bytes]` send,
    /// `["receive"]` receives, `["close", reason, code]` closes. The answer: what was received and what close returned.
    func converse(_ client: any WebSocketClient, _ steps: [Value]) throws -> Value {
        var received: [Value] = []
        for index in steps.indices {
            let step = try steps.list(index)
            switch try step.string(0) {
            case "text": try client.send(.text, try step.bytes(1))
            case "binary": try client.send(.binary, try step.bytes(1))
            case "ping": try client.send(.ping, try step.bytes(1))
            case "receive": received.append(try client.receive().value)
            case "close":
                let answer = try client.close(code: UInt16(try step.int(2)), reason: try step.string(1))
                received.append(answer.value)
            case let other: throw ArgumentError(description: "a client cannot \(other)")
            }
        }
        return .list(received)
    }
}

/// A port that nobody has at this moment.
func freePort(_ host: String) throws -> UInt16 {
    let address = try SocketAddress(host: host, port: 0)
    let descriptor = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(descriptor) }
    try check("bind", address.withSockaddr { bind(descriptor, $0, $1) })
    return try SocketAddress.local(of: descriptor).port
}
