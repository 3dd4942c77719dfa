import Course
import Solution08
import Sockets

func backEnd(host: String, port: UInt16, name: String, stop: Int32) throws {
    try Connections.run(host: host, port: port, stop: stop) { client in
        serve(client, name: name, stop: stop)
    }
}

private func serve(_ client: Int32, name: String, stop: Int32) {
    let peer = (try? SocketAddress.peer(of: client))?.host ?? ""
    var decoder = Solution08.reference.makeRequestDecoder(RequestLimits())
    var buffer = [UInt8](repeating: 0, count: 16_384)
    var request: RequestHead?
    var body: [UInt8] = []
    var isBetweenRequests = true

    /// - Returns: whether the connection goes on.
    func take(_ bytes: ArraySlice<UInt8>) throws -> Bool {
        decoder.feed(Array(bytes))
        while let event = try decoder.next() {
            switch event {
            case .head(let head): (request, body) = (head, [])
            case .body(let bytes): body += bytes
            case .end:
                guard let head = request else { return false }
                isBetweenRequests = true
                let isStopping = isReadable(stop)
                let closes = isStopping || wantsClose(head)
                let answer = answer(to: head, body, peer: peer, name: name, isStopping: isStopping)
                guard sendAll(client, answer.bytes(closes: closes, isHead: head.method == "HEAD")) else { return false }
                if closes { return false }
            }
        }
        return true
    }

    while true {
        // Between two requests a stop is the end of the connection. Within one it is not: what was begun is finished, and
        // a request that is here already was begun.
        guard let readable = try? waitFor(client, or: isBetweenRequests ? stop : -1), readable.descriptor else { break }
        let bytes = receive(client, &buffer)
        if bytes.isEmpty { return }
        do {
            // The last byte by itself: if it does not end a request, another has begun.
            guard try take(bytes.dropLast()) else { break }
            isBetweenRequests = false
            guard try take(bytes.suffix(1)) else { break }
        } catch {
            let status = (error as? RequestRefused)?.status ?? 400
            _ = sendAll(client, Answer(status, "refused\n").bytes(closes: true, isHead: false))
            break
        }
    }
    finish(client, &buffer)
}

/// The client wants no more after this one, or speaks a version in which one request is all (RFC 9112 section 9.3).
private func wantsClose(_ head: RequestHead) -> Bool {
    let options = head.fields.filter { $0.name.lowercased() == "connection" }.flatMap {
        $0.value.lowercased().split(separator: ",").map { $0.filter { $0 != " " && $0 != "\t" } }
    }
    return head.minorVersion == 0 || options.contains("close")
}

private struct Answer {
    var status: Int
    var body: [UInt8]

    init(_ status: Int, _ text: String) { (self.status, body) = (status, Array(text.utf8)) }
    init(_ body: [UInt8]) { (status, self.body) = (200, body) }

    /// Head and body in one piece: one send, one segment, and nothing for Nagle to hold back.
    func bytes(closes: Bool, isHead: Bool) -> [UInt8] {
        let reasons = [200: "OK", 404: "Not Found", 503: "Service Unavailable"]
        let head =
            "HTTP/1.1 \(status) \(reasons[status] ?? "")\r\nContent-Type: text/plain\r\n"
            + "Content-Length: \(body.count)\r\n" + (closes ? "Connection: close\r\n" : "") + "\r\n"
        return Array(head.utf8) + (isHead ? [] : body)
    }
}

private func answer(to head: RequestHead, _ body: [UInt8], peer: String, name: String, isStopping: Bool) -> Answer {
    let path = head.target.prefix { $0 != "?" }
    if isStopping && head.method == "GET" { return Answer(503, "stopping\n") }
    switch (head.method, path) {
    case ("GET", "/"), ("HEAD", "/"):
        let client = forwardedClient(peer: peer, fields: head.fields, trust: Lesson16.trust)
        return Answer(200, "\(name) \(client.address) \(client.scheme)\n")
    case ("GET", "/health"), ("HEAD", "/health"):
        // "Send me nothing more": who spreads the requests looks here.
        return isStopping ? Answer(503, "stopping\n") : Answer(200, "ok\n")
    case ("POST", "/upper"):
        return Answer(body.map { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) ? $0 - 32 : $0 })
    default: return Answer(404, "not found\n")
    }
}
