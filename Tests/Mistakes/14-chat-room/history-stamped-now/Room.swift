import Course

/// The rules, and nothing else: no socket, no clock, no bytes.
struct Room: ChatRoom {
    private let historyLength: Int
    /// The name of each member, by its connection.
    private var members: [Int: String] = [:]
    /// As bytes. Two Strings are equal in Swift if they look the same (é as one character or as two); the protocol
    /// compares bytes.
    private var names: Set<[UInt8]> = []
    private var history: [ChatLine] = []
    private var lastID = 0

    init(rules: RoomRules) {
        historyLength = rules.historyLength
    }

    mutating func receive(_ message: ChatMessage, from connection: Int, at time: Double) -> [Delivery] {
        func error(_ problem: ChatProblem) -> [Delivery] { [.send(.error(problem), to: [connection])] }
        let name = members[connection]
        switch message {
        case .login(let username): return name == nil ? login(username, connection, time) : error(.alreadyLoggedIn)
        case .chat(let content):
            guard let name else { return error(.notLoggedIn) }
            guard (1...RoomRules.contentLimit).contains(content.utf8.count) else { return error(.badContent) }
            lastID += 1
            let line = ChatLine(id: lastID, username: name, content: content, timestamp: time)
            history.append(line)
            if history.count > historyLength { history.removeFirst() }
            return [.send(.chatMessage(line), to: Array(members.keys))]
        case .logout:
            guard name != nil else { return error(.notLoggedIn) }
            return [.send(.logoutResponse, to: [connection]), .close(connection)] + leave(connection)
        // Ours to say. A client that says it is not believed: somebody would speak in another's name.
        case .loginResponse, .chatMessage, .userJoined, .userLeft, .logoutResponse, .error: return error(.unknownType)
        }
    }

    private mutating func login(_ username: String, _ connection: Int, _ time: Double) -> [Delivery] {
        func refuse(_ problem: ChatProblem) -> [Delivery] {
            [.send(.loginResponse(refusal: problem), to: [connection])]
        }
        let bytes = Array(username.utf8)
        guard (1...RoomRules.nameLimit).contains(bytes.count), bytes.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else {
            return refuse(.badName)
        }
        guard names.insert(bytes).inserted else { return refuse(.nameTaken) }
        let others = Array(members.keys)
        members[connection] = username
        // The history goes out in the same step: nothing can be said between it and what comes next.
        return [.send(.loginResponse(refusal: nil), to: [connection])]
            + history.map {
                .send(
                    .chatMessage(ChatLine(id: $0.id, username: $0.username, content: $0.content, timestamp: time)),
                    to: [connection])
            }
            + [.send(.userJoined(username: username), to: others)]
    }

    mutating func leave(_ connection: Int) -> [Delivery] {
        guard let name = members.removeValue(forKey: connection) else { return [] }
        names.remove(Array(name.utf8))
        return [.send(.userLeft(username: name), to: Array(members.keys))]
    }
}
