import Course
import Foundation
import Solution08
import Sockets

func backEnd(host: String, port: UInt16, name: String, stop: Int32) throws {
    try Switchboard(stop: stop) { HTTPTalk(peer: $0, name: name, stop: stop) }.run(host: host, port: port)
}

private struct HTTPTalk: Conversation {
    let peer: String
    let name: String
    let stopSign: Int32
    var decoder = Solution08.reference.makeRequestDecoder(RequestLimits())
    var state = State.waiting

    enum State {
        case waiting
        case inHead
        case inBody(RequestHead)
        case over
    }
    var body: [UInt8] = []

    init(peer: String, name: String, stop: Int32) {
        (self.peer, self.name, stopSign) = (peer, name, stop)
    }

    var alarm: Int? { nil }
    mutating func wakeUp() -> [UInt8] { [] }
    mutating func stop() -> [UInt8] { [] }
    var isIdle: Bool { if case .waiting = state { return true } else { return false } }
    var isOver: Bool { if case .over = state { return true } else { return false } }

    mutating func take(_ bytes: [UInt8]) -> [UInt8] {
        var answers: [UInt8] = []
        do {
            // Byte by byte only the last one: after it either a request is complete or one is begun.
            for piece in [bytes.dropLast(), bytes.suffix(1)] where !piece.isEmpty && !isOver {
                if isIdle { state = .inHead }
                decoder.feed(Array(piece))
                while !isOver, let event = try decoder.next() {
                    if let answer = handle(event) { answers += answer }
                }
            }
        } catch {
            state = .over
            answers += response((error as? RequestRefused)?.status ?? 400, [], isLast: true)
        }
        return answers
    }

    private mutating func handle(_ event: RequestEvent) -> [UInt8]? {
        switch (event, state) {
        case (.head(let head), _):
            state = .inBody(head)
            body = []
        case (.body(let piece), _): body += piece
        case (.end, .inBody(let head)): return answer(head)
        default: break
        }
        return nil
    }

    private mutating func answer(_ head: RequestHead) -> [UInt8] {
        let isStopping = isRinging(stopSign)
        let asksToClose = head.fields.contains { field in
            field.name.caseInsensitiveCompare("Connection") == .orderedSame
                && field.value.components(separatedBy: ",").contains {
                    $0.trimmingCharacters(in: CharacterSet(charactersIn: " \t")).caseInsensitiveCompare("close")
                        == .orderedSame
                }
        }
        let isLast = isStopping || asksToClose || head.minorVersion == 0
        state = isLast ? .over : .waiting
        switch (head.method, head.target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false).first) {
        case ("GET", "/"):
            let who = forwardedClient(peer: peer, fields: head.fields, trust: Lesson16.trust)
            return response(200, Array("\(name) \(who.address) \(who.scheme)\n".utf8), isLast: isLast)
        case ("GET", "/health"):
            return isStopping
                ? response(503, Array("bye\n".utf8), isLast: true) : response(200, Array("ok\n".utf8), isLast: isLast)
        case ("POST", "/upper"):
            return response(200, body.map { $0 >= 0x61 && $0 <= 0x7A ? $0 & 0xDF : $0 }, isLast: isLast)
        default: return response(404, [], isLast: isLast)
        }
    }

    private func response(_ status: Int, _ body: [UInt8], isLast: Bool) -> [UInt8] {
        let reason =
            status == 200 ? "OK" : status == 404 ? "Not Found" : status == 503 ? "Service Unavailable" : "Refused"
        let head =
            "HTTP/1.1 \(status) \(reason)\r\n" + (isLast ? "Connection: close\r\n" : "")
            + "Content-Length: \(body.count)\r\n\r\n"
        return Array(head.utf8) + body
    }
}
