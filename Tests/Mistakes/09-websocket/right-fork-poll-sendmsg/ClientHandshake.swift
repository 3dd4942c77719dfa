import Course

func clientRequest(_ request: HandshakeRequest) -> [UInt8] {
    var text = "GET \(request.path) HTTP/1.1\r\nHost: \(request.host)\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    text += "Sec-WebSocket-Key: \(request.key)\r\nSec-WebSocket-Version: 13\r\n"
    if let origin = request.origin { text += "Origin: \(origin)\r\n" }
    return Array((text + "\r\n").utf8)
}

func checkAnswer(_ received: [UInt8], key: String) throws -> Int? {
    guard let end = headEnd(received) else {
        if received.count > Lesson09.headLimit { throw HandshakeError.notHTTP }
        return nil
    }
    if end > Lesson09.headLimit { throw HandshakeError.notHTTP }
    let all = lines(received[..<(end - 2)])
    guard let first = all.first else { throw HandshakeError.notHTTP }
    let words = first.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
    guard words.count >= 2, words[0] == "HTTP/1.1", words[1].utf8.count == 3,
        words[1].utf8.allSatisfy({ (48...57).contains($0) }), let status = Int(words[1])
    else { throw HandshakeError.notHTTP }
    if status != 101 { throw HandshakeError.status(status) }
    guard let fields = fields(Array(all.dropFirst())) else { throw HandshakeError.notHTTP }
    guard lists(fields["upgrade"], "websocket"), lists(fields["connection"], "upgrade") else {
        throw HandshakeError.notUpgraded
    }
    guard fields["sec-websocket-accept"] == [acceptKey(key)] else { throw HandshakeError.wrongAcceptKey }
    if fields["sec-websocket-extensions"] != nil || fields["sec-websocket-protocol"] != nil {
        throw HandshakeError.unexpectedExtension
    }
    return end
}
