import Course
import Foundation

func encodeMessage(_ message: ChatMessage) -> [UInt8] {
    let object: [String: Any]
    switch message {
    case .login(let name): object = ["type": "login", "username": name]
    case .chat(let text): object = ["type": "chat", "content": text]
    case .logout: object = ["type": "logout"]
    case .loginResponse(let problem):
        object = ["type": "login_response", "success": problem == nil].merging(
            problem.map { ["code": $0.rawValue] } ?? [:]
        ) { old, _ in old }
    case .chatMessage(let line):
        object = [
            "type": "chat_message", "id": line.id, "username": line.username, "content": line.content,
            "timestamp": line.timestamp,
        ]
    case .userJoined(let name): object = ["type": "user_joined", "username": name]
    case .userLeft(let name): object = ["type": "user_left", "username": name]
    case .logoutResponse: object = ["type": "logout_response", "success": true]
    case .error(let problem): object = ["type": "error", "code": problem.rawValue]
    }
    return Array((try? JSONSerialization.data(withJSONObject: object)) ?? Data())
}

func decodeMessage(_ bytes: [UInt8]) throws -> ChatMessage {
    let bad = MessageError.badMessage("not a message")
    guard !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self),
        let object = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any],
        let type = object["type"] as? String
    else { throw bad }
    func string(_ name: String) throws -> String {
        guard let value = object[name] as? String else { throw bad }
        return value
    }
    func number(_ name: String) throws -> NSNumber {
        guard let value = object[name] as? NSNumber, !isBool(value) else { throw bad }
        return value
    }
    func flag(_ name: String) throws -> Bool {
        guard let value = object[name] as? NSNumber, isBool(value) else { throw bad }
        return value.boolValue
    }
    func problem() throws -> ChatProblem {
        guard let problem = ChatProblem(rawValue: try string("code")) else { throw bad }
        return problem
    }
    switch type {
    case "login": return .login(username: try string("username"))
    case "chat": return .chat(content: try string("content"))
    case "logout": return .logout
    case "login_response": return .loginResponse(refusal: try flag("success") ? nil : problem())
    case "chat_message":
        guard let id = Int(exactly: try number("id").doubleValue) else { throw bad }
        return .chatMessage(
            ChatLine(
                id: id, username: try string("username"), content: try string("content"),
                timestamp: try number("timestamp").doubleValue))
    case "user_joined": return .userJoined(username: try string("username"))
    case "user_left": return .userLeft(username: try string("username"))
    case "logout_response": return .logoutResponse
    case "error": return .error(try problem())
    default: throw MessageError.unknownType(type)
    }
}

/// Of the two kinds of NSNumber only one writes itself as a word.
private func isBool(_ number: NSNumber) -> Bool {
    (try? JSONSerialization.data(withJSONObject: [number]))
        .map { $0 == Data("[true]".utf8) || $0 == Data("[false]".utf8) } ?? false
}
