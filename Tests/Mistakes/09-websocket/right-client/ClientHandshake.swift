import Course

func clientRequest(_ request: HandshakeRequest) -> [UInt8] {
    var text = "GET \(request.path) HTTP/1.1\r\nHost: \(request.host)\r\n"
    if let origin = request.origin { text += "Origin: \(origin)\r\n" }
    text += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    return Array((text + "Sec-WebSocket-Key: \(request.key)\r\n\r\n").utf8)
}

func checkAnswer(_ received: [UInt8], key: String) throws -> Int? {
    var length: Int?
    var matched = 0
    for (index, byte) in received.prefix(Lesson09.headLimit).enumerated() {
        // CR, LF, CR, LF
        matched = byte == (matched % 2 == 0 ? 13 : 10) ? matched + 1 : byte == 13 ? 1 : 0
        if matched == 4 {
            length = index + 1
            break
        }
    }
    guard let length else {
        if received.count >= Lesson09.headLimit { throw HandshakeError.notHTTP }
        return nil
    }

    var lines: [[UInt8]] = [[]]
    var rest = received[..<(length - 4)]
    while let byte = rest.popFirst() {
        if byte == 13 {
            guard rest.popFirst() == 10 else { throw HandshakeError.notHTTP }
            lines.append([])
        } else {
            guard byte >= 32 && byte != 127 || byte == 9 else { throw HandshakeError.notHTTP }
            lines[lines.count - 1].append(byte)
        }
    }
    let first = lines[0]
    guard first.starts(with: Array("HTTP/1.1 ".utf8)), first.count == 12 || first.count > 12 && first[12] == 32,
        first[9..<12].allSatisfy({ (48...57).contains($0) })
    else { throw HandshakeError.notHTTP }
    var fields: [(name: String, value: String)] = []
    for line in lines.dropFirst() {
        guard let colon = line.firstIndex(of: 58), colon > 0, line[..<colon].allSatisfy({ $0 > 32 && $0 < 127 }) else {
            throw HandshakeError.notHTTP
        }
        let value = line[(colon + 1)...].drop { $0 == 32 || $0 == 9 }.reversed().drop { $0 == 32 || $0 == 9 }.reversed()
        fields.append(
            (
                String(decoding: line[..<colon], as: UTF8.self).lowercased(),
                String(decoding: Array(value), as: UTF8.self)
            ))
    }
    func values(_ name: String) -> [String] { fields.filter { $0.name == name }.map(\.value) }

    let status = first[9..<12].reduce(0) { $0 * 10 + Int($1) - 48 }
    guard status == 101 else { throw HandshakeError.status(status) }
    let words = values("connection").joined(separator: ",").lowercased().split { ", \t".contains($0) }
    guard values("upgrade").map({ $0.lowercased() }) == ["websocket"], words.contains("upgrade") else {
        throw HandshakeError.notUpgraded
    }
    guard values("sec-websocket-accept") == [acceptKey(key)] else { throw HandshakeError.wrongAcceptKey }
    guard values("sec-websocket-extensions").isEmpty, values("sec-websocket-protocol").isEmpty else {
        throw HandshakeError.unexpectedExtension
    }
    return length
}
