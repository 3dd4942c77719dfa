import Course

struct Room: ChatRoom {
    /// A name as the protocol compares it.
    private struct Name: Hashable {
        let bytes: [UInt8]
        init(_ text: String) { bytes = Array(text.utf8) }
        var isGood: Bool { !bytes.isEmpty && bytes.count <= 32 && bytes.allSatisfy { $0 > 32 && $0 != 127 } }
    }

    private let keeps: Int
    private var owners: [Name: Int] = [:]
    private var names: [Int: String] = [:]
    /// A ring: the oldest one is at `lastID % keeps` when it is full.
    private var ring: [ChatLine] = []
    private var lastID = 0

    init(rules: RoomRules) { keeps = max(0, rules.historyLength) }

    private var history: [ChatLine] {
        guard ring.count == keeps, keeps > 0 else { return ring }
        let oldest = lastID % keeps
        return Array(ring[oldest...] + ring[..<oldest])
    }

    private mutating func remember(_ line: ChatLine) {
        guard keeps > 0 else { return }
        if ring.count < keeps { ring.append(line) } else { ring[(line.id - 1) % keeps] = line }
    }

    mutating func receive(_ message: ChatMessage, from connection: Int, at time: Double) -> [Delivery] {
        var answer: ChatMessage
        switch message {
        case .login(let username):
            let name = Name(username)
            if names[connection] != nil {
                answer = .error(.alreadyLoggedIn)
            } else if !name.isGood {
                answer = .loginResponse(refusal: .badName)
            } else if owners[name] != nil {
                answer = .loginResponse(refusal: .nameTaken)
            } else {
                let others = Array(names.keys)
                owners[name] = connection
                names[connection] = username
                let past: [ChatMessage] = [.loginResponse(refusal: nil)] + history.map { .chatMessage($0) }
                return [.send(.userJoined(username: username), to: others)] + past.map { .send($0, to: [connection]) }
            }
        case .chat(let content):
            if let username = names[connection] {
                guard case 1...RoomRules.contentLimit = content.utf8.count else {
                    answer = .error(.badContent)
                    break
                }
                lastID += 1
                let line = ChatLine(id: lastID, username: username, content: content, timestamp: time)
                remember(line)
                return [.send(.chatMessage(line), to: names.keys.sorted())]
            }
            answer = .error(.notLoggedIn)
        case .logout:
            if names[connection] != nil {
                return leave(connection) + [.send(.logoutResponse, to: [connection]), .close(connection)]
            }
            answer = .error(.notLoggedIn)
        default: answer = .error(.unknownType)
        }
        return [.send(answer, to: [connection])]
    }

    mutating func leave(_ connection: Int) -> [Delivery] {
        guard let username = names.removeValue(forKey: connection) else { return [] }
        owners[Name(username)] = nil
        return [.send(.userLeft(username: username), to: names.keys.sorted())]
    }
}
