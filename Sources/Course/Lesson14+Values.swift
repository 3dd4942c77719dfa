// Lesson 14: what graders send and get.
import Foundation

extension ChatMessage {
    /// `["chat_message", name, content, id, milliseconds since 1970]`, `["login_response", code]` (no code: it
    /// succeeded),
    /// `["error", code]`; the others are their type and their text, if they have one.
    public var value: Value {
        switch self {
        case .login(let username): .list([.string("login"), .string(username)])
        case .chat(let content): .list([.string("chat"), .string(content)])
        case .logout: .list([.string("logout")])
        case .loginResponse(nil): .list([.string("login_response")])
        case .loginResponse(let refusal?): .list([.string("login_response"), .string(refusal.rawValue)])
        case .chatMessage(let line):
            .list([
                .string("chat_message"), .string(line.username), .string(line.content), .int(line.id),
                .int(Int(clamping: Int64(exactly: (line.timestamp * 1000).rounded()) ?? -1)),
            ])
        case .userJoined(let username): .list([.string("user_joined"), .string(username)])
        case .userLeft(let username): .list([.string("user_left"), .string(username)])
        case .logoutResponse: .list([.string("logout_response")])
        case .error(let problem): .list([.string("error"), .string(problem.rawValue)])
        }
    }

    public init(value: [Value]) throws {
        func problem() throws -> ChatProblem {
            if let problem = ChatProblem(rawValue: try value.string(1)) { return problem }
            throw ArgumentError(description: "no problem has the code \(value[1])")
        }
        switch try value.string(0) {
        case "login": self = .login(username: try value.string(1))
        case "chat": self = .chat(content: try value.string(1))
        case "logout": self = .logout
        case "login_response": self = .loginResponse(refusal: value.count > 1 ? try problem() : nil)
        case "chat_message":
            self = .chatMessage(
                ChatLine(
                    id: try value.int(3), username: try value.string(1), content: try value.string(2),
                    timestamp: Double(try value.int(4)) / 1000))
        case "user_joined": self = .userJoined(username: try value.string(1))
        case "user_left": self = .userLeft(username: try value.string(1))
        case "logout_response": self = .logoutResponse
        case "error": self = .error(try problem())
        case let other: throw ArgumentError(description: "no message has the type \(other)")
        }
    }
}

extension Lesson14 {
    /// What happens in a room, one after another: `["message", connection, milliseconds since 1970, …]`, the rest being
    /// a message's value, and `["leave", connection]`. The answer: a list for each, of what the room wants to be done:
    /// `["send", message, connections]` or `["close", connection]`.
    func play(_ room: any ChatRoom, _ events: [Value]) throws -> Value {
        var room = room
        var answers: [Value] = []
        for index in events.indices {
            let event = try events.list(index)
            let deliveries: [Delivery]
            switch try event.string(0) {
            case "message":
                let message = try ChatMessage(value: Array(event.dropFirst(3)))
                deliveries = room.receive(message, from: try event.int(1), at: Double(try event.int(2)) / 1000)
            case "leave": deliveries = room.leave(try event.int(1))
            case let other: throw ArgumentError(description: "nothing in a room is called \(other)")
            }
            answers.append(.list(deliveries.map(\.value)))
        }
        return .list(answers)
    }

    /// What a client does, one after another: `["login", name]`, `["chat", content]`, `["receive", how often]`,
    /// `["logout"]`, `["close"]`. The answer has what `receive` returned, message by message, `["end"]` for nil, and
    /// `["login"]` or `["refused", code]` for each login.
    func converse(_ client: any ChatClient, _ steps: [Value]) throws -> Value {
        var got: [Value] = []
        for index in steps.indices {
            let step = try steps.list(index)
            switch try step.string(0) {
            case "login":
                do {
                    try client.login(try step.string(1))
                    got.append(.list([.string("login")]))
                } catch let problem as ChatProblem {
                    got.append(.list([.string("refused"), .string(problem.rawValue)]))
                }
            case "chat": try client.chat(try step.string(1))
            case "receive":
                for _ in 0..<(try step.int(1)) {
                    guard let message = try client.receive() else {
                        got.append(.list([.string("end")]))
                        break
                    }
                    got.append(message.value)
                }
            case "logout": try client.logout()
            case "close": client.close()
            case let other: throw ArgumentError(description: "a client cannot \(other)")
            }
        }
        return .list(got)
    }
}

extension Delivery {
    fileprivate var value: Value {
        switch self {
        case .send(let message, let connections):
            .list([.string("send"), message.value, .list(connections.map { .int($0) })])
        case .close(let connection): .list([.string("close"), .int(connection)])
        }
    }
}

extension GatewayRules {
    /// Graders tell the chat server's address in a file beside the program, `chat-server`: `127.0.0.1 40000`. Without
    /// it: port 8888 of this machine.
    static func fromFolder(page: [UInt8]) throws -> GatewayRules {
        let path = FileManager.default.currentDirectoryPath + "/chat-server"
        guard FileManager.default.fileExists(atPath: path) else { return GatewayRules(page: page) }
        let words = try String(contentsOfFile: path, encoding: .utf8).split(whereSeparator: \.isWhitespace)
        guard words.count == 2, let port = UInt16(words[1]) else {
            throw ArgumentError(description: "\(path) should have an address and a port")
        }
        return GatewayRules(serverHost: String(words[0]), serverPort: port, page: page)
    }
}
