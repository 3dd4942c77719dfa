import Course
import Solution08
import Sockets

func backEnd(host: String, port: UInt16, name: String, stop: Int32) throws {
    try Loop(stop: stop) { HTTPSession(fd: $1, loop: $0, name: name, peer: $2) }.run(host: host, port: port)
}

private final class HTTPSession: Session {
    private let name: String
    private let peer: String
    private var decoder = Solution08.reference.makeRequestDecoder(RequestLimits())
    private var head: RequestHead?
    private var body: [UInt8] = []
    private var begun = false

    init(fd: Int32, loop: Loop, name: String, peer: String) {
        self.name = name
        self.peer = peer
        super.init(fd: fd, loop: loop)
    }

    override var mayLeave: Bool { !begun }

    override func input(_ bytes: [UInt8]) {
        do {
            // If the last byte ends no request, it belongs to one that is begun.
            try take(bytes.dropLast())
            begun = true
            try take(bytes.suffix(1))
        } catch {
            let status = (error as? RequestRefused)?.status ?? 400
            respond(status, "Refused", [], closes: true)
        }
    }

    private func take(_ bytes: ArraySlice<UInt8>) throws {
        guard phase == .talking else { return }
        decoder.feed(Array(bytes))
        while phase == .talking, let event = try decoder.next() {
            switch event {
            case .head(let new):
                head = new
                body.removeAll()
            case .body(let piece): body.append(contentsOf: piece)
            case .end:
                begun = false
                if let head { answer(head) }
            }
        }
    }

    private func answer(_ head: RequestHead) {
        let stopping = loop.stopIsThere()
        var closes = stopping || head.minorVersion == 0
        for field in head.fields where field.name.lowercased() == "connection" {
            for option in field.value.utf8.split(separator: UInt8(ascii: ",")) {
                let word = option.filter { $0 != 32 && $0 != 9 }.map { $0 | 0x20 }
                if word.elementsEqual("close".utf8) { closes = true }
            }
        }
        let target = head.target.utf8.prefix { $0 != UInt8(ascii: "?") }
        switch "\(head.method) \(String(decoding: target, as: UTF8.self))" {
        case "GET /":
            let client = forwardedClient(peer: peer, fields: head.fields, trust: Lesson16.trust)
            respond(200, "OK", Array("\(name) \(client.address) \(client.scheme)\n".utf8), closes: closes)
        case "GET /health":
            if stopping {
                respond(503, "Service Unavailable", Array("going\n".utf8), closes: true)
            } else {
                respond(200, "OK", Array("ok\n".utf8), closes: closes)
            }
        case "POST /upper":
            for index in body.indices where body[index] > 0x60 && body[index] < 0x7B { body[index] ^= 0x20 }
            respond(200, "OK", body, closes: closes)
        default:
            respond(404, "Not Found", head.method == "HEAD" ? [] : Array("nothing here\n".utf8), closes: closes)
        }
    }

    private func respond(_ status: Int, _ reason: String, _ body: [UInt8], closes: Bool) {
        var text = "HTTP/1.1 \(status) \(reason)\r\nContent-Length: \(body.count)\r\n"
        if closes { text += "Connection: close\r\n" }
        text += "\r\n"
        say(Array(text.utf8) + body)
        if closes { leave() }
    }
}
