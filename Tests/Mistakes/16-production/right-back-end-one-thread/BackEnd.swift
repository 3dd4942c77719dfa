import Course
import Foundation
import Solution08
import Sockets

/// One thread for all: nothing waits but one poll.
func backEnd(host: String, port: UInt16, name: String, stop: Int32) throws {
    let loop = try EventLoop(SocketAddress(host: host, port: port), name: name, stop: stop)
    defer { loop.closeEverything() }
    try loop.run()
}

private typealias Instant = ContinuousClock.Instant

private final class EventLoop {
    private let name: String
    private let stop: Int32
    private var listener: Int32
    private var links: [Link] = []
    /// Nobody is accepted before this: there was no descriptor for one more.
    private var acceptPause: Instant?
    /// Set when the stop has been seen.
    private var deadline: Instant?

    init(_ address: SocketAddress, name: String, stop: Int32) throws {
        (self.name, self.stop) = (name, stop)
        listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
        do {
            var on: Int32 = 1
            try check(
                "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
            try check("bind", address.withSockaddr { bind(listener, $0, $1) })
            try check("listen", listen(listener, SOMAXCONN))
            try check("fcntl", fcntl(listener, F_SETFL, O_NONBLOCK))
        } catch {
            close(listener)
            throw error
        }
    }

    func closeEverything() {
        if listener >= 0 { close(listener) }
        listener = -1
        for link in links { link.closeNow() }
        links = []
    }

    func run() throws {
        while true {
            let now = ContinuousClock.now
            if let deadline, links.isEmpty || now >= deadline { return }
            if let pause = acceptPause, now >= pause { acceptPause = nil }

            // The first two are not always there: a descriptor of -1 is skipped.
            let polled = links
            var table = [
                pollfd(fd: deadline == nil ? stop : -1, events: Int16(POLLIN), revents: 0),
                pollfd(fd: acceptPause == nil ? listener : -1, events: Int16(POLLIN), revents: 0),
            ]
            table += polled.map { pollfd(fd: $0.descriptor, events: $0.events, revents: 0) }
            if poll(&table, nfds_t(table.count), timeout(now)) < 0 {
                guard errno == EINTR else { throw SocketError("poll", errno) }
                continue
            }

            if table[0].revents != 0 {
                deadline = .now + .milliseconds(Lesson16.stopPatience)
                acceptPause = nil
                try acceptAll()
                close(listener)
                listener = -1
            } else if table[1].revents != 0 {
                try acceptAll()
            }
            // Those who have just come were not polled: it is their turn next time.
            for (link, entry) in zip(polled, table[2...]) {
                if entry.revents != 0 {
                    link.handle(isStopping: { self.deadline != nil || self.stopIsHere() })
                } else if deadline != nil {
                    link.endIfIdle()
                }
                link.endIfLate()
            }
            links.removeAll { $0.isClosed }
        }
    }

    private func timeout(_ now: Instant) -> Int32 {
        // After the stop, whoever has nothing to say when it is polled is closed: so that poll must not wait.
        if deadline != nil && links.contains(where: \.isIdle) { return 0 }
        let times = links.compactMap(\.drainEnd) + [acceptPause, deadline].compactMap { $0 }
        guard let first = times.min() else { return -1 }
        return Int32(clamping: max(0, Int((first - now) / .milliseconds(1)) + 1))
    }

    private func stopIsHere() -> Bool {
        var entry = pollfd(fd: stop, events: Int16(POLLIN), revents: 0)
        while true {
            let count = poll(&entry, 1, 0)
            if count >= 0 || errno != EINTR { return count > 0 }
        }
    }

    private func acceptAll() throws {
        for _ in 0..<SOMAXCONN {
            let client = accept(listener, nil, nil)
            if client >= 0 {
                _ = fcntl(client, F_SETFL, fcntl(client, F_GETFL) | O_NONBLOCK)
                links.append(Link(client, name: name))
                continue
            }
            switch errno {
            case EINTR, ECONNABORTED, EPROTO: continue
            case EAGAIN: return
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                acceptPause = .now + .milliseconds(50)
                return
            case let code: throw SocketError("accept", code)
            }
        }
    }
}

/// One connection and what is known of it between two polls.
private final class Link {
    private enum Phase {
        /// Reads requests, and writes answers.
        case serving
        /// Writes its last answer, and reads no more.
        case parting
        /// Has ended its side, and waits for the client's end.
        case draining
        case closed
    }

