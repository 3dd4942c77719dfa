import Course
import Foundation
import Solution09
import Sockets

func webSocketBackEnd(host: String, port: UInt16, proxyTimeout: Milliseconds, stop: Int32) throws {
    try Switchboard(stop: stop) { _ in WebTalk(every: max(1, proxyTimeout * 2 / 5)) }.run(host: host, port: port)
}

private struct WebTalk: Conversation {
    private enum State { case request, open, leaving, over }

    private var state = State.request
    private var received: [UInt8] = []
    private var decoder = Solution09.reference.makeFrameDecoder(.server, 1 << 20)
    private let interval: Int
    private var due: Int

    init(every interval: Int) {
        self.interval = interval
        due = milliseconds() + 20_000
    }

    var isOver: Bool { state == .over }
    var isIdle: Bool { state == .request }
    var alarm: Int? { state == .request || state == .open ? due : nil }

    mutating func wakeUp() -> [UInt8] {
        due = milliseconds() + interval
        if state == .open { return frame(.ping, Array("?".utf8)) }
        if state == .request { state = .over }
        return []
    }

    mutating func stop() -> [UInt8] {
        guard state == .open else { return [] }
        state = .leaving
        return close(1001)
    }

    mutating func take(_ bytes: [UInt8]) -> [UInt8] {
        var answers: [UInt8] = []
        if state == .request {
            received += bytes
            switch Solution09.reference.serverHandshake(received, nil) {
            case .incomplete: return []
            case .refused(_, let response):
                state = .over
                return response
            case .accepted(let response, let length):
                answers = response
                decoder.feed(Array(received[length...]))
                received = []
                due = milliseconds() + interval
                state = .open
            }
        } else {
            decoder.feed(bytes)
        }
        do {
            while state != .over, let event = try decoder.next() {
                let words: [UInt8]
                var isLast = false
                switch event {
                case .text(let payload): words = frame(.text, payload)
                case .binary(let payload): words = frame(.binary, payload)
                case .ping(let payload): words = frame(.pong, payload)
                case .pong: continue
                case .close(let code, _): (words, isLast) = (close(code), true)
                }
                // Whoever has said close says nothing more.
                if state == .open { answers += words }
                if isLast { state = .over }
            }
        } catch {
            if state == .open { answers += close((error as? WebSocketError)?.closeCode ?? 1011) }
            state = .over
        }
        return answers
    }

    private func frame(_ opcode: Opcode, _ payload: [UInt8]) -> [UInt8] {
        Solution09.reference.encodeFrame(opcode, payload, true, nil)
    }

    private func close(_ code: UInt16?) -> [UInt8] {
        guard let code else { return frame(.close, []) }
        return frame(.close, withUnsafeBytes(of: code.bigEndian) { Array($0) })
    }
}
