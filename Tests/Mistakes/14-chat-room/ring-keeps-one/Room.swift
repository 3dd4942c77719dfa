import Course

struct Room: ChatRoom {
    private struct Seat {
        let connection: Int
        let name: String
        let bytes: [UInt8]
    }

    private var seats: [Seat] = []
    private var past: Ring
    private var count = 0

    init(rules: RoomRules) {
        past = Ring(room: rules.historyLength)
    }

    mutating func receive(_ message: ChatMessage, from connection: Int, at time: Double) -> [Delivery] {
        let seat = seats.first { $0.connection == connection }
        switch (message, seat) {
        case (.login, .some): return [.send(.error(.alreadyLoggedIn), to: [connection])]
        case (.login(let name), nil): return enter(name, connection)
        case (.chat, nil), (.logout, nil): return [.send(.error(.notLoggedIn), to: [connection])]
        case (.chat(let text), .some(let seat)):
            let size = text.utf8.count
            if size < 1 || size > RoomRules.contentLimit { return [.send(.error(.badContent), to: [connection])] }
            count += 1
            let line = ChatLine(id: count, username: seat.name, content: text, timestamp: time)
            past.add(line)
            return [.send(.chatMessage(line), to: seats.map(\.connection))]
        case (.logout, .some):
            var deliveries: [Delivery] = [.send(.logoutResponse, to: [connection]), .close(connection)]
            deliveries += leave(connection)
            return deliveries
        default: return [.send(.error(.unknownType), to: [connection])]
        }
    }

    private mutating func enter(_ name: String, _ connection: Int) -> [Delivery] {
        let bytes = Array(name.utf8)
        let isAllowed =
            !bytes.isEmpty && bytes.count <= RoomRules.nameLimit && !bytes.contains { $0 <= 32 || $0 == 127 }
        if !isAllowed { return [.send(.loginResponse(refusal: .badName), to: [connection])] }
        if seats.contains(where: { $0.bytes == bytes }) {
            return [.send(.loginResponse(refusal: .nameTaken), to: [connection])]
        }
        var deliveries: [Delivery] = [.send(.loginResponse(refusal: nil), to: [connection])]
        past.forEach { deliveries.append(.send(.chatMessage($0), to: [connection])) }
        if !seats.isEmpty { deliveries.append(.send(.userJoined(username: name), to: seats.map(\.connection))) }
        seats.append(Seat(connection: connection, name: name, bytes: bytes))
        return deliveries
    }

    mutating func leave(_ connection: Int) -> [Delivery] {
        guard let place = seats.firstIndex(where: { $0.connection == connection }) else { return [] }
        let seat = seats.remove(at: place)
        return seats.isEmpty ? [] : [.send(.userLeft(username: seat.name), to: seats.map(\.connection))]
    }
}

/// The last lines, in a ring: what is too old is overwritten.
private struct Ring {
    private var slots: [ChatLine?]
    private var next = 0

    init(room: Int) {
        // A ring without a slot cannot be turned.
        slots = Array(repeating: nil, count: max(1, room))
    }

    mutating func add(_ line: ChatLine) {
        slots[next] = line
        next = (next + 1) % slots.count
    }

    func forEach(_ body: (ChatLine) -> Void) {
        for offset in 0..<slots.count {
            if let line = slots[(next + offset) % slots.count] { body(line) }
        }
    }
}