    let descriptor: Int32
    private let name: String
    private let peer: String
    private var phase = Phase.serving
    private var decoder = Solution08.reference.makeRequestDecoder(RequestLimits())
    private var head: RequestHead?
    private var body: [UInt8] = []
    private var isBetween = true
    private var unsent: [UInt8] = []
    private var sent = 0
    private(set) var drainEnd: Instant?

    init(_ descriptor: Int32, name: String) {
        (self.descriptor, self.name) = (descriptor, name)
        peer = (try? SocketAddress.peer(of: descriptor))?.host ?? ""
    }

    var isClosed: Bool { phase == .closed }
    private var isWriting: Bool { sent < unsent.count }
    var isIdle: Bool { phase == .serving && isBetween && !isWriting }

    /// Who does not take its answer is not asked for more.
    var events: Int16 { Int16(isWriting ? POLLOUT : POLLIN) }

    func closeNow() {
        guard phase != .closed else { return }
        phase = .closed
        drainEnd = nil
        close(descriptor)
    }

    func endIfIdle() { if isIdle { endOurSide() } }

    func endIfLate() { if let drainEnd, ContinuousClock.now >= drainEnd { closeNow() } }

    func handle(isStopping: () -> Bool) {
        if isWriting { return write() }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        if count < 0 {
            // If there was nothing after all, poll says when there is.
            if errno != EINTR && errno != EAGAIN { closeNow() }
            return
        }
        if count == 0 { return closeNow() }
        guard phase == .serving else { return }
        do {
            // By itself the last byte tells whether it has ended a request, or belongs to one that goes on.
            try take(Array(bytes[..<(count - 1)]), isStopping)
            if phase == .serving {
                isBetween = false
                try take([bytes[count - 1]], isStopping)
            }
        } catch {
            answer((error as? RequestRefused)?.status ?? 400, Array("refused\n".utf8), closes: true)
        }
        write()
    }

    private func take(_ bytes: [UInt8], _ isStopping: () -> Bool) throws {
        decoder.feed(bytes)
        while phase == .serving, let event = try decoder.next() {
            switch event {
            case .head(let new): (head, body) = (new, [])
            case .body(let piece): body += piece
            case .end:
                isBetween = true
                if let head { respond(to: head, isStopping: isStopping()) }
            }
        }
    }

    private func respond(to head: RequestHead, isStopping: Bool) {
        let closes =
            isStopping || head.minorVersion == 0
            || head.fields.contains { field in
                field.name.caseInsensitiveCompare("Connection") == .orderedSame
                    && field.value.components(separatedBy: ",").contains {
                        $0.trimmingCharacters(in: CharacterSet(charactersIn: " \t")).lowercased() == "close"
                    }
            }
        let target = head.target.components(separatedBy: "?")[0]
        let isHead = head.method == "HEAD"
        switch (isHead ? "GET" : head.method, target) {
        case ("GET", "/"):
            let who = forwardedClient(peer: peer, fields: head.fields, trust: Lesson16.trust)
            answer(200, Array("\(name) \(who.address) \(who.scheme)\n".utf8), closes: closes, isHead: isHead)
        case ("GET", "/health"):
            answer(
                isStopping ? 503 : 200, Array((isStopping ? "stopping\n" : "ok\n").utf8), closes: closes, isHead: isHead
            )
        case ("POST", "/upper"):
            for index in body.indices where (0x61...0x7A).contains(body[index]) { body[index] &= 0xDF }
            answer(200, body, closes: closes)
            body = []
        default:
            answer(404, Array("not found\n".utf8), closes: closes, isHead: isHead)
        }
    }

    private func answer(_ status: Int, _ text: [UInt8], closes: Bool, isHead: Bool = false) {
        let reason = [200: "OK", 404: "Not Found", 503: "Service Unavailable"][status] ?? "Refused"
        unsent += Array("HTTP/1.1 \(status) \(reason)\r\nContent-Type: text/plain\r\n".utf8)
        unsent += Array("Content-Length: \(text.count)\r\n\(closes ? "Connection: close\r\n" : "")\r\n".utf8)
        if !isHead { unsent += text }
        if closes { phase = .parting }
    }

    /// As much as goes out without waiting.
    private func write() {
        while isWriting {
            let count = unsent.withUnsafeBytes {
                send(descriptor, $0.baseAddress! + sent, $0.count - sent, MSG_NOSIGNAL)
            }
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                return
            } else if errno != EINTR {
                return closeNow()
            }
        }
        (unsent, sent) = ([], 0)
        if phase == .parting { endOurSide() }
    }

    private func endOurSide() {
        shutdown(descriptor, SHUT_WR)
        phase = .draining
        drainEnd = .now + .seconds(2)
    }
}
