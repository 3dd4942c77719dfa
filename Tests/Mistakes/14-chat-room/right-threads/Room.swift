import Course

struct Room: ChatRoom {
    private struct Member {
        var connection: Int
        var name: String
    }

    private let rules: RoomRules
    /// In the order in which they came.
    private var members: [Member] = []
    private var said: [ChatLine] = []
    private var nextID = 1

    init(rules: RoomRules) {
        self.rules = rules
    }

    private var everybody: [Int] { members.map(\.connection) }

    mutating func receive(_ message: ChatMessage, from connection: Int, at time: Double) -> [Delivery] {
        let me = members.first { $0.connection == connection }
        func tell(_ message: ChatMessage) -> Delivery { .send(message, to: [connection]) }

        switch (message, me) {
        case (.login, _?): return [tell(.error(.alreadyLoggedIn))]
        case (.login(let name), nil):
            guard Room.isName(name) else { return [tell(.loginResponse(refusal: .badName))] }
            guard !members.contains(where: { $0.name.utf8.elementsEqual(name.utf8) }) else {
                return [tell(.loginResponse(refusal: .nameTaken))]
            }
            var deliveries = [tell(.loginResponse(refusal: nil))]
            deliveries += said.suffix(rules.historyLength).map { tell(.chatMessage($0)) }
            deliveries.append(.send(.userJoined(username: name), to: everybody))
            members.append(Member(connection: connection, name: name))
            return deliveries
        case (.chat, nil), (.logout, nil): return [tell(.error(.notLoggedIn))]
        case (.chat(let content), let me?):
            let length = content.utf8.count
            guard length > 0, length <= RoomRules.contentLimit else { return [tell(.error(.badContent))] }
            let line = ChatLine(id: nextID, username: me.name, content: content, timestamp: time)
            nextID += 1
            said.append(line)
            // Cut now and then, not each time.
            if said.count > 2 * rules.historyLength + 100 { said.removeFirst(said.count - rules.historyLength) }
            return [.send(.chatMessage(line), to: everybody)]
        case (.logout, _?):
            let farewell = [tell(.logoutResponse)]
            return farewell + leave(connection) + [.close(connection)]
        case (.loginResponse, _), (.chatMessage, _), (.userJoined, _), (.userLeft, _), (.logoutResponse, _),
            (.error, _):
            return [tell(.error(.unknownType))]
        }
    }

    mutating func leave(_ connection: Int) -> [Delivery] {
        guard let place = members.firstIndex(where: { $0.connection == connection }) else { return [] }
        let name = members.remove(at: place).name
        return members.isEmpty ? [] : [.send(.userLeft(username: name), to: everybody)]
    }

    private static func isName(_ name: String) -> Bool {
        let bytes = name.utf8
        guard !bytes.isEmpty, bytes.count <= RoomRules.nameLimit else { return false }
        return !bytes.contains { $0 < 0x21 || $0 == 0x7F }
    }
}
