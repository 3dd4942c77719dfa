import Course
import Foundation
import Sockets

func jsonEchoServer(host: String, port: UInt16) throws {
    try answerCallers(host: host, port: port) { JSONCaller($0) }
}

private final class JSONCaller: Caller, @unchecked Sendable {
    override func heard(_ event: WebSocketEvent) {
        switch event {
        case .text(let bytes): reply(.text, JSONCaller.answer(bytes))
        case .binary: hangUp(1003, "text only")
        default: break
        }
    }

    private static func answer(_ bytes: [UInt8]) -> [UInt8] {
        var answer: [String: Any] = ["type": "error", "message": "a JSON object with a string as data, please"]
        if let question = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any] {
            let data = question["data"]
            if data == nil || data is String {
                // ASCII letters only.
                let upper = (data as? String ?? "").unicodeScalars.map {
                    $0.value >= 97 && $0.value <= 122 ? UnicodeScalar($0.value - 32)! : $0
                }
                var text = String.UnicodeScalarView()
                text.append(contentsOf: upper)
                let echo: [String: Any] = [
                    "type": "echo", "data": String(text), "timestamp": question["timestamp"] ?? NSNull(),
                ]
                if JSONSerialization.isValidJSONObject(echo) { answer = echo }
            }
        }
        return (try? JSONSerialization.data(withJSONObject: answer)).map { Array($0) }
            ?? Array(#"{"type":"error","message":""}"#.utf8)
    }
}
