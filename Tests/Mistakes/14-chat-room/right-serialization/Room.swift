import Course

struct Room: ChatRoom {
    private let rules: RoomRules
    private var present: [(connection: Int, name: [UInt8])] = []
    private var past: [ChatLine] = []
    private var count = 0

    init(rules: RoomRules) { self.rules = rules }

    private func name(of connection: Int) -> String? {
        present.first { $0.connection == connection }.map { String(decoding: $0.name, as: UTF8.self) }
    }

    mutating func receive(_ message: ChatMessage, from connection: Int, at time: Double) -> [Delivery] {
        switch (message, name(of: connection)) {
        case (.login, .some): return [.send(.error(.alreadyLoggedIn), to: [connection])]
        case (.login(let wanted), nil): return enter(Array(wanted.utf8), connection)
        case (.chat, nil), (.logout, nil): return [.send(.error(.notLoggedIn), to: [connection])]
        case (.chat(let content), let name?):
            if content.isEmpty || content.utf8.count > 4096 { return [.send(.error(.badContent), to: [connection])] }
            count += 1
            let line = ChatLine(id: count, username: name, content: content, timestamp: time)
            past = Array((past + [line]).suffix(rules.historyLength))
            return present.map { .send(.chatMessage(line), to: [$0.connection]) }
        case (.logout, .some):
            let others = leave(connection)
            return others + [.send(.logoutResponse, to: [connection]), .close(connection)]
        default: return [.send(.error(.unknownType), to: [connection])]
        }
    }

    private mutating func enter(_ name: [UInt8], _ connection: Int) -> [Delivery] {
        if name.isEmpty || name.count > 32 || name.contains(where: { $0 < 0x21 || $0 == 0x7F }) {
            return [.send(.loginResponse(refusal: .badName), to: [connection])]
        }
        if present.contains(where: { $0.name == name }) {
            return [.send(.loginResponse(refusal: .nameTaken), to: [connection])]
        }
        let news = ChatMessage.userJoined(username: String(decoding: name, as: UTF8.self))
        let told = present.map { Delivery.send(news, to: [$0.connection]) }
        present.append((connection, name))
        return told + [.send(.loginResponse(refusal: nil), to: [connection])]
            + past.map { .send(.chatMessage($0), to: [connection]) }
    }

    mutating func leave(_ connection: Int) -> [Delivery] {
        guard let name = name(of: connection) else { return [] }
        present.removeAll { $0.connection == connection }
        return present.map { .send(.userLeft(username: name), to: [$0.connection]) }
    }
}
