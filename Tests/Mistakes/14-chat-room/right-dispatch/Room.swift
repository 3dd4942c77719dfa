import Course
import Foundation

struct Room: ChatRoom {
    /// By connection; a name is kept as the bytes that came.
    private var members: [(connection: Int, name: Data)] = []
    private var recent: ArraySlice<ChatLine> = []
    private var count = 0
    private let rules: RoomRules

    init(rules: RoomRules) { self.rules = rules }

    private enum Outcome {
        case refused(ChatMessage)
        case done([Delivery])
    }

    mutating func receive(_ message: ChatMessage, from connection: Int, at time: Double) -> [Delivery] {
        switch outcome(message, connection, time) {
        case .refused(let answer): return [.send(answer, to: [connection])]
        case .done(let deliveries): return deliveries
        }
    }

    private mutating func outcome(_ message: ChatMessage, _ connection: Int, _ time: Double) -> Outcome {
        let place = members.firstIndex { $0.connection == connection }
        switch message {
        case .login(let username):
            guard place == nil else { return .refused(.error(.alreadyLoggedIn)) }
            let name = Data(username.utf8)
            let isGood = (1...32).contains(name.count) && !name.contains { $0 <= 0x20 || $0 == 0x7F }
            guard isGood else { return .refused(.loginResponse(refusal: .badName)) }
            guard !members.contains(where: { $0.name == name }) else {
                return .refused(.loginResponse(refusal: .nameTaken))
            }
            members.append((connection, name))
            let own = [.loginResponse(refusal: nil)] + recent.map { ChatMessage.chatMessage($0) }
            return .done(
                own.map { .send($0, to: [connection]) } + toAll(.userJoined(username: username), but: connection))
        case .chat(let content):
            guard let place else { return .refused(.error(.notLoggedIn)) }
            guard !content.isEmpty, content.utf8.count <= 4096 else { return .refused(.error(.badContent)) }
            count += 1
            let name = String(decoding: members[place].name, as: UTF8.self)
            let line = ChatLine(id: count, username: name, content: content, timestamp: time)
            recent = (recent + [line]).suffix(rules.historyLength)
            return .done(toAll(.chatMessage(line)))
        case .logout:
            guard place != nil else { return .refused(.error(.notLoggedIn)) }
            return .done(leave(connection) + [.send(.logoutResponse, to: [connection]), .close(connection)])
        default: return .refused(.error(.unknownType))
        }
    }

    /// One delivery each: nobody asked for fewer.
    private func toAll(_ message: ChatMessage, but excluded: Int? = nil) -> [Delivery] {
        [.send(message, to: members.map(\.connection).filter { $0 != excluded })]
    }

    mutating func leave(_ connection: Int) -> [Delivery] {
        guard let place = members.firstIndex(where: { $0.connection == connection }) else { return [] }
        let name = String(decoding: members.remove(at: place).name, as: UTF8.self)
        return toAll(.userLeft(username: name))
    }
}
