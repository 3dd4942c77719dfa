import Course
import Foundation

/// A frame's object, with every field that any type has. What a type needs is asked for below.
///
/// `JSONDecoder` looks at kinds strictly: `"success": 1` is no Bool. `JSONSerialization` would give an NSNumber for
/// both, and that can be cast to either.
private struct Fields: Codable {
    var type: String?
    var username: String?
    var content: String?
    var success: Bool?
    var code: String?
    var id: Int?
    var timestamp: Double?
    var message: String?
}

func encodeMessage(_ message: ChatMessage) -> [UInt8] {
    var fields = Fields()
    switch message {
    case .login(let username): (fields.type, fields.username) = ("login", username)
    case .chat(let content): (fields.type, fields.content) = ("chat", content)
    case .logout: fields.type = "logout"
    case .loginResponse(let refusal):
        (fields.type, fields.success) = ("login_response", refusal == nil)
        (fields.code, fields.message) = (refusal?.rawValue, refusal?.words ?? "welcome")
    case .chatMessage(let line):
        (fields.type, fields.username, fields.content) = ("chat_message", line.username, line.content)
        (fields.id, fields.timestamp) = (line.id, line.timestamp)
    case .userJoined(let username): (fields.type, fields.username) = ("user_joined", username)
    case .userLeft(let username): (fields.type, fields.username) = ("user_left", username)
    case .logoutResponse:
        (fields.type, fields.success, fields.message) = ("logout_response", true, "goodbye")
    case .error(let problem):
        (fields.type, fields.code, fields.message) = ("error", problem.rawValue, problem.words)
    }
    // A field that is nil is left out. Strings and finite numbers can always be written: to fail here is our own
    // mistake.
    do { return Array(try JSONEncoder().encode(fields)) } catch { fatalError("\(message): \(error)") }
}

func decodeMessage(_ bytes: [UInt8]) throws -> ChatMessage {
    // The decoder guesses UTF-16 and UTF-32 from zero bytes, which no JSON in UTF-8 has: there a zero is written
    // \u0000.
    guard !bytes.contains(0), String(validating: bytes, as: UTF8.self) != nil else {
        throw MessageError.badMessage("this is not JSON in UTF-8")
    }
    // The type first, alone: of a type that we do not know no field can be of the wrong kind.
    let type: String = try field("type", of: decode(TypeOnly.self, bytes).type)
    guard ChatMessage.types.contains(type) else { throw MessageError.unknownType(type) }
    let fields = try decode(Fields.self, bytes)
    switch type {
    case "login": return .login(username: try field("username", of: fields.username))
    case "chat": return .chat(content: try field("content", of: fields.content))
    case "logout": return .logout
    case "login_response":
        if try field("success", of: fields.success) { return .loginResponse(refusal: nil) }
        return .loginResponse(refusal: try problem(fields))
    case "chat_message":
        let line = ChatLine(
            id: try field("id", of: fields.id), username: try field("username", of: fields.username),
            content: try field("content", of: fields.content), timestamp: try field("timestamp", of: fields.timestamp))
        return .chatMessage(line)
    case "user_joined": return .userJoined(username: try field("username", of: fields.username))
    case "user_left": return .userLeft(username: try field("username", of: fields.username))
    case "logout_response": return .logoutResponse
    default: return .error(try problem(fields))
    }
}

private struct TypeOnly: Decodable {
    var type: String?
}

private func decode<Content: Decodable>(_ type: Content.Type, _ bytes: [UInt8]) throws -> Content {
    // It has been checked above that these are bytes of text.
    return try! JSONDecoder().decode(type, from: Data(bytes))
}

private func field<Content>(_ name: String, of content: Content?) throws -> Content {
    if let content { return content }
    throw MessageError.badMessage("the field \(name) is missing")
}

private func problem(_ fields: Fields) throws -> ChatProblem {
    if let problem = ChatProblem(rawValue: try field("code", of: fields.code)) { return problem }
    throw MessageError.badMessage("no problem has this code")
}

extension ChatMessage {
    fileprivate static let types: Set = [
        "login", "chat", "logout", "login_response", "chat_message", "user_joined", "user_left", "logout_response",
        "error",
    ]
}

extension ChatProblem {
    /// For people.
    fileprivate var words: String {
        switch self {
        case .badName: "a name has 1 to \(RoomRules.nameLimit) bytes, no spaces and no control characters"
        case .nameTaken: "somebody here has this name"
        case .notLoggedIn: "log in first"
        case .alreadyLoggedIn: "you are logged in already"
        case .badContent: "a message has 1 to \(RoomRules.contentLimit) bytes"
        case .badMessage: "this is no message"
        case .unknownType: "there is no message of this type"
        case .tooLong: "a frame has at most \(Lesson14.frameLimit) bytes"
        }
    }
}
