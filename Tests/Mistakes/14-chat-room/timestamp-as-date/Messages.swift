import Course
import Foundation

func encodeMessage(_ message: ChatMessage) -> [UInt8] {
    do { return Array(try JSONEncoder().encode(Note(message))) } catch { fatalError("\(error)") }
}

func decodeMessage(_ bytes: [UInt8]) throws -> ChatMessage {
    guard !bytes.contains(0), String(validating: bytes, as: UTF8.self) != nil else {
        throw MessageError.badMessage("not UTF-8")
    }
    let data = Data(bytes)
    guard let kind = try? JSONDecoder().decode(Kind.self, from: data) else {
        throw MessageError.badMessage("no object with a type")
    }
    guard Note.types.contains(kind.type) else { throw MessageError.unknownType(kind.type) }
    guard let note = try? JSONDecoder().decode(Note.self, from: data), let message = note.message else {
        throw MessageError.badMessage("a \(kind.type) without its fields")
    }
    return message
}

private struct Kind: Decodable {
    let type: String
}

/// How a message looks on the wire. What a type does not have is left out.
private struct Note: Codable {
    var type: String
    var username: String?
    var content: String?
    var success: Bool?
    var code: String?
    var message_: String?
    var id: Int?
    var timestamp: Date?

    enum CodingKeys: String, CodingKey {
        case type, username, content, success, code, id, timestamp
        case message_ = "message"
    }

    static let types = [
        "login", "chat", "logout", "login_response", "chat_message", "user_joined", "user_left", "logout_response",
        "error",
    ]

    init(_ message: ChatMessage) {
        switch message {
        case .login(let name):
            type = "login"
            username = name
        case .chat(let text):
            type = "chat"
            content = text
        case .logout: type = "logout"
        case .loginResponse(let refusal):
            type = "login_response"
            success = refusal == nil
            code = refusal?.rawValue
        case .chatMessage(let line):
            type = "chat_message"
            id = line.id
            username = line.username
            content = line.content
            timestamp = Date(timeIntervalSince1970: line.timestamp)
        case .userJoined(let name):
            type = "user_joined"
            username = name
        case .userLeft(let name):
            type = "user_left"
            username = name
        case .logoutResponse:
            type = "logout_response"
            success = true
        case .error(let problem):
            type = "error"
            code = problem.rawValue
        }
    }

    /// Nil if a field is missing that the type needs.
    var message: ChatMessage? {
        switch type {
        case "login": return username.map { .login(username: $0) }
        case "chat": return content.map { .chat(content: $0) }
        case "logout": return .logout
        case "user_joined": return username.map { .userJoined(username: $0) }
        case "user_left": return username.map { .userLeft(username: $0) }
        case "logout_response": return .logoutResponse
        case "error": return code.flatMap(ChatProblem.init(rawValue:)).map { .error($0) }
        case "login_response":
            guard let success else { return nil }
            if success { return .loginResponse(refusal: nil) }
            return code.flatMap(ChatProblem.init(rawValue:)).map { .loginResponse(refusal: $0) }
        default:
            guard let id, let username, let content, let timestamp else { return nil }
            return .chatMessage(
                ChatLine(id: id, username: username, content: content, timestamp: timestamp.timeIntervalSince1970))
        }
    }
}
