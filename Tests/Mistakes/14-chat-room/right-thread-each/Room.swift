import Course

/// A list of who is here, in the order that they came, and all else is looked for in it.
struct Room: ChatRoom {
    private struct Member {
        let connection: Int
        let name: String

        func isCalled(_ other: String) -> Bool { name.utf8.elementsEqual(other.utf8) }
    }

    private let rules: RoomRules
    private var present: [Member] = []
    private var said: ArraySlice<ChatLine> = []
    private var next = 1

    init(rules: RoomRules) { self.rules = rules }

    private func member(_ connection: Int) -> Member? { present.first { $0.connection == connection } }
    private var everybody: [Int] { present.map(\.connection) }

    mutating func receive(_ message: ChatMessage, from connection: Int, at time: Double) -> [Delivery] {
        let to = [connection]
        switch (message, member(connection)) {
        case (.login, _?): return [.send(.error(.alreadyLoggedIn), to: to)]
        case (.chat, nil), (.logout, nil): return [.send(.error(.notLoggedIn), to: to)]
        case (.login(let name), nil):
            if let refusal = objection(to: name) { return [.send(.loginResponse(refusal: refusal), to: to)] }
            var deliveries: [Delivery] = [.send(.loginResponse(refusal: nil), to: to)]
            for line in said { deliveries.append(.send(.chatMessage(line), to: to)) }
            deliveries.append(.send(.userJoined(username: name), to: everybody))
            present.append(Member(connection: connection, name: name))
            return deliveries
        case (.chat(let content), let member?):
            let size = content.utf8.count
            if size == 0 || size > RoomRules.contentLimit { return [.send(.error(.badContent), to: to)] }
            let line = ChatLine(id: next, username: member.name, content: content, timestamp: time)
            next += 1
            said = (said + [line]).suffix(rules.historyLength)
            return [.send(.chatMessage(line), to: everybody)]
        case (.logout, _?):
            let farewell = leave(connection)
            return [.send(.logoutResponse, to: to)] + farewell + [.close(connection)]
        default: return [.send(.error(.unknownType), to: to)]
        }
    }

    mutating func leave(_ connection: Int) -> [Delivery] {
        guard let index = present.firstIndex(where: { $0.connection == connection }) else { return [] }
        let gone = present.remove(at: index)
        return [.send(.userLeft(username: gone.name), to: everybody)]
    }

    private func objection(to name: String) -> ChatProblem? {
        if name.isEmpty || name.utf8.count > RoomRules.nameLimit { return .badName }
        if name.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F }) { return .badName }
        return present.contains { $0.isCalled(name) } ? .nameTaken : nil
    }
}
