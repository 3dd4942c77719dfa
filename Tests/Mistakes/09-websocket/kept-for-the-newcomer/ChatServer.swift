import Course
import Sockets

func chatServer(host: String, port: UInt16, rules: ChatRules) throws {
    let start = Connection(allowedOrigins: rules.allowedOrigins, messageLimit: rules.messageLimit, page: rules.page)
    let server = try WebSocketServer(host: host, port: port, connection: start)
    let room = Room(server, rules)
    server.onOpen = { room.enter($0) }
    server.onEvent = { sender, event in
        switch event {
        case .text(let bytes): room.say(encodeFrame(.text, bytes), by: sender)
        case .binary(let bytes): room.say(encodeFrame(.binary, bytes), by: sender)
        case .ping, .pong, .close: break
        }
    }
    try server.run()
}

private final class Room {
    private unowned let server: WebSocketServer
    private let rules: ChatRules
    /// A frame behind half a handshake would be read as a broken answer: what is said meanwhile waits until it is done.
    private var kept: [ObjectIdentifier: (member: Member, frames: [[UInt8]], size: Int)] = [:]

    init(_ server: WebSocketServer, _ rules: ChatRules) {
        self.server = server
        self.rules = rules
    }

    func enter(_ member: Member) {
        guard let waiting = kept.removeValue(forKey: ObjectIdentifier(member)) else { return }
        for frame in waiting.frames { server.send(frame: frame, to: member) }
    }

    func say(_ frame: [UInt8], by sender: Member) {
        forgetWhoLeft()
        for member in Array(server.members.values) {
            if member === sender && !rules.echoesToSender { continue }
            switch member.connection.state {
            case .open: pass(frame, to: member)
            case .handshake: keep(frame, for: member)
            case .closing, .finished: break
            }
        }
    }

    private func pass(_ frame: [UInt8], to member: Member) {
        server.send(frame: frame, to: member)
        if member.pending > rules.queueLimit { server.flush(member) }
        if member.pending > rules.queueLimit { server.remove(member) }
    }

    private func keep(_ frame: [UInt8], for member: Member) {
        let (_, frames, size) = kept[ObjectIdentifier(member)] ?? (member, [], 0)
        if size + frame.count > rules.queueLimit {
            kept[ObjectIdentifier(member)] = nil
            server.remove(member)
        } else {
            kept[ObjectIdentifier(member)] = (member, frames + [frame], size + frame.count)
        }
    }

    private func forgetWhoLeft() {
        for (id, entry) in kept where server.members[entry.member.descriptor] !== entry.member { kept[id] = nil }
    }
}
