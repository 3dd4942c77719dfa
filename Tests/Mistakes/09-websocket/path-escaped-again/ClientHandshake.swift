import Course
import Foundation

func clientRequest(_ request: HandshakeRequest) -> [UInt8] {
    // A blank or an umlaut in the path would break the first line.
    let target = request.path.addingPercentEncoding(withAllowedCharacters: .urlPathAllowed) ?? request.path
    var head = "GET \(target) HTTP/1.1\r\n"
    func field(_ name: String, _ value: String) { head += "\(name): \(value)\r\n" }
    field("Host", request.host)
    field("Upgrade", "websocket")
    field("Connection", "Upgrade")
    field("Sec-WebSocket-Key", request.key)
    field("Sec-WebSocket-Version", "13")
    if let origin = request.origin { field("Origin", origin) }
    head += "\r\n"
    return [UInt8](head.utf8)
}

func checkAnswer(_ received: [UInt8], key: String) throws -> Int? {
    guard let length = lengthOfHead(received) else {
        if received.count > Lesson09.headLimit { throw HandshakeError.notHTTP }
        return nil
    }
    guard length <= Lesson09.headLimit else { throw HandshakeError.notHTTP }

    var lines = String(decoding: received[..<(length - 4)], as: UTF8.self).components(separatedBy: "\r\n")
    let statusLine = lines.removeFirst().components(separatedBy: " ")
    guard statusLine.count >= 2, statusLine[0] == "HTTP/1.1" else { throw HandshakeError.notHTTP }
    let digits = statusLine[1].utf8
    guard digits.count == 3, digits.allSatisfy({ 0x30...0x39 ~= $0 }), let status = Int(statusLine[1]) else {
        throw HandshakeError.notHTTP
    }

    var fields: [String: [String]] = [:]
    for line in lines {
        guard let colon = line.firstIndex(of: ":"), colon != line.startIndex else { throw HandshakeError.notHTTP }
        let name = line[..<colon].lowercased()
        guard !name.contains(where: { $0 == " " || $0 == "\t" }) else { throw HandshakeError.notHTTP }
        let value = line[line.index(after: colon)...].trimmingCharacters(in: CharacterSet(charactersIn: " \t"))
        fields[name, default: []].append(value)
    }
    func words(_ name: String) -> [String] {
        fields[name, default: []].joined(separator: ",").components(separatedBy: ",")
            .map { $0.trimmingCharacters(in: CharacterSet(charactersIn: " \t")).lowercased() }
    }

    if status != 101 { throw HandshakeError.status(status) }
    if words("upgrade") != ["websocket"] || !words("connection").contains("upgrade") {
        throw HandshakeError.notUpgraded
    }
    if fields["sec-websocket-accept"] != [acceptKey(key)] { throw HandshakeError.wrongAcceptKey }
    if fields["sec-websocket-extensions"] != nil || fields["sec-websocket-protocol"] != nil {
        throw HandshakeError.unexpectedExtension
    }
    return length
}

/// The head with its empty line; nil if that has not come.
private func lengthOfHead(_ bytes: [UInt8]) -> Int? {
    let end: [UInt8] = [13, 10, 13, 10]
    var matched = 0
    for (index, byte) in bytes.enumerated() {
        if byte == end[matched] {
            matched += 1
            if matched == 4 { return index + 1 }
        } else {
            matched = byte == 13 ? 1 : 0
        }
    }
    return nil
}
