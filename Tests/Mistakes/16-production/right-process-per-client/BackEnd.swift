import Course
import Solution08
import Sockets

func backEnd(host: String, port: UInt16, name: String, stop: Int32) throws {
    var nursery = try Nursery(host: host, port: port, stop: stop)
    try nursery.run { visitor in
        let peer = (try? SocketAddress.peer(of: visitor.socket))?.host ?? ""
        var inbox = Inbox()
        do {
            while let request = try inbox.next(from: visitor) {
                let isStopping = visitor.isStopping
                let isLast = isStopping || request.wantsToBeLast
                let (status, body) = respond(to: request, peer: peer, name: name, isStopping: isStopping)
                guard visitor.send(message(status, body, isLast: isLast)) else { return }
                if isLast { return visitor.partGently() }
            }
            if inbox.isEnded { return }
        } catch {
            _ = visitor.send(message((error as? RequestRefused)?.status ?? 400, Array("no\n".utf8), isLast: true))
        }
        visitor.partGently()
    }
}

private struct Request {
    var head: RequestHead
    var body: [UInt8]

    var wantsToBeLast: Bool {
        if head.minorVersion == 0 { return true }
        for field in head.fields where field.name.lowercased() == "connection" {
            for word in field.value.lowercased().split(separator: ",") {
                if word.drop(while: { $0 == " " || $0 == "\t" }).prefix(while: { $0 != " " && $0 != "\t" }) == "close" {
                    return true
                }
            }
        }
        return false
    }
}

/// Whole requests, one after another.
private struct Inbox {
    private var decoder = Solution08.reference.makeRequestDecoder(RequestLimits())
    private var whole: [Request] = []
    private var head: RequestHead?
    private var body: [UInt8] = []
    private var isBegun = false
    private(set) var isEnded = false
    /// What the decoder refused. Requests before it are answered first.
    private var refused: (any Error)?

    /// - Returns: nil if the client has left, or waits for nothing while the server is being stopped.
    mutating func next(from visitor: Visitor) throws -> Request? {
        while whole.isEmpty {
            if let refused { throw refused }
            guard visitor.wait(orStop: !isBegun).client else { return nil }
            guard let bytes = visitor.receive() else {
                isEnded = true
                return nil
            }
            // All but the last byte; then the last, which ends a request or shows that one has begun.
            take(Array(bytes.dropLast()))
            isBegun = true
            take(Array(bytes.suffix(1)))
        }
        return whole.removeFirst()
    }

    private mutating func take(_ bytes: [UInt8]) {
        guard refused == nil else { return }
        decoder.feed(bytes)
        do {
            while let event = try decoder.next() {
                switch event {
                case .head(let head): (self.head, body) = (head, [])
                case .body(let bytes): body += bytes
                case .end:
                    if let head { whole.append(Request(head: head, body: body)) }
                    body = []
                    isBegun = false
                }
            }
        } catch {
            refused = error
        }
    }
}

private func respond(to request: Request, peer: String, name: String, isStopping: Bool) -> (Int, [UInt8]) {
    let path = request.head.target.prefix(while: { $0 != "?" })
    if request.head.method == "GET" && path == "/" {
        let client = forwardedClient(peer: peer, fields: request.head.fields, trust: Lesson16.trust)
        return (200, Array("\(name) \(client.address) \(client.scheme)\n".utf8))
    }
    if request.head.method == "GET" && path == "/health" {
        return isStopping ? (503, Array("going\n".utf8)) : (200, Array("ok\n".utf8))
    }
    if request.head.method == "POST" && path == "/upper" {
        var body = request.body
        body.withUnsafeMutableBufferPointer { bytes in
            for index in 0..<bytes.count where bytes[index] > 96 && bytes[index] < 123 { bytes[index] &= 0xDF }
        }
        return (200, body)
    }
    return (404, request.head.method == "HEAD" ? [] : Array("not here\n".utf8))
}

private func message(_ status: Int, _ body: [UInt8], isLast: Bool) -> [UInt8] {
    var lines = ["HTTP/1.1 \(status) \(status < 300 ? "Fine" : "Sorry")", "Content-Type: text/plain; charset=utf-8"]
    lines.append("Content-Length: \(body.count)")
    if isLast { lines.append("Connection: close") }
    return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8) + body
}
