import Course
import Solution09
import Sockets

func webSocketBackEnd(host: String, port: UInt16, proxyTimeout: Milliseconds, stop: Int32) throws {
    var nursery = try Nursery(host: host, port: port, stop: stop)
    try nursery.run { visitor in
        guard let early = greet(visitor) else { return visitor.partGently() }
        var session = Session(visitor: visitor, every: max(1, proxyTimeout / 3))
        session.run(early)
    }
}

/// - Returns: what came behind the request; nil if it was none, or if the client or the server goes first.
private func greet(_ visitor: Visitor) -> [UInt8]? {
    var all: [UInt8] = []
    let end = milliseconds() + 30_000
    while true {
        let ready = visitor.wait(orStop: true, until: end)
        guard ready.client, let bytes = visitor.receive() else { return nil }
        all += bytes
        switch Solution09.reference.serverHandshake(all, nil) {
        case .accepted(let response, let length):
            return visitor.send(response) ? Array(all.dropFirst(length)) : nil
        case .refused(_, let response):
            _ = visitor.send(response)
            return nil
        case .incomplete:
            if ready.stop { return nil }
        }
    }
}

private struct Session {
    private enum Outcome { case goesOn, isOver, isBroken }

    private let visitor: Visitor
    private let every: Int
    private var due: Int
    private var decoder = Solution09.reference.makeFrameDecoder(.server, 1 << 20)
    private var hasClosed = false

    init(visitor: Visitor, every: Int) {
        self.visitor = visitor
        self.every = every
        due = milliseconds() + every
    }

    mutating func run(_ early: [UInt8]) {
        var outcome = take(early)
        while outcome == .goesOn {
            let ready = visitor.wait(orStop: !hasClosed, until: hasClosed ? nil : due)
            if ready.client {
                guard let bytes = visitor.receive() else { return }
                outcome = take(bytes)
            }
            if ready.stop && outcome == .goesOn {
                if !say(.close, [3, 233]) { return }
                hasClosed = true
            }
            if !hasClosed && outcome == .goesOn && milliseconds() >= due {
                due = milliseconds() + every
                if !say(.ping, Array("still here".utf8)) { return }
            }
        }
        if outcome == .isOver { visitor.partGently() }
    }

    /// Nothing is said after a close frame.
    private func say(_ opcode: Opcode, _ payload: [UInt8]) -> Bool {
        hasClosed || visitor.send(Solution09.reference.encodeFrame(opcode, payload, true, nil))
    }

    private mutating func take(_ bytes: [UInt8]) -> Outcome {
        decoder.feed(bytes)
        do {
            while let event = try decoder.next() {
                var isSaid = true
                switch event {
                case .text(let text): isSaid = say(.text, text)
                case .binary(let data): isSaid = say(.binary, data)
                case .ping(let data): isSaid = say(.pong, data)
                case .pong: break
                case .close(let code, _):
                    let payload = code.map { [UInt8($0 / 256), UInt8($0 % 256)] } ?? []
                    return say(.close, payload) ? .isOver : .isBroken
                }
                if !isSaid { return .isBroken }
            }
            return .goesOn
        } catch {
            let code = (error as? WebSocketError)?.closeCode ?? 1011
            return say(.close, [UInt8(code / 256), UInt8(code % 256)]) ? .isOver : .isBroken
        }
    }
}
