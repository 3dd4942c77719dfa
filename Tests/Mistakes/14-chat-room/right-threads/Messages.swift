import Course
import Foundation

// One struct for each type of the protocol.
private struct Kind: Codable { var type: String }
private struct Named: Codable {
    var type: String
    var username: String
}
private struct Said: Codable {
    var type: String
    var content: String
}
private struct Line: Codable {
    var type = "chat_message"
    var id: Int
    var username: String
    var content: String
    var timestamp: Double
}
private struct LoginAnswer: Codable {
    var type = "login_response"
    var success: Bool
    var code: String?
    var message: String?
}
private struct Goodbye: Codable {
    var type = "logout_response"
    var success: Bool
    var message: String?
}
private struct Problem: Codable {
    var type = "error"
    var code: String
    var message: String?
}

func encodeMessage(_ message: ChatMessage) -> [UInt8] {
    func json(_ value: some Encodable) -> [UInt8] {
        guard let data = try? JSONEncoder().encode(value) else {
            return Array(#"{"type":"error","code":"bad_message"}"#.utf8)
        }
        return [UInt8](data)
    }
    switch message {
    case .login(let name): return json(Named(type: "login", username: name))
    case .chat(let content): return json(Said(type: "chat", content: content))
    case .logout: return json(Kind(type: "logout"))
    case .loginResponse(let refusal): return json(LoginAnswer(success: refusal == nil, code: refusal?.rawValue))
    case .chatMessage(let line):
        return json(Line(id: line.id, username: line.username, content: line.content, timestamp: line.timestamp))
    case .userJoined(let name): return json(Named(type: "user_joined", username: name))
    case .userLeft(let name): return json(Named(type: "user_left", username: name))
    case .logoutResponse: return json(Goodbye(success: true))
    case .error(let problem): return json(Problem(code: problem.rawValue))
    }
}

func decodeMessage(_ bytes: [UInt8]) throws -> ChatMessage {
    if bytes.contains(0) || String(validating: bytes, as: UTF8.self) == nil {
        throw MessageError.badMessage("not UTF-8")
    }
    let data = Data(bytes)
    func read<Wanted: Decodable>(_ wanted: Wanted.Type) throws -> Wanted {
        do { return try JSONDecoder().decode(wanted, from: data) } catch {
            throw MessageError.badMessage("not a \(wanted)")
        }
    }
    func known(_ code: String?) throws -> ChatProblem {
        guard let problem = code.flatMap(ChatProblem.init(rawValue:)) else { throw MessageError.badMessage("code") }
        return problem
    }
    let type = try read(Kind.self).type
    switch type {
    case "login": return .login(username: try read(Named.self).username)
    case "chat": return .chat(content: try read(Said.self).content)
    case "logout": return .logout
    case "login_response":
        let answer = try read(LoginAnswer.self)
        return .loginResponse(refusal: answer.success ? nil : try known(answer.code))
    case "chat_message":
        let line = try read(Line.self)
        return .chatMessage(
            ChatLine(id: line.id, username: line.username, content: line.content, timestamp: line.timestamp))
    case "user_joined": return .userJoined(username: try read(Named.self).username)
    case "user_left": return .userLeft(username: try read(Named.self).username)
    case "logout_response":
        _ = try read(Goodbye.self)
        return .logoutResponse
    case "error": return .error(try known(try read(Problem.self).code))
    default: throw MessageError.unknownType(type)
    }
}
