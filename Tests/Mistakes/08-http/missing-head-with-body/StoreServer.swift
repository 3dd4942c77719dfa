// One thread for everything: poll, and a state for each client. So the store needs no lock.
import Course
import Sockets

private struct Kept {
    var bytes: [UInt8]
    var type: String
}

private final class Session {
    let socket: Int32
    var decoder = HTTPRequestDecoder(limits: RequestLimits())
    var request: RequestHead?
    var body: [UInt8] = []
    var out: [UInt8] = []
    var sent = 0
    var ended = false  // the client has ended its side
    var last = false  // after what is in `out`, nothing more
    var leaving = false  // our side has ended, too: only the client's end is waited for
    var gone = false
    var deadline: Int

    init(_ socket: Int32) {
        self.socket = socket
        deadline = now() + Lesson08.clientTimeout
    }

    var pending: Bool { sent < out.count }
}

func storeServer(host: String, port: UInt16) throws {
    let listener = try listen(host: host, port: port)
    defer { close(listener) }
    _ = fcntl(listener, F_SETFL, O_NONBLOCK)
    var sessions: [Session] = []
    var store: [String: Kept] = [:]
    var total = 0
    var number = 0
    var fullUntil = 0
    var buffer = [UInt8](repeating: 0, count: 65536)

    func respond(_ session: Session, _ status: Int, _ fields: [(String, String)] = [], body: [UInt8]? = nil) {
        guard let request = session.request else { return }
        let content = body ?? Array("\(status)\n".utf8)
        var fields = fields
        if body == nil && status != 204 { fields.append(("Content-Type", "text/plain; charset=utf-8")) }
        session.last = session.last || request.wantsClose
        session.out = head(status, fields, length: status == 204 ? nil : content.count, close: session.last)
        if (request.method != "HEAD" || status == 404) && status != 204 { session.out += content }
    }

    func keep(_ place: String, _ session: Session) -> Bool {
        let old = store[place]?.bytes.count ?? 0
        guard total - old + session.body.count <= Lesson08.storeLimit else { return false }
        total += session.body.count - old
        let type = session.request?.first("content-type") ?? "application/octet-stream"
        store[place] = Kept(bytes: session.body, type: type)
        return true
    }

    func carryOut(_ session: Session) {
        guard let request = session.request else { return }
        var place = String(request.target.prefix { $0 != "?" })
        if !place.hasPrefix("/"), place != "*" { place = "/" + place.dropFirst(7).drop { $0 != "/" }.dropFirst() }
        let allow = [("Allow", "GET, HEAD, PUT, POST, DELETE, OPTIONS")]
        switch request.method {
        case "GET", "HEAD":
            guard let kept = store[place] else { return respond(session, 404) }
            respond(session, 200, [("Content-Type", kept.type)], body: kept.bytes)
        case "PUT":
            let wasThere = store[place] != nil
            respond(session, keep(place, session) ? (wasThere ? 204 : 201) : 507)
        case "POST":
            if !place.hasSuffix("/") { place += "/" }
            repeat { number += 1 } while store["\(place)\(number)"] != nil
            if keep("\(place)\(number)", session) {
                respond(session, 201, [("Location", "\(place)\(number)")])
            } else {
                respond(session, 507)
            }
        case "DELETE":
            guard let kept = store.removeValue(forKey: place) else { return respond(session, 404) }
            total -= kept.bytes.count
            respond(session, 204)
        case "OPTIONS": respond(session, 204, allow)
        default: respond(session, 405, allow)
        }
    }

    /// Sends what is pending; and carries out what is complete, one request after another, as long as answers go out.
    func goOn(_ session: Session) {
        while !session.gone {
            while session.pending {
                let count = session.out.withUnsafeBytes {
                    send(session.socket, $0.baseAddress! + session.sent, $0.count - session.sent, MSG_NOSIGNAL)
                }
                if count == -1 && errno == EINTR { continue }
                if count == -1 && errno == EAGAIN { return }
                guard count > 0 else { return session.gone = true }
                session.sent += count
                session.deadline = now() + Lesson08.answerTimeout
            }
            if session.sent > 0 {
                (session.out, session.sent) = ([], 0)
                session.deadline = now() + Lesson08.clientTimeout
            }
            if session.last {
                shutdown(session.socket, SHUT_WR)
                session.leaving = true
                session.deadline = now() + 1000
                return
            }
            do {
                guard let event = try session.decoder.next() else {
                    if session.ended { session.gone = true }
                    return
                }
                switch event {
                case .head(let head):
                    session.request = head
                    session.body = []
                    session.deadline = now() + Lesson08.clientTimeout
                    if head.wantsContinue, head.first("content-length") != "0" {
                        session.out = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
                    }
                case .body(let piece):
                    session.body += piece
                case .end:
                    carryOut(session)
                    session.request = nil
                    session.body = []
                }
            } catch {
                session.last = true
                session.request = RequestHead(method: "", target: "", minorVersion: 0, fields: [])
                respond(session, (error as? RequestRefused)?.status ?? 400)
            }
        }
    }

    func receive(_ session: Session) {
        let count = recv(session.socket, &buffer, buffer.count, 0)
        if count == -1 && (errno == EINTR || errno == EAGAIN) { return }
        if count < 0 || count == 0 && session.leaving { return session.gone = true }
        if session.leaving { return }
        if count == 0 {
            session.ended = true
        } else {
            session.decoder.feed(Array(buffer[..<count]))
            if session.request != nil { session.deadline = now() + Lesson08.clientTimeout }
        }
        goOn(session)
    }

    while true {
        let time = now()
        var waiting = [pollfd(fd: time < fullUntil ? -1 : listener, events: Int16(POLLIN), revents: 0)]
        var first = time < fullUntil ? fullUntil : Int.max
        for session in sessions {
            let wanted = session.pending ? POLLOUT : session.ended ? 0 : POLLIN
            waiting.append(pollfd(fd: session.socket, events: Int16(wanted), revents: 0))
            first = min(first, session.deadline)
        }
        let ready = poll(&waiting, nfds_t(waiting.count), first == .max ? -1 : Int32(max(0, first - time)))
        if ready == -1 {
            if errno == EINTR { continue }
            throw SocketError("poll", errno)
        }
        for (session, entry) in zip(sessions, waiting.dropFirst()) where entry.revents != 0 {
            if session.pending { goOn(session) } else { receive(session) }
        }
        let late = now()
        for session in sessions where session.gone || session.deadline <= late {
            session.gone = true
            close(session.socket)
            fullUntil = 0
        }
        sessions.removeAll { $0.gone }
        while waiting[0].revents != 0 {
            let client = accept(listener, nil, nil)
            if client == -1 {
                if errno == EINTR || errno == ECONNABORTED { continue }
                if errno != EAGAIN { fullUntil = now() + 100 }
                break
            }
            _ = fcntl(client, F_SETFL, O_NONBLOCK)
            sessions.append(Session(client))
        }
    }
}
