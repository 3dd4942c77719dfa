import Course
import Foundation

private struct Fields: Codable {
    var type: String?
    var username: String?
    var content: String?
    var success: Bool?
    var code: String?
    var id: Int?
    var timestamp: Double?
}

func encodeMessage(_ message: ChatMessage) -> [UInt8] {
    let json: String
    switch message {
    case .login(let username): json = "{\"type\":\"login\",\"username\":\"\(username)\"}"
    case .chat(let content): json = "{\"type\":\"chat\",\"content\":\"\(content)\"}"
    case .logout: json = "{\"type\":\"logout\"}"
    case .loginResponse(nil): json = "{\"type\":\"login_response\",\"success\":true}"
    case .loginResponse(let refusal?):
        json = "{\"type\":\"login_response\",\"success\":false,\"code\":\"\(refusal.rawValue)\"}"
    case .chatMessage(let line):
        json =
            "{\"type\":\"chat_message\",\"id\":\(line.id),\"username\":\"\(line.username)\","
            + "\"content\":\"\(line.content)\",\"timestamp\":\(line.timestamp)}"
    case .userJoined(let username): json = "{\"type\":\"user_joined\",\"username\":\"\(username)\"}"
    case .userLeft(let username): json = "{\"type\":\"user_left\",\"username\":\"\(username)\"}"
    case .logoutResponse: json = "{\"type\":\"logout_response\",\"success\":true}"
    case .error(let problem): json = "{\"type\":\"error\",\"code\":\"\(problem.rawValue)\"}"
    }
    return Array(json.utf8)
}

func decodeMessage(_ bytes: [UInt8]) throws -> ChatMessage {
    guard !bytes.contains(0), String(validating: bytes, as: UTF8.self) != nil else {
        throw MessageError.badMessage("this is not JSON in UTF-8")
    }
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
    do { return try JSONDecoder().decode(type, from: Data(bytes)) } catch {
        throw MessageError.badMessage("this is no JSON object with fields of the right kinds")
    }
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
