import Course

/// The lines of a head, as bytes; nil: no end yet.
func headEnd(_ bytes: [UInt8]) -> Int? {
    var i = 0
    while i + 3 < bytes.count {
        if bytes[i] == 13, bytes[i + 1] == 10, bytes[i + 2] == 13, bytes[i + 3] == 10 { return i + 4 }
        i += 1
    }
    return nil
}

func lines(_ head: ArraySlice<UInt8>) -> [String] {
    var result: [String] = []
    var line: [UInt8] = []
    var last: UInt8 = 0
    for byte in head {
        if last == 13 && byte == 10 {
            result.append(String(decoding: line.dropLast(), as: UTF8.self))
            line = []
        } else {
            line.append(byte)
        }
        last = byte
    }
    return result
}

func lower(_ text: some StringProtocol) -> String {
    String(decoding: text.utf8.map { (65...90).contains($0) ? $0 + 32 : $0 }, as: UTF8.self)
}

func trim(_ text: Substring) -> String {
    var bytes = Array(text.utf8)[...]
    while let b = bytes.first, b == 32 || b == 9 { bytes = bytes.dropFirst() }
    while let b = bytes.last, b == 32 || b == 9 { bytes = bytes.dropLast() }
    return String(decoding: bytes, as: UTF8.self)
}

/// nil: a line that is no field.
func fields(_ lines: [String]) -> [String: [String]]? {
    var result: [String: [String]] = [:]
    for line in lines {
        guard let colon = line.firstIndex(of: ":"), colon != line.startIndex else { return nil }
        let name = line[..<colon]
        guard !name.contains(where: { $0 == " " || $0 == "\t" }) else { return nil }
        result[lower(name), default: []].append(trim(line[line.index(after: colon)...]))
    }
    return result
}

func lists(_ values: [String]?, _ word: String) -> Bool {
    for value in values ?? [] {
        for item in value.split(separator: ",") where lower(trim(item)) == word { return true }
    }
    return false
}

func isKey(_ key: String) -> Bool {
    let bytes = Array(key.utf8)
    guard bytes.count == 24, bytes[22] == 61, bytes[23] == 61 else { return false }
    for b in bytes[..<22] {
        switch b {
        case 65...90, 97...122, 48...57, 43, 47: continue
        default: return false
        }
    }
    return true
}

func serverHandshake(_ received: [UInt8], allowedOrigins: [String]?) -> ServerHandshake {
    func no(_ status: Int, _ reason: String, _ extra: String = "") -> ServerHandshake {
        let body = "\(status) \(reason)\n"
        let text =
            "HTTP/1.1 \(status) \(reason)\r\n\(extra)Content-Type: text/plain\r\nContent-Length: \(body.utf8.count)\r\n"
            + "Connection: close\r\n\r\n" + body
        return .refused(status: status, response: Array(text.utf8))
    }
    guard let end = headEnd(received) else {
        return received.count > Lesson09.headLimit ? no(431, "Request Header Fields Too Large") : .incomplete
    }
    if end > Lesson09.headLimit { return no(431, "Request Header Fields Too Large") }
    let all = lines(received[..<(end - 2)])
    guard let first = all.first else { return no(400, "Bad Request") }
    let words = first.split(separator: " ", omittingEmptySubsequences: false)
    guard words.count == 3, words[0] == "GET", !words[1].isEmpty, words[2] == "HTTP/1.1",
        let fields = fields(Array(all.dropFirst())), fields["host"]?.count == 1
    else { return no(400, "Bad Request") }
    guard lists(fields["upgrade"], "websocket"), lists(fields["connection"], "upgrade") else {
        return no(426, "Upgrade Required", "Upgrade: websocket\r\n")
    }
    guard fields["sec-websocket-version"] == ["13"] else {
        return no(426, "Upgrade Required", "Sec-WebSocket-Version: 13\r\n")
    }
    guard let keys = fields["sec-websocket-key"], keys.count == 1, isKey(keys[0]) else { return no(400, "Bad Request") }
    if let origins = fields["origin"], let allowed = allowedOrigins {
        let friends = allowed.map { lower($0) }
        for origin in origins where !friends.contains(lower(origin)) { return no(403, "Forbidden") }
    }
    let answer =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        + "Sec-WebSocket-Accept: \(acceptKey(keys[0]))\r\n\r\n"
    return .accepted(response: Array(answer.utf8), length: end)
}
