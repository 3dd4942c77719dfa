import Course
import Foundation
import Sockets

func jsonEchoServer(host: String, port: UInt16) throws {
    let server = try WebSocketServer(host: host, port: port)
    server.onEvent = { [unowned server] member, event in
        switch event {
        case .text(let bytes): server.send(.text, answer(to: bytes), to: member)
        case .binary: server.close(member, code: 1003, reason: "JSON is text")
        default: break
        }
    }
    try server.run()
}

/// What a client sends is hostile until it is shown not to be: `data` may be missing, or be a number, or the whole no JSON.
private func answer(to text: [UInt8]) -> [UInt8] {
    guard let object = try? JSONSerialization.jsonObject(with: Data(text)) as? [String: Any] else {
        return failure("this is no JSON object")
    }
    guard let data = (object["data"] ?? "") as? String else { return failure("data is no string") }
    let answer: [String: Any] = [
        "type": "echo", "data": data.uppercased(), "timestamp": object["timestamp"] ?? NSNull(),
    ]
    // 1e999 can be read, as infinity; it cannot be written.
    guard JSONSerialization.isValidJSONObject(answer),
        let bytes = try? JSONSerialization.data(withJSONObject: answer, options: .sortedKeys)
    else { return failure("the timestamp cannot be returned") }
    return Array(bytes)
}

private func failure(_ why: String) -> [UInt8] { Array(#"{"type":"error","message":"\#(why)"}"#.utf8) }
