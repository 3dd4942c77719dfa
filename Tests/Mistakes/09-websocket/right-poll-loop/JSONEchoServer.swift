// With Codable: a value that can be any JSON, so that a timestamp comes back as whatever it was.
import Course
import Foundation
import Sockets

func jsonEchoServer(host: String, port: UInt16) throws {
    try House(host: host, port: port, JSONManners()).keepOpen()
}

private final class JSONManners: Manners {
    func hear(_ event: WebSocketEvent, from guest: Guest, among guests: [Guest]) {
        switch event {
        case .text(let bytes): guest.say(encodeFrame(.text, answer(bytes)))
        case .binary: guest.part(1003, monotonicMilliseconds())
        default: break
        }
    }

    private func answer(_ bytes: [UInt8]) -> [UInt8] {
        do {
            let question = try JSONDecoder().decode(Question.self, from: Data(bytes))
            let answer = Echo(type: "echo", data: question.data.uppercased(), timestamp: question.timestamp)
            return Array(try JSONEncoder().encode(answer))
        } catch {
            return Array(#"{"type": "error", "message": "not what was expected"}"#.utf8)
        }
    }
}

private struct Question: Decodable {
    var data: String
    var timestamp: AnyJSON

    enum Keys: String, CodingKey { case data, timestamp }

    init(from decoder: any Decoder) throws {
        let members = try decoder.container(keyedBy: Keys.self)
        data = members.contains(.data) ? try members.decode(String.self, forKey: .data) : ""
        timestamp = members.contains(.timestamp) ? try members.decode(AnyJSON.self, forKey: .timestamp) : .null
    }
}

private struct Echo: Encodable {
    var type: String
    var data: String
    var timestamp: AnyJSON
}

private enum AnyJSON: Codable {
    case null
    case bool(Bool)
    case int(Int64)
    case unsigned(UInt64)
    case double(Double)
    case text(String)
    indirect case list([AnyJSON])
    indirect case object([String: AnyJSON])

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let it = try? value.decode(Bool.self) {
            self = .bool(it)
        } else if let it = try? value.decode(Int64.self) {
            self = .int(it)
        } else if let it = try? value.decode(UInt64.self) {
            self = .unsigned(it)
        } else if let it = try? value.decode(Double.self) {
            self = .double(it)
        } else if let it = try? value.decode(String.self) {
            self = .text(it)
        } else if let it = try? value.decode([AnyJSON].self) {
            self = .list(it)
        } else {
            self = .object(try value.decode([String: AnyJSON].self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var value = encoder.singleValueContainer()
        switch self {
        case .null: try value.encodeNil()
        case .bool(let it): try value.encode(it)
        case .int(let it): try value.encode(it)
        case .unsigned(let it): try value.encode(it)
        case .double(let it): try value.encode(it)
        case .text(let it): try value.encode(it)
        case .list(let it): try value.encode(it)
        case .object(let it): try value.encode(it)
        }
    }
}
