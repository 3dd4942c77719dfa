import Course

func clientRequest(_ request: HandshakeRequest) -> [UInt8] {
    var text = ""
    func say(_ line: String) { text += line + "\r\n" }
    say("GET \(request.path) HTTP/1.1")
    say("Host: \(request.host)")
    say("Upgrade: websocket")
    say("Connection: Upgrade")
    say("Sec-WebSocket-Key: \(request.key)")
    say("Sec-WebSocket-Version: 13")
    request.origin.map { say("Origin: \($0)") }
    say("")
    return Array(text.utf8)
}

func checkAnswer(_ received: [UInt8], key: String) throws -> Int? {
    var start = 0
    while let head = try nextHead(in: received, from: start) {
        start = head.end
        // Only says that the answer is still to come.
        if (100..<200).contains(head.status) && head.status != 101 { continue }
        guard head.status == 101 else { throw HandshakeError.status(head.status) }
        guard head.says("upgrade", "websocket"), head.says("connection", "upgrade") else {
            throw HandshakeError.notUpgraded
        }
        guard head.all("sec-websocket-accept") == [acceptKey(key)] else { throw HandshakeError.wrongAcceptKey }
        for name in ["sec-websocket-extensions", "sec-websocket-protocol"] where !head.all(name).isEmpty {
            throw HandshakeError.unexpectedExtension
        }
        return head.end
    }
    return nil
}

private struct AnswerHead {
    var status = 0
    var fields: [(name: String, value: String)] = []
    var end = 0

    func all(_ name: String) -> [String] { fields.compactMap { $0.name == name ? $0.value : nil } }

    func says(_ name: String, _ word: String) -> Bool {
        all(name).contains { value in
            value.split(separator: ",").contains { stripped($0[...]).lowercased() == word }
        }
    }
}

private func nextHead(in bytes: [UInt8], from start: Int) throws -> AnswerHead? {
    var head = AnswerHead()
    var lines: [[UInt8]] = [[]]
    var index = start
    while index < bytes.count && index < Lesson09.headLimit {
        let byte = bytes[index]
        index += 1
        if byte == 13 {
            // The last byte so far: wait for the next one.
            if index == bytes.count { break }
            guard bytes[index] == 10 else { throw HandshakeError.notHTTP }
            index += 1
            if index > Lesson09.headLimit { break }
            if lines[lines.count - 1].isEmpty {
                head.end = index
                lines.removeLast()
                return try read(lines, into: head)
            }
            lines.append([])
        } else if byte == 10 {
            throw HandshakeError.notHTTP
        } else {
            lines[lines.count - 1].append(byte)
        }
    }
    if bytes.count >= Lesson09.headLimit { throw HandshakeError.notHTTP }
    return nil
}

private func read(_ lines: [[UInt8]], into head: AnswerHead) throws -> AnswerHead {
    var head = head
    guard let first = lines.first else { throw HandshakeError.notHTTP }
    let text = Array("HTTP/1.1 ".utf8)
    let digits = first.dropFirst(text.count).prefix { $0 != 32 }
    guard first.starts(with: text), digits.count == 3, digits.allSatisfy({ (48...57).contains($0) }) else {
        throw HandshakeError.notHTTP
    }
    head.status = digits.reduce(0) { $0 * 10 + Int($1 - 48) }
    for line in lines.dropFirst() {
        guard let colon = line.firstIndex(of: 58), colon > 0, !line[..<colon].contains(where: { $0 <= 32 || $0 > 126 }),
            !line.contains(where: { $0 < 32 && $0 != 9 || $0 == 127 })
        else { throw HandshakeError.notHTTP }
        let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
        head.fields.append((name, stripped(String(decoding: line[(colon + 1)...], as: UTF8.self)[...])))
    }
    return head
}

private func stripped(_ text: Substring) -> String {
    let front = text.drop { $0 == " " || $0 == "\t" }
    return String(String(front.reversed().drop { $0 == " " || $0 == "\t" }).reversed())
}
