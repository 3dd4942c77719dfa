// Lesson 14: messages as the grader reads and writes them.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

/// What a frame says, without the texts for people, and without the time.
enum Heard: Equatable {
    case message(ChatMessage)
    /// Not as PROTOCOL.md describes it.
    case other([UInt8])

    init(_ frame: [UInt8]) { self = readMessage(frame).map { .message($0) } ?? .other(frame) }

    var text: String {
        switch self {
        case .message(let message): message.words
        case .other(let bytes): say("what is no message: ", "不是消息：") + quoted(bytes, most: 80)
        }
    }

    /// An object that is no JSON, in place of a message whose content needs escapes.
    func isBroken(by wanted: ChatMessage) -> Bool {
        let content: String
        switch wanted {
        case .chat(let text): content = text
        case .chatMessage(let line): content = line.content
        default: return false
        }
        guard case .other(let bytes) = self, bytes.first == UInt8(ascii: "{"), JSONValue(bytes) == nil else {
            return false
        }
        return content.utf8.contains { $0 < 0x20 || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }
    }
}

extension ChatMessage {
    /// For people: the type, and what matters.
    var words: String {
        switch self {
        case .login(let username): "login " + shown(username)
        case .chat(let content): "chat " + shown(content, isName: false)
        case .logout: "logout"
        case .loginResponse(nil): "login_response success"
        case .loginResponse(let problem?): "login_response \(problem.rawValue)"
        case .chatMessage(let line):
            "chat_message \(line.id) \(shown(line.username)): " + shown(line.content, isName: false)
        case .userJoined(let username): "user_joined " + shown(username)
        case .userLeft(let username): "user_left " + shown(username)
        case .logoutResponse: "logout_response"
        case .error(let problem): "error \(problem.rawValue)"
        }
    }

    /// A name as it is, unless it is odd; a content in quotes. Of what is long the beginning, and how many bytes it has.
    private func shown(_ text: String, isName: Bool = true) -> String {
        let bytes = Array(text.utf8)
        let isOdd = bytes.isEmpty || bytes.contains { $0 <= 0x20 || $0 == 0x7F || $0 == 0x22 }
        if isName && !isOdd && bytes.count <= RoomRules.nameLimit { return text }
        let most = 24
        // In quotes with its own characters, if none of them needs a spelling; else byte by byte.
        let isPlain = !bytes.contains { $0 < 0x20 || $0 == 0x7F || $0 == 0x22 || $0 == 0x5C }
        let beginning = text.unicodeScalars.count > most ? "\"\(String(text.prefix(8)))\"…" : "\"\(text)\""
        return (isPlain ? beginning : quoted(bytes)) + (bytes.count > most ? " (" + byteCount(bytes.count) + ")" : "")
    }

    /// The time is the server's.
    var timeless: ChatMessage {
        guard case .chatMessage(var line) = self else { return self }
        line.timestamp = 0
        return .chatMessage(line)
    }
}

/// A chat message that is expected: from whom, and what; the time is nobody's to know.
func said(_ id: Int, _ username: String, _ content: String) -> ChatMessage {
    .chatMessage(ChatLine(id: id, username: username, content: content, timestamp: 0))
}

/// The message as the grader writes it.
func writeMessage(_ message: ChatMessage) -> [UInt8] {
    var fields: [String: Any] = [:]
    switch message {
    case .login(let username): fields = ["type": "login", "username": username]
    case .chat(let content): fields = ["type": "chat", "content": content]
    case .logout: fields = ["type": "logout"]
    case .loginResponse(nil): fields = ["type": "login_response", "success": true, "message": "hello"]
    case .loginResponse(let problem?):
        fields = ["type": "login_response", "success": false, "code": problem.rawValue]
    case .chatMessage(let line):
        fields = [
            "type": "chat_message", "id": line.id, "username": line.username, "content": line.content,
            "timestamp": line.timestamp,
        ]
    case .userJoined(let username): fields = ["type": "user_joined", "username": username]
    case .userLeft(let username): fields = ["type": "user_left", "username": username]
    case .logoutResponse: fields = ["type": "logout_response", "success": true]
    case .error(let problem): fields = ["type": "error", "code": problem.rawValue, "message": "no"]
    }
    // Strings and finite numbers can always be written.
    do { return Array(try JSONSerialization.data(withJSONObject: fields, options: .sortedKeys)) } catch {
        fatalError("\(message): \(error)")
    }
}

/// The message in these bytes; nil if they are none.
func readMessage(_ bytes: [UInt8]) -> ChatMessage? {
    guard !bytes.contains(0), case .object(let fields)? = JSONValue(bytes) else { return nil }
    func text(_ name: String) -> String? {
        if case .string(let text)? = fields[name] { return text }
        return nil
    }
    func number(_ name: String) -> Double? {
        if case .number(let number)? = fields[name] { return number }
        return nil
    }
    let problem = text("code").flatMap(ChatProblem.init)
    switch text("type") {
    case "login"?: return text("username").map { .login(username: $0) }
    case "chat"?: return text("content").map { .chat(content: $0) }
    case "logout"?: return .logout
    case "login_response"?:
        if fields["success"] == .bool(true) { return .loginResponse(refusal: nil) }
        return fields["success"] == .bool(false) ? problem.map { .loginResponse(refusal: $0) } : nil
    case "chat_message"?:
        guard let id = number("id").flatMap(Int.init(exactly:)), let username = text("username"),
            let content = text("content"), let time = number("timestamp")
        else { return nil }
        return .chatMessage(ChatLine(id: id, username: username, content: content, timestamp: time))
    case "user_joined"?: return text("username").map { .userJoined(username: $0) }
    case "user_left"?: return text("username").map { .userLeft(username: $0) }
    case "logout_response"?: return fields["success"] == .bool(true) ? .logoutResponse : nil
    case "error"?: return problem.map { .error($0) }
    default: return nil
    }
}
