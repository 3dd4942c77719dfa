import Course
import Sockets

func chatServer(host: String, port: UInt16, rules: ChatRules) throws {
    let server = try PollServer(host, port)
    server.origins = rules.allowedOrigins
    server.page = rules.page
    server.limit = rules.messageLimit
    server.queueLimit = rules.queueLimit
    server.onMessage = { [unowned server] sender, opcode, payload in
        let frame = encodeFrame(opcode, payload)
        for member in server.guests where member.isMember && (member !== sender || rules.echoesToSender) {
            server.put(member, frame)
        }
    }
    try server.run()
}
