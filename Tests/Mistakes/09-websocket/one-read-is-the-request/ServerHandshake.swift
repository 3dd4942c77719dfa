import Course
import Foundation

func serverHandshake(_ received: [UInt8], allowedOrigins: [String]?) -> ServerHandshake {
    do {
        guard let length = try Head.length(in: received) else { return refusal(400, "this is no request") }
        guard let head = Head(received[..<length]) else { return refusal(400, "this is no HTTP request") }
        return answer(to: head, length: length, allowedOrigins)
    } catch { return refusal(431, "the request is too long") }
}

private func answer(to head: Head, length: Int, _ allowedOrigins: [String]?) -> ServerHandshake {
    let parts = head.startLine.split(separator: " ", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0] == "GET", !parts[1].isEmpty, parts[2] == "HTTP/1.1" else {
        return refusal(400, "the request is not GET and HTTP/1.1")
    }
    guard head.values("host").count == 1 else { return refusal(400, "one Host is needed") }
    // A request with a body: its bytes would be taken for frames.
    guard head.values("content-length").allSatisfy({ $0 == "0" }), head.values("transfer-encoding").isEmpty else {
        return refusal(400, "a handshake has no body")
    }
    guard head.list("upgrade").contains("websocket"), head.list("connection").contains("upgrade") else {
        return refusal(426, "this is a WebSocket server")
    }
    guard head.values("sec-websocket-version") == ["13"] else { return refusal(426, "version 13 is spoken here") }
    let keys = head.values("sec-websocket-key")
    guard keys.count == 1, keys[0].utf8.count == 24, Data(base64Encoded: keys[0])?.count == 16 else {
        return refusal(400, "one Sec-WebSocket-Key of 16 bytes is needed")
    }
    // A browser lets every page connect to every server, and says which page it was: here is where strangers are kept out.
    let origins = head.values("origin").map { $0.lowercased() }
    if let allowed = allowedOrigins?.map({ $0.lowercased() }), !origins.allSatisfy(allowed.contains) {
        return refusal(403, "pages from there may not connect")
    }
    let lines = [
        "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Accept: \(acceptKey(keys[0]))", "", "",
    ]
    return .accepted(response: Array(lines.joined(separator: "\r\n").utf8), length: length)
}

private func refusal(_ status: Int, _ why: String) -> ServerHandshake {
    let names = [
        400: "Bad Request", 403: "Forbidden", 426: "Upgrade Required", 431: "Request Header Fields Too Large",
    ]
    var lines = ["HTTP/1.1 \(status) \(names[status] ?? "Refused")"]
    // What would be accepted. With `Connection: close`, 426 needs `upgrade` there, too (RFC 9110, section 15.5.22).
    if status == 426 { lines += ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Connection: upgrade, close"] }
    if status != 426 { lines += ["Connection: close"] }
    let body = why + "\n"
    lines += ["Content-Type: text/plain", "Content-Length: \(body.utf8.count)", "", body]
    return .refused(status: status, response: Array(lines.joined(separator: "\r\n").utf8))
}
