import Course

func clientRequest(_ request: HandshakeRequest) -> [UInt8] {
    var lines = [
        "GET \(request.path) HTTP/1.1", "Host: \(request.host)", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Key: \(request.key)", "Sec-WebSocket-Version: 13",
    ]
    if let origin = request.origin { lines.append("Origin: \(origin)") }
    return Array((lines + ["", ""]).joined(separator: "\r\n").utf8)
}

func checkAnswer(_ received: [UInt8], key: String) throws -> Int? {
    let end: Int?
    do { end = try Head.length(in: received) } catch { throw HandshakeError.notHTTP }
    guard let length = end else { return nil }
    guard let head = Head(received[..<length]) else { throw HandshakeError.notHTTP }
    let parts = head.startLine.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count >= 2, parts[0] == "HTTP/1.1", parts[1].utf8.count == 3, let status = UInt16(parts[1]) else {
        throw HandshakeError.notHTTP
    }
    guard head.list("upgrade") == ["websocket"], head.list("connection").contains("upgrade") else {
        throw HandshakeError.notUpgraded
    }
    // Only who has read our key and knows what to do with it can say this: no cache, and no server of something else.
    guard head.values("sec-websocket-accept") == [acceptKey(key)] else { throw HandshakeError.wrongAcceptKey }
    // We asked for none, so the server cannot have chosen one.
    guard head.values("sec-websocket-extensions").isEmpty, head.values("sec-websocket-protocol").isEmpty else {
        throw HandshakeError.unexpectedExtension
    }
    return length
}
