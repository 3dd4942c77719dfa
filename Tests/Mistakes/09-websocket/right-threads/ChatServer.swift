import Course
import Foundation
import Sockets

func chatServer(host: String, port: UInt16, rules: ChatRules) throws {
    let room = TalkRoom(rules)
    try answerCallers(host: host, port: port) { ChatCaller($0, room) }
}

/// Who is in. Under its lock nobody waits: `tell` hands over what the kernel takes at once. So all queues get all messages in
/// the same order.
private final class TalkRoom: @unchecked Sendable {
    let rules: ChatRules
    private let lock = NSLock()
    private var callers: [ObjectIdentifier: ChatCaller] = [:]

    init(_ rules: ChatRules) { self.rules = rules }

    func join(_ caller: ChatCaller) { lock.withLock { callers[ObjectIdentifier(caller)] = caller } }

    func leave(_ caller: ChatCaller) { lock.withLock { callers[ObjectIdentifier(caller)] = nil } }

    func pass(_ opcode: Opcode, _ payload: [UInt8], from sender: ChatCaller) {
        let frame = encodeFrame(opcode, payload)
        lock.withLock {
            for caller in callers.values where rules.echoesToSender || caller !== sender {
                caller.tell(frame, limit: rules.queueLimit)
            }
        }
    }
}

private final class ChatCaller: Caller, @unchecked Sendable {
    private let room: TalkRoom

    init(_ socket: Int32, _ room: TalkRoom) {
        self.room = room
        super.init(
            socket, allowedOrigins: room.rules.allowedOrigins, messageLimit: room.rules.messageLimit,
            page: room.rules.page,
            hasBell: true)
    }

    override func opened() { room.join(self) }

    override func left() { room.leave(self) }

    override func heard(_ event: WebSocketEvent) {
        switch event {
        case .text(let bytes): room.pass(.text, bytes, from: self)
        case .binary(let bytes): room.pass(.binary, bytes, from: self)
        default: break
        }
    }
}
