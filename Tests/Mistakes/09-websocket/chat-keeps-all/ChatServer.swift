import Course
import Sockets

func chatServer(host: String, port: UInt16, rules: ChatRules) throws {
    let server = try WebSocketServer(
        host: host, port: port,
        connection: Connection(
            allowedOrigins: rules.allowedOrigins, messageLimit: rules.messageLimit, page: rules.page))
    server.onEvent = { [unowned server] sender, event in
        switch event {
        case .text(let bytes): server.pass(.text, bytes, from: sender, rules)
        case .binary(let bytes): server.pass(.binary, bytes, from: sender, rules)
        default: break
        }
    }
    try server.run()
}

extension WebSocketServer {
    /// One message to everybody. Nobody is waited for: what a member does not take now is kept for it, in its own queue, and
    /// all queues get the messages in the same order.
    fileprivate func pass(_ opcode: Opcode, _ payload: [UInt8], from sender: Member, _ rules: ChatRules) {
        // A server does not mask, so the frame is the same for all: it is made once.
        let frame = encodeFrame(opcode, payload)
        for member in members.values where member.isOpen && (member !== sender || rules.echoesToSender) {
            send(frame: frame, to: member)
        }
    }
}
