import Course

struct Room: ChatRoom {
    private let rules: RoomRules
    private var members: [Int: Member] = [:]
    private var history: [ChatLine] = []
    private var count = 0

    private struct Member {
        var name: String
        var bytes: [UInt8] { Array(name.utf8) }
    }

    init(rules: RoomRules) {
        self.rules = rules
    }

    /// First what can be seen from the message alone, then what depends on who sent it, and only then something changes.
    mutating func receive(_ message: ChatMessage, from connection: Int, at time: Double) -> [Delivery] {
        if let problem = problem(in: message) ?? problem(with: message, from: connection) {
            return [.send(.error(problem), to: [connection])]
        }
        switch message {
        case .login(let username): return join(username, connection)
        case .chat(let content): return say(content, connection, time)
        default: return [.send(.logoutResponse, to: [connection]), .close(connection)] + leave(connection)
        }
    }

    mutating func leave(_ connection: Int) -> [Delivery] {
        guard let member = members.removeValue(forKey: connection) else { return [] }
        return toAll(.userLeft(username: member.name))
    }

    private func problem(in message: ChatMessage) -> ChatProblem? {
        switch message {
        case .login, .logout: return nil
        case .chat(let content):
            let size = content.utf8.count
            return size < 1 || size > RoomRules.contentLimit ? .badContent : nil
        case .loginResponse, .chatMessage, .userJoined, .userLeft, .logoutResponse, .error: return .unknownType
        }
    }

    private func problem(with message: ChatMessage, from connection: Int) -> ChatProblem? {
        let isMember = members[connection] != nil
        if case .login = message { return isMember ? .alreadyLoggedIn : nil }
        return isMember ? nil : .notLoggedIn
    }

    private mutating func join(_ username: String, _ connection: Int) -> [Delivery] {
        let newcomer = Member(name: username)
        func answer(_ refusal: ChatProblem?) -> Delivery { .send(.loginResponse(refusal: refusal), to: [connection]) }
        let bytes = newcomer.bytes
        if bytes.isEmpty || bytes.count > RoomRules.nameLimit || bytes.contains(where: { $0 < 0x21 || $0 == 0x7F }) {
            return [answer(.badName)]
        }
        if members.values.contains(where: { $0.bytes == bytes }) { return [answer(.nameTaken)] }
        let news = toAll(.userJoined(username: username))
        members[connection] = newcomer
        return [answer(nil)] + history.map { .send(.chatMessage($0), to: [connection]) } + news
    }

    private mutating func say(_ content: String, _ connection: Int, _ time: Double) -> [Delivery] {
        guard let member = members[connection] else { return [] }
        count += 1
        let line = ChatLine(id: count, username: member.name, content: content, timestamp: time)
        history.append(line)
        history.removeFirst(max(0, history.count - rules.historyLength))
        return toAll(.chatMessage(line))
    }

    private func toAll(_ message: ChatMessage) -> [Delivery] { [.send(message, to: Array(members.keys))] }
}
