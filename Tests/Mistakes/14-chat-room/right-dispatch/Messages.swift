import Course
import Foundation

/// One value of an object. Of an array or an object inside nothing is kept: no message has one.
private enum Field: Codable {
    case nothing
    case flag(Bool)
    case whole(Int)
    case real(Double)
    case text(String)
    case other

    init(from decoder: any Decoder) throws {
        guard let one = try? decoder.singleValueContainer() else {
            self = .other
            return
        }
        if one.decodeNil() {
            self = .nothing
        } else if let value = try? one.decode(Bool.self) {
            self = .flag(value)
        } else if let value = try? one.decode(Int.self) {
            self = .whole(value)
        } else if let value = try? one.decode(Double.self) {
            self = .real(value)
        } else if let value = try? one.decode(String.self) {
            self = .text(value)
        } else {
            self = .other
        }
    }

    func encode(to encoder: any Encoder) throws {
        var one = encoder.singleValueContainer()
        switch self {
        case .flag(let value): try one.encode(value)
        case .whole(let value): try one.encode(value)
        case .real(let value): try one.encode(value)
        case .text(let value): try one.encode(value)
        case .nothing, .other: try one.encodeNil()
        }
    }
}

func encodeMessage(_ message: ChatMessage) -> [UInt8] {
    var fields: [String: Field]
    switch message {
    case let .login(username): fields = ["type": .text("login"), "username": .text(username)]
    case let .chat(content): fields = ["type": .text("chat"), "content": .text(content)]
    case .logout: fields = ["type": .text("logout")]
    case let .loginResponse(refusal):
        fields = ["type": .text("login_response"), "success": .flag(refusal == nil)]
        if let refusal { fields["code"] = .text(refusal.rawValue) }
    case let .chatMessage(line):
        fields = [
            "type": .text("chat_message"), "id": .whole(line.id), "username": .text(line.username),
            "content": .text(line.content), "timestamp": .real(line.timestamp),
        ]
    case let .userJoined(username): fields = ["type": .text("user_joined"), "username": .text(username)]
    case let .userLeft(username): fields = ["type": .text("user_left"), "username": .text(username)]
    case .logoutResponse: fields = ["type": .text("logout_response"), "success": .flag(true)]
    case let .error(problem): fields = ["type": .text("error"), "code": .text(problem.rawValue)]
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do { return [UInt8](try encoder.encode(fields)) } catch { fatalError("\(error)") }
}

func decodeMessage(_ bytes: [UInt8]) throws -> ChatMessage {
    guard bytes.allSatisfy({ $0 != 0 }), String(validating: bytes, as: UTF8.self) != nil,
        let fields = try? JSONDecoder().decode([String: Field].self, from: Data(bytes))
    else { throw MessageError.badMessage("no object") }

    func text(_ name: String) throws -> String {
        if case .text(let value)? = fields[name] { return value }
        throw MessageError.badMessage("\(name) is no text")
    }
    func problem() throws -> ChatProblem {
        if let problem = ChatProblem(rawValue: try text("code")) { return problem }
        throw MessageError.badMessage("no such code")
    }
    func success() throws -> Bool {
        if case .flag(let value)? = fields["success"] { return value }
        throw MessageError.badMessage("success is neither true nor false")
    }

    let type = try text("type")
    switch type {
    case "login": return .login(username: try text("username"))
    case "chat": return .chat(content: try text("content"))
    case "logout": return .logout
    case "login_response", "logout_response", "error":
        switch fields["message"] {
        case nil, .nothing?, .text?: break
        default: throw MessageError.badMessage("message is no text")
        }
        if type == "error" { return .error(try problem()) }
        if type == "logout_response" {
            _ = try success()
            return .logoutResponse
        }
        return .loginResponse(refusal: try success() ? nil : try problem())
    case "chat_message":
        guard case .whole(let id)? = fields["id"] else { throw MessageError.badMessage("id is no whole number") }
        let time: Double
        switch fields["timestamp"] {
        case .whole(let value)?: time = Double(value)
        case .real(let value)?: time = value
        default: throw MessageError.badMessage("timestamp is no number")
        }
        return .chatMessage(
            ChatLine(id: id, username: try text("username"), content: try text("content"), timestamp: time))
    case "user_joined": return .userJoined(username: try text("username"))
    case "user_left": return .userLeft(username: try text("username"))
    default: throw MessageError.unknownType(type)
    }
}
