// A class with plain lists: members in the order in which they came.
import Course

final class Room: ChatRoom {
    struct Member {
        let connection: Int
        let name: String
        var key: [UInt8] { Array(name.utf8) }
    }
    let rules: RoomRules
    var members: [Member] = []
    var past: [ChatLine] = []
    var lastID = 0

    init(rules: RoomRules) { self.rules = rules }

    func has(_ connection: Int) -> Bool { members.contains { $0.connection == connection } }

    func tellAll(_ message: ChatMessage) -> [Delivery] {
        members.isEmpty ? [] : [.send(message, to: members.map(\.connection))]
    }

    func receive(_ message: ChatMessage, from connection: Int, at time: Double) -> [Delivery] {
        func answer(_ message: ChatMessage) -> [Delivery] { [.send(message, to: [connection])] }
        let me = members.first { $0.connection == connection }
        switch (message, me) {
        case (.login, .some): return answer(.error(.alreadyLoggedIn))
        case (.login(let name), nil):
            let key = Array(name.utf8)
            if key.isEmpty || key.count > RoomRules.nameLimit || key.contains(where: { $0 <= 0x20 || $0 == 0x7F }) {
                return answer(.loginResponse(refusal: .badName))
            }
            if members.contains(where: { $0.key == key }) { return answer(.loginResponse(refusal: .nameTaken)) }
            let toOthers = tellAll(.userJoined(username: name))
            members.append(Member(connection: connection, name: name))
            return answer(.loginResponse(refusal: nil)) + past.flatMap { answer(.chatMessage($0)) } + toOthers
        case (.chat, nil), (.logout, nil): return answer(.error(.notLoggedIn))
        case (.chat(let content), .some(let me)):
            guard (1...RoomRules.contentLimit).contains(content.utf8.count) else {
                return answer(.error(.badContent))
            }
            lastID += 1
            let line = ChatLine(id: lastID, username: me.name, content: content, timestamp: time)
            past.append(line)
            if past.count > rules.historyLength { past.removeFirst() }
            return tellAll(.chatMessage(line))
        case (.logout, .some):
            return answer(.logoutResponse) + leave(connection) + [.close(connection)]
        default: return answer(.error(.unknownType))
        }
    }

    func leave(_ connection: Int) -> [Delivery] {
        guard let place = members.firstIndex(where: { $0.connection == connection }) else { return [] }
        let gone = members.remove(at: place)
        return tellAll(.userLeft(username: gone.name))
    }
}
