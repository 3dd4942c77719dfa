import Course
import Solution08
import Sockets

// One thread for all clients: no call but poll ever waits.

func backEnd(host: String, port: UInt16, name: String, stop: Int32) throws {
    let loop = try EventLoop(SocketAddress(host: host, port: port), name: name, stop: stop)
    defer { loop.closeAll() }
    try loop.run()
}

/// Milliseconds of a clock that nobody sets.
private func clock() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

private final class EventLoop {
    private let name: String
    private let stop: Int32
    private var listener: Int32
    private var peers: [Int32: Peer] = [:]
    /// When accept is tried again, after there was no room.
    private var acceptPause: Int?
    /// When all that is left is cut off; nil before the stop.
    private var deadline: Int?

    init(_ address: SocketAddress, name: String, stop: Int32) throws {
        self.name = name
        self.stop = stop
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

    func run() throws {
        while deadline == nil || !peers.isEmpty {
            let ready = try wait()
            for descriptor in ready where peers[descriptor] != nil { attend(descriptor) }
            if deadline == nil {
                let isStopped = ready.contains(stop)
                if isStopped || ready.contains(listener) { try acceptAll() }
                if isStopped {
                    // Whoever comes from now on is refused. Those who are here are looked at once more, below: who has
                    // something to say goes first.
                    close(listener)
                    listener = -1
                    deadline = clock() + Lesson16.stopPatience
                }
            } else {
                for (descriptor, peer) in peers where peer.isIdle && !ready.contains(descriptor) {
                    peer.beginLinger()
                }
            }
            let time = clock()
            for (descriptor, peer) in peers where peer.isOverdue(time) || time >= deadline ?? .max { drop(descriptor) }
        }
    }

    func closeAll() {
        for descriptor in Array(peers.keys) { drop(descriptor) }
        if listener >= 0 { close(listener) }
        listener = -1
    }

    /// - Returns: the descriptors with which something can be done.
    private func wait() throws -> Set<Int32> {
        let time = clock()
        if let pause = acceptPause, time >= pause { acceptPause = nil }
        var entries = peers.map {
            pollfd(fd: $0.key, events: Int16($0.value.wantsToSend ? POLLOUT : POLLIN), revents: 0)
        }
        if deadline == nil {
            entries.append(pollfd(fd: stop, events: Int16(POLLIN), revents: 0))
            if acceptPause == nil { entries.append(pollfd(fd: listener, events: Int16(POLLIN), revents: 0)) }
        }
        var until = [acceptPause, deadline].compactMap { $0 } + peers.values.compactMap(\.lingerEnd)
        // After the stop nobody who is idle is waited for.
        if deadline != nil && peers.values.contains(where: \.isIdle) { until = [time] }
        while true {
            let timeout = until.min().map { Int32(clamping: max(0, $0 - clock())) } ?? -1
            let count = poll(&entries, nfds_t(entries.count), timeout)
            if count >= 0 { return Set(entries.filter { $0.revents != 0 }.map(\.fd)) }
            if errno != EINTR { throw SocketError("poll", errno) }
        }
    }

    private func acceptAll() throws {
        // Not without end: under load there is always one more.
        for _ in 0..<SOMAXCONN {
            let client = accept(listener, nil, nil)
            if client >= 0 {
                peers[client] = Peer(client)
                continue
            }
            switch errno {
            case EINTR, ECONNABORTED, EPROTO: continue
            case EAGAIN: return
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                acceptPause = clock() + 100
                return
            default: throw SocketError("accept", errno)
            }
        }
    }

    private func drop(_ descriptor: Int32) {
        guard peers.removeValue(forKey: descriptor) != nil else { return }
        close(descriptor)
        acceptPause = nil
    }

    private func attend(_ descriptor: Int32) {
        guard let peer = peers[descriptor] else { return }
        if !peer.wantsToSend {
            guard let bytes = peer.receive() else { return drop(descriptor) }
            peer.take(bytes) { [self] in reply($0, $1, peer.address) }
        }
        if !peer.flush() { drop(descriptor) }
    }

    private func reply(_ head: RequestHead, _ body: [UInt8], _ address: String) -> Reply {
        let isStopping = deadline != nil || isReadable(stop)
        var reply = Reply(status: 404, body: Array("not found\n".utf8))
        let path = head.target.split(separator: "?", omittingEmptySubsequences: false).first ?? ""
        switch head.method {
        case "GET", "HEAD":
            if path == "/" {
                let client = forwardedClient(peer: address, fields: head.fields, trust: Lesson16.trust)
                reply = Reply(status: 200, body: Array("\(name) \(client.address) \(client.scheme)\n".utf8))
            } else if path == "/health" {
                reply =
                    isStopping
                    ? Reply(status: 503, body: Array("stopping\n".utf8)) : Reply(status: 200, body: Array("ok\n".utf8))
            }
            reply.hasBody = head.method == "GET"
        case "POST" where path == "/upper":
            reply = Reply(status: 200, body: body.map { $0 &- 97 < 26 ? $0 - 32 : $0 })
        default: break
        }
        reply.isLast = isStopping || head.minorVersion == 0 || saysClose(head)
        return reply
    }

    private func saysClose(_ head: RequestHead) -> Bool {
        head.fields.contains { field in
            field.name.lowercased() == "connection"
                && field.value.lowercased().split(whereSeparator: { $0 == "," || $0 == " " || $0 == "\t" }).contains(
                    "close")
        }
    }
}

private struct Reply {
    var status: Int
    var body: [UInt8]
    var hasBody = true
    var isLast = false

