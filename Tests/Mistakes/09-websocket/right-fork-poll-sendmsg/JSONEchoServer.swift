import Course
import Foundation
import Sockets

func jsonEchoServer(host: String, port: UInt16) throws {
    let server = try PollServer(host, port)
    server.onMessage = { [unowned server] guest, opcode, payload in
        guard opcode == .text else { return server.end(guest, 1003) }
        server.put(guest, encodeFrame(.text, jsonAnswer(payload)))
    }
    try server.run()
}

private func jsonAnswer(_ payload: [UInt8]) -> [UInt8] {
    var answer: [String: Any] = ["type": "error", "message": "send a JSON object whose data is a string"]
    if let object = (try? JSONSerialization.jsonObject(with: Data(payload))) as? NSDictionary,
        let data = (object["data"] ?? "") as? String
    {
        answer = ["type": "echo", "data": data.uppercased(), "timestamp": object["timestamp"] ?? NSNull()]
    }
    return Array(
        (try? JSONSerialization.data(withJSONObject: answer)) ?? Data("{\"type\":\"error\",\"message\":\"?\"}".utf8))
}
