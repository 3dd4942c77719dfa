import Course
import Foundation

func serverHandshake(_ received: [UInt8], allowedOrigins: [String]?) -> ServerHandshake {
    // The lines, as far as the empty one.
    var lines: [ArraySlice<UInt8>] = []
    var start = 0
    var length: Int?
    let visible = min(received.count, Lesson09.headLimit)
    var index = 1
    while index < visible {
        if received[index] == 10 && received[index - 1] == 13 {
            if index - 1 == start && !lines.isEmpty {
                length = index + 1
                break
            }
            lines.append(received[start..<(index - 1)])
            start = index + 1
        }
        index += 1
    }
    guard let length else {
        return received.count >= Lesson09.headLimit ? no(431, "Request Header Fields Too Large") : .incomplete
    }

    var fields: [String: [String]] = [:]
    for line in lines.dropFirst() {
        guard let colon = line.firstIndex(of: 58), colon > line.startIndex, line[..<colon].allSatisfy(isNameByte),
            line.allSatisfy({ $0 >= 32 && $0 != 127 || $0 == 9 })
        else { return no(400, "Bad Request") }
        let value = String(decoding: line[(colon + 1)...], as: UTF8.self).trimmingCharacters(in: blanks)
        fields[String(decoding: line[..<colon], as: UTF8.self).lowercased(), default: []].append(value)
    }
    let first = lines[0].split(separator: 32, omittingEmptySubsequences: false)
    guard first.count == 3, first[0].elementsEqual("GET".utf8), !first[1].isEmpty,
        first[1].allSatisfy({ $0 > 32 && $0 != 127 }), first[2].elementsEqual("HTTP/1.1".utf8),
        fields["host"]?.count == 1
    else { return no(400, "Bad Request") }

    func lists(_ name: String, _ word: String) -> Bool {
        (fields[name] ?? []).joined(separator: ",").split(separator: ",").contains {
            $0.trimmingCharacters(in: blanks).lowercased() == word
        }
    }
    guard lists("upgrade", "websocket"), lists("connection", "upgrade"), fields["sec-websocket-version"] == ["13"]
    else {
        return no(
            426, "Upgrade Required", ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Connection: Upgrade, close"])
    }
    guard let keys = fields["sec-websocket-key"], keys.count == 1, keys[0].utf8.count == 24,
        Data(base64Encoded: keys[0])?.count == 16
    else { return no(400, "Bad Request") }
    if let allowedOrigins {
        let allowed = Set(allowedOrigins.map { $0.lowercased() })
        for origin in fields["origin"] ?? [] where !allowed.contains(origin.lowercased()) {
            return no(403, "Forbidden")
        }
    }
    let response =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        + "Sec-WebSocket-Accept: \(acceptKey(keys[0]))\r\n\r\n"
    return .accepted(response: Array(response.utf8), length: length)
}

private let blanks = CharacterSet(charactersIn: " \t")

private func no(_ status: Int, _ reason: String, _ fields: [String] = ["Connection: close"]) -> ServerHandshake {
    let lines =
        ["HTTP/1.1 \(status) \(reason)"] + fields + [
            "Content-Type: text/plain", "Content-Length: \(reason.utf8.count + 2)",
        ]
    return .refused(status: status, response: Array((lines.joined(separator: "\r\n") + "\r\n\r\n\(reason)\r\n").utf8))
}

private func isNameByte(_ byte: UInt8) -> Bool {
    let isLetter = (65...90).contains(byte) || (97...122).contains(byte)
    return isLetter || (48...57).contains(byte) || Array("!#$%&'*+-.^_`|~".utf8).contains(byte)
}
