import Course
import Sockets

func chatServer(host: String, port: UInt16, rules: ChatRules) throws {
    try House(host: host, port: port, ChatManners(rules)).keepOpen()
}

private final class ChatManners: Manners {
    private let rules: ChatRules
    var allowedOrigins: [String]? { rules.allowedOrigins }
    var messageLimit: Int { rules.messageLimit }
    var page: [UInt8]? { rules.page }

    init(_ rules: ChatRules) { self.rules = rules }

    func hear(_ event: WebSocketEvent, from guest: Guest, among guests: [Guest]) {
        let frame: [UInt8]
        switch event {
        case .text(let bytes): frame = encodeFrame(.text, bytes)
        case .binary(let bytes): frame = encodeFrame(.binary, bytes)
        default: return
        }
        for other in guests where other.isTalking && (other !== guest || rules.echoesToSender) {
            other.say(frame)
            guard other.pending > rules.queueLimit else { continue }
            other.push(monotonicMilliseconds())
            if other.pending > rules.queueLimit { other.die() }
        }
    }
}
