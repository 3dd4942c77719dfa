import Course
import Solution08
import Sockets

func backEnd(host: String, port: UInt16, name: String, stop: Int32) throws {
    try Connections.run(host: host, port: port, stop: stop) { client in
        Session(client, name, stop).run()
    }
}

/// One connection, from its first request to its last.
private final class Session {
    private let socket: Int32
    private let name: String
    private let stop: Int32
    private var decoder = Solution08.reference.makeRequestDecoder(RequestLimits())
    private var room = [UInt8](repeating: 0, count: 32_768)
    private var head: RequestHead?
    private var body: [UInt8] = []
    private var isMidway = false
    /// Who is at the other end; known as soon as the first request has said it.
    private var asker: ForwardedClient?

    init(_ socket: Int32, _ name: String, _ stop: Int32) {
        (self.socket, self.name, self.stop) = (socket, name, stop)
    }

    func run() {
        do {
            while true {
                let ready = try waitFor(socket, or: isMidway ? -1 : stop)
                if !ready.descriptor { break }
                let bytes = Array(receive(socket, &room))
                if bytes.isEmpty { return }
                if try !digest(bytes) { break }
            }
        } catch let refusal as RequestRefused {
            reply(refusal.status, Array("no\n".utf8), isLast: true)
        } catch {
            return
        }
        finish(socket, &room)
    }

    /// The last byte decides whether a request is under way now.
    private func digest(_ bytes: [UInt8]) throws -> Bool {
        if bytes.count > 1 {
            decoder.feed(Array(bytes.dropLast()))
            if try !events() { return false }
        }
        decoder.feed([bytes[bytes.count - 1]])
        isMidway = true
        return try events()
    }

    /// - Returns: false after the last answer on this connection.
    private func events() throws -> Bool {
        while let event = try decoder.next() {
            switch event {
            case .head(let next):
                isMidway = true
                head = next
                body = []
            case .body(let piece): body.append(contentsOf: piece)
            case .end:
                isMidway = false
                guard let head else { return false }
                self.head = nil
                if !respond(head) { return false }
            }
        }
        return true
    }

    private func respond(_ head: RequestHead) -> Bool {
        if asker == nil {
            let peer = (try? SocketAddress.peer(of: socket).host) ?? ""
            asker = forwardedClient(peer: peer, fields: head.fields, trust: Lesson16.trust)
        }
        let isStopping = isReadable(stop)
        let isLast = isStopping || head.minorVersion == 0 || asksForClose(head)
        let target = String(head.target.prefix { $0 != "?" })
        let sent: Bool
        switch "\(head.method) \(target)" {
        case "GET /":
            sent = reply(200, Array("\(name) \(asker!.address) \(asker!.scheme)\n".utf8), isLast: isLast)
        case "GET /health":
            sent = reply(isStopping ? 503 : 200, Array((isStopping ? "going\n" : "ok\n").utf8), isLast: isLast)
        case "POST /upper":
            sent = reply(200, body.map { $0 >= 97 && $0 <= 122 ? $0 - 32 : $0 }, isLast: isLast)
        default:
            sent = reply(404, Array("no such thing\n".utf8), isLast: isLast)
        }
        return sent && !isLast
    }

    private func asksForClose(_ head: RequestHead) -> Bool {
        for field in head.fields where field.name.lowercased() == "connection" {
            for option in field.value.lowercased().split(separator: ",") {
                if option.filter({ $0 != " " && $0 != "\t" }) == "close" { return true }
            }
        }
        return false
    }

    @discardableResult
    private func reply(_ status: Int, _ content: [UInt8], isLast: Bool) -> Bool {
        var text = "HTTP/1.1 \(status) Status\r\nContent-Length: \(content.count)\r\n"
        if isLast { text += "Connection: close\r\n" }
        return sendAll(socket, Array((text + "\r\n").utf8) + content)
    }
}