    var bytes: [UInt8] {
        var text = "HTTP/1.1 \(status) \(status == 200 ? "OK" : "Sorry")\r\nContent-Length: \(body.count)\r\n"
        if isLast { text += "Connection: close\r\n" }
        return Array("\(text)\r\n".utf8) + (hasBody ? body : [])
    }
}

/// One client: what it has sent of a request, and what it has not yet taken of the answers.
private final class Peer {
    let descriptor: Int32
    let address: String
    private var decoder = Solution08.reference.makeRequestDecoder(RequestLimits())
    private var head: RequestHead?
    private var body: [UInt8] = []
    private var isInRequest = false
    private var output: [UInt8] = []
    private var sent = 0
    /// The answer that is on its way is the last.
    private var isEnding = false
    /// When nobody waits any longer for the client to close; nil before our side has ended.
    private(set) var lingerEnd: Int?
    private var room = [UInt8](repeating: 0, count: 16_384)

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        address = (try? SocketAddress.peer(of: descriptor))?.host ?? ""
    }

    var wantsToSend: Bool { sent < output.count }
    var isIdle: Bool { !isInRequest && !wantsToSend && !isEnding && lingerEnd == nil }
    func isOverdue(_ time: Int) -> Bool { time >= lingerEnd ?? .max }

    /// - Returns: nil if the connection is over.
    func receive() -> ArraySlice<UInt8>? {
        while true {
            let count = recv(descriptor, &room, room.count, Int32(MSG_DONTWAIT))
            if count > 0 { return room[..<count] }
            if count == 0 { return nil }
            if errno == EAGAIN { return [] }
            if errno != EINTR { return nil }
        }
    }

    func take(_ bytes: ArraySlice<UInt8>, reply: (RequestHead, [UInt8]) -> Reply) {
        do {
            // If the last byte ends no request, it belongs to one that has begun.
            for piece in [bytes.dropLast(), bytes.suffix(1)] where !piece.isEmpty && !isEnding && lingerEnd == nil {
                isInRequest = true
                decoder.feed(Array(piece))
                while !isEnding, let event = try decoder.next() {
                    switch event {
                    case .head(let head): (self.head, body, isInRequest) = (head, [], true)
                    case .body(let bytes): body += bytes
                    case .end:
                        isInRequest = false
                        if let head { answer(reply(head, body)) }
                        (head, body) = (nil, [])
                    }
                }
            }
        } catch {
            answer(
                Reply(status: (error as? RequestRefused)?.status ?? 400, body: Array("refused\n".utf8), isLast: true))
        }
    }

    private func answer(_ reply: Reply) {
        output += reply.bytes
        isEnding = reply.isLast
    }

    /// - Returns: false if the client is gone.
    func flush() -> Bool {
        while wantsToSend {
            let count = output[sent...].withUnsafeBytes {
                send(descriptor, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
            }
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                return true
            } else if errno != EINTR {
                return false
            }
        }
        (output, sent) = ([], 0)
        if isEnding && lingerEnd == nil { beginLinger() }
        return true
    }

    /// Our side ends here. The client takes what is on its way, and closes.
    func beginLinger() {
        shutdown(descriptor, Int32(SHUT_WR))
        lingerEnd = clock() + 2000
    }
}
