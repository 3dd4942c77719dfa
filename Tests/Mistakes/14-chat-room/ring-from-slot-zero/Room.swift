import Course

/// The rules of the room. The history is a ring: as many slots as it may have lines, the newest in place of the oldest.
struct Room: ChatRoom {
    private struct Ring {
        private var slots: [ChatLine] = []
        private let capacity: Int
        private var written = 0

        init(capacity: Int) {
            self.capacity = capacity
            slots.reserveCapacity(capacity)
        }

        mutating func append(_ line: ChatLine) {
            guard capacity > 0 else { return }
            if slots.count < capacity { slots.append(line) } else { slots[written % capacity] = line }
            written += 1
        }

        var lines: [ChatLine] { slots }
    }

    private enum Standing {
        case stranger
        case member(String)
    }

    private var standings: [Int: Standing] = [:]
    private var taken: [[UInt8]: Int] = [:]
    private var ring: Ring
    private var count = 0

    init(rules: RoomRules) {
        ring = Ring(capacity: rules.historyLength)
    }

    mutating func receive(_ message: ChatMessage, from connection: Int, at time: Double) -> [Delivery] {
        switch (message, standings[connection] ?? .stranger) {
        case (.login, .member): return complain(.alreadyLoggedIn, connection)
        case (.login(let username), .stranger): return enter(username, connection)
        case (.chat, .stranger), (.logout, .stranger): return complain(.notLoggedIn, connection)
        case (.chat(let content), .member(let username)):
            let size = content.utf8.count
            if size == 0 || size > RoomRules.contentLimit { return complain(.badContent, connection) }
            count += 1
            let line = ChatLine(id: count, username: username, content: content, timestamp: time)
            ring.append(line)
            return [.send(.chatMessage(line), to: Array(taken.values))]
        case (.logout, .member):
            let farewell = leave(connection)
            return [.send(.logoutResponse, to: [connection]), .close(connection)] + farewell
        default: return complain(.unknownType, connection)
        }
    }

    mutating func leave(_ connection: Int) -> [Delivery] {
        guard case .member(let username)? = standings.removeValue(forKey: connection) else { return [] }
        taken[Array(username.utf8)] = nil
        return [.send(.userLeft(username: username), to: Array(taken.values))]
    }

    private func complain(_ problem: ChatProblem, _ connection: Int) -> [Delivery] {
        [.send(.error(problem), to: [connection])]
    }

    private mutating func enter(_ username: String, _ connection: Int) -> [Delivery] {
        let bytes = Array(username.utf8)
        let isGood = !bytes.isEmpty && bytes.count <= RoomRules.nameLimit && !bytes.contains { $0 <= 32 || $0 == 127 }
        var refusal: ChatProblem?
        if !isGood { refusal = .badName } else if taken[bytes] != nil { refusal = .nameTaken }
        if let refusal { return [.send(.loginResponse(refusal: refusal), to: [connection])] }

        let others = Array(taken.values)
        taken[bytes] = connection
        standings[connection] = .member(username)
        var deliveries: [Delivery] = [.send(.loginResponse(refusal: nil), to: [connection])]
        for line in ring.lines { deliveries.append(.send(.chatMessage(line), to: [connection])) }
        deliveries.append(.send(.userJoined(username: username), to: others))
        return deliveries
    }
}
