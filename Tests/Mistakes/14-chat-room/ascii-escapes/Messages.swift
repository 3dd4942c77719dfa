import Course
import Foundation

/// ASCII only: every program can read it, whatever it takes for its encoding.
private struct Writer {
    private var out: [UInt8] = [UInt8(ascii: "{")]

    private mutating func key(_ name: String) {
        if out.count > 1 { out.append(UInt8(ascii: ",")) }
        text(name)
        out.append(UInt8(ascii: ":"))
    }

    private mutating func text(_ value: String) {
        out.append(0x22)
        for scalar in value.unicodeScalars {
            switch scalar.value {
            case 0x22: out += [0x5C, 0x22]
            case 0x5C: out += [0x5C, 0x5C]
            case 0x20..<0x7F: out.append(UInt8(scalar.value))
            default:
                let digits = String(scalar.value, radix: 16)
                out += Array("\\u".utf8)
                out += Array(repeating: UInt8(ascii: "0"), count: max(0, 4 - digits.count))
                out += Array(digits.utf8)
            }
        }
        out.append(0x22)
    }

    mutating func put(_ name: String, _ value: String) {
        key(name)
        text(value)
    }

    mutating func put<Value: CustomStringConvertible>(_ name: String, plain value: Value) {
        key(name)
        out += Array(value.description.utf8)
    }

    func finished() -> [UInt8] { out + [UInt8(ascii: "}")] }
}

func encodeMessage(_ message: ChatMessage) -> [UInt8] {
    var json = Writer()
    switch message {
    case .login(let name):
        json.put("type", "login")
        json.put("username", name)
    case .chat(let text):
        json.put("type", "chat")
        json.put("content", text)
    case .logout: json.put("type", "logout")
    case .loginResponse(let refusal):
        json.put("type", "login_response")
        json.put("success", plain: refusal == nil)
        if let refusal { json.put("code", refusal.rawValue) }
    case .chatMessage(let line):
        json.put("type", "chat_message")
        json.put("id", plain: line.id)
        json.put("username", line.username)
        json.put("content", line.content)
        json.put("timestamp", plain: line.timestamp)
    case .userJoined(let name):
        json.put("type", "user_joined")
        json.put("username", name)
    case .userLeft(let name):
        json.put("type", "user_left")
        json.put("username", name)
    case .logoutResponse:
        json.put("type", "logout_response")
        json.put("success", plain: true)
    case .error(let problem):
        json.put("type", "error")
        json.put("code", problem.rawValue)
    }
    return json.finished()
}

// One small struct for each kind of object, read strictly.
private struct Kind: Decodable { let type: String }
private struct Name: Decodable { let username: String }
private struct Content: Decodable { let content: String }
private struct Success: Decodable { let success: Bool }
private struct Code: Decodable { let code: String }
private struct Line: Decodable {
    let id: Int
    let username: String
    let content: String
    let timestamp: Double
}

func decodeMessage(_ bytes: [UInt8]) throws -> ChatMessage {
    guard String(validating: bytes, as: UTF8.self) != nil, bytes.firstIndex(of: 0) == nil else {
        throw MessageError.badMessage("not UTF-8")
    }
    let data = Data(bytes)
    func read<Fields: Decodable>(_ type: Fields.Type) throws -> Fields {
        do { return try JSONDecoder().decode(type, from: data) } catch {
            throw MessageError.badMessage("no object with these fields")
        }
    }
    func problem() throws -> ChatProblem {
        guard let problem = ChatProblem(rawValue: try read(Code.self).code) else {
            throw MessageError.badMessage("unknown code")
        }
        return problem
    }
    let kind = try read(Kind.self).type
    switch kind {
    case "login": return .login(username: try read(Name.self).username)
    case "chat": return .chat(content: try read(Content.self).content)
    case "logout": return .logout
    case "login_response": return .loginResponse(refusal: try read(Success.self).success ? nil : try problem())
    case "chat_message":
        let line = try read(Line.self)
        return .chatMessage(
            ChatLine(id: line.id, username: line.username, content: line.content, timestamp: line.timestamp))
    case "user_joined": return .userJoined(username: try read(Name.self).username)
    case "user_left": return .userLeft(username: try read(Name.self).username)
    case "logout_response": return .logoutResponse
    case "error": return .error(try problem())
    default: throw MessageError.unknownType(kind)
    }
}
