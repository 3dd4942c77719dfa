// A reactor: everything that waits, waits in its one poll.
import Course
import Solution08
import Sockets

func backEnd(host: String, port: UInt16, name: String, stop: Int32) throws {
    let reactor = Reactor(name: name, stop: stop)
    defer { reactor.closeEverything() }
    try reactor.open(host: host, port: port)
    try reactor.run()
}

/// Nobody sends more than this after an answer, unless it wants to keep us.
private let drainLimit = 64 * 1024

private func clockMs() -> Int {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

/// One connection and all that is known about it.
private final class Peer {
    enum Stage {
        /// Requests are read and answered.
        case open
        /// The last answer goes out; nothing more is read before it is gone.
        case lastAnswer
        /// Our side is ended; what still comes is thrown away until the client ends, but not for ever and not without end.
        case draining(until: Int, budget: Int)
    }

    let socket: Int32
    let address: String
    var stage = Stage.open
    var decoder = Solution08.reference.makeRequestDecoder(RequestLimits())
    var head: RequestHead?
    var body: [UInt8] = []
    /// No byte of a request is here that was not answered.
    var isIdle = true
    /// The client has ended its side: what is left to say is said, then it is over.
    var hasEnded = false
    private var outgoing: [UInt8] = []
    private var written = 0

    init(socket: Int32, address: String) {
        self.socket = socket
        self.address = address
    }

    var hasOutput: Bool { written < outgoing.count }

    func queue(_ bytes: [UInt8]) {
        if !hasOutput { (outgoing, written) = ([], 0) }
        outgoing += bytes
    }

    /// - Returns: false if the connection is broken.
    func write() -> Bool {
        while written < outgoing.count {
            let count = outgoing.withUnsafeBytes { all in
                let rest = UnsafeRawBufferPointer(rebasing: all[written...])
                return send(socket, rest.baseAddress, rest.count, MSG_DONTWAIT | MSG_NOSIGNAL)
            }
            if count >= 0 {
                written += count
            } else if errno == EAGAIN {
                return true
            } else if errno != EINTR {
                return false
            }
        }
        (outgoing, written) = ([], 0)
        return true
    }
}

private final class Reactor {
    private let name: String
    private let stop: Int32
    private var listener: Int32 = -1
    private var peers: [Int32: Peer] = [:]
    /// No descriptors left: the queue is looked at again then.
    private var acceptAgain: Int?
    /// When the stop came, all is over by then.
    private var end: Int?
    private var scratch = [UInt8](repeating: 0, count: 32_768)

    init(name: String, stop: Int32) {
        self.name = name
        self.stop = stop
    }

    func closeEverything() {
        for socket in peers.keys { close(socket) }
        peers = [:]
        closeListener()
    }

    private func closeListener() {
        if listener >= 0 { close(listener) }
        listener = -1
    }

    func open(host: String, port: UInt16) throws {
        let address = try SocketAddress(host: host, port: port)
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        listener = try check("socket", socket(address.family, kind, 0))
        var yes: CInt = 1
        try check(
            "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<CInt>.size)))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
    }

    // MARK: The reactor

    func run() throws {
        while true {
            if end != nil && peers.isEmpty { return }
            var waiting: [pollfd] = []
            if end == nil { waiting.append(pollfd(fd: stop, events: Int16(POLLIN), revents: 0)) }
            if listener >= 0 && acceptAgain == nil {
                waiting.append(pollfd(fd: listener, events: Int16(POLLIN), revents: 0))
            }
            for peer in peers.values {
                // Who does not take its answers is not asked for more requests.
                let events = peer.hasOutput ? POLLOUT : POLLIN
                waiting.append(pollfd(fd: peer.socket, events: Int16(events), revents: 0))
            }
            let count = poll(&waiting, nfds_t(waiting.count), nextTimeout())
            if count < 0 {
                guard errno == EINTR else { throw SocketError("poll", errno) }
                expire()
                continue
            }

            var isStopping = false
            var hasClients = false
            for entry in waiting where entry.revents != 0 {
                if entry.fd == stop {
                    isStopping = true
                } else if entry.fd == listener {
                    hasClients = true
                } else if let peer = peers[entry.fd] {
                    advance(peer)
                }
            }
            // After the clients: a number that was closed above must not be somebody else's in the same round.
            if hasClients { try acceptAll() }
            if isStopping { try beginToStop() }
            expire()
        }
    }

    private func nextTimeout() -> Int32 {
        var times: [Int] = []
        if let acceptAgain { times.append(acceptAgain) }
        if let end { times.append(end) }
        for peer in peers.values {
            if case .draining(let until, _) = peer.stage { times.append(until) }
        }
        guard let first = times.min() else { return -1 }
        return Int32(clamping: max(0, first - clockMs()))
    }

    private func expire() {
        let now = clockMs()
        if let again = acceptAgain, again <= now { acceptAgain = nil }
        for peer in Array(peers.values) {
            if case .draining(let until, _) = peer.stage, until <= now { remove(peer) }
        }
        if let end, end <= now {
            for peer in Array(peers.values) {
                shutdown(peer.socket, Int32(SHUT_RDWR))
                remove(peer)
            }
        }
    }

    // MARK: The end

    private func beginToStop() throws {
        try acceptAll()
        closeListener()
        acceptAgain = nil
        end = clockMs() + Lesson16.stopPatience
        // Who has said something since poll returned has begun a request; the others are idle.
        for peer in Array(peers.values) { advance(peer) }
    }

    /// A signal may have come after poll returned: a health check that ends now must hear of it.
    private var isStopReadable: Bool {
        if end != nil { return true }
        var one = pollfd(fd: stop, events: Int16(POLLIN), revents: 0)
        while true {
            let count = poll(&one, 1, 0)
            if count < 0 && errno == EINTR { continue }
            return count > 0
        }
    }

    // MARK: Clients

    private func acceptAll() throws {
        // Under load there is always one more.
        for _ in 0..<4096 {
            guard listener >= 0 else { return }
            let (client, from) = SocketAddress.received { accept4(listener, $0, $1, Int32(SOCK_CLOEXEC.rawValue)) }
            if client >= 0 {
                peers[client] = Peer(socket: client, address: from?.host ?? "")
                continue
            }
            switch errno {
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, EHOSTDOWN, ENOPROTOOPT, EOPNOTSUPP:
                continue
            case EAGAIN:
                return
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                // Readable as it stays, it is left out of poll for a moment.
                acceptAgain = clockMs() + 50
                return
            default:
                throw SocketError("accept", errno)
            }
        }
    }

    private func remove(_ peer: Peer) {
        peers[peer.socket] = nil
        close(peer.socket)
    }

    /// All that can be done for this client without waiting.
    private func advance(_ peer: Peer) {
        var rounds = 0
        while true {
            // Others wait; poll comes back to this one. When the stop has come, it must be known whether there is more.
            rounds += 1
            if rounds > 32 && end == nil && !peer.hasEnded && !peer.hasOutput {
                if case .open = peer.stage { return }
            }
            if peer.hasOutput {
                guard peer.write() else { return remove(peer) }
                if peer.hasOutput { return }
            }
            switch peer.stage {
            case .lastAnswer:
                if peer.hasEnded { return remove(peer) }
                shutdown(peer.socket, Int32(SHUT_WR))
                peer.stage = .draining(until: clockMs() + 3000, budget: drainLimit)
            case .open where peer.hasEnded:
                return remove(peer)
            case .open, .draining:
                break
            }

            let count = recv(peer.socket, &scratch, scratch.count, MSG_DONTWAIT)
            if count < 0 {
                if errno == EINTR { continue }
                guard errno == EAGAIN else { return remove(peer) }
                if case .open = peer.stage, end != nil, peer.isIdle {
                    // Between two requests, and the stop has come.
                    peer.stage = .lastAnswer
                    continue
                }
                return
            }
            if case .draining(let until, let budget) = peer.stage {
                // A client that has been told and goes on all the same has no claim to be listened to.
                if count == 0 || count >= budget { return remove(peer) }
                peer.stage = .draining(until: until, budget: budget - count)
                return
            }
            if count == 0 {
                peer.hasEnded = true
                continue
            }
            read(scratch[..<count], for: peer)
        }
    }

    // MARK: Requests

    private func read(_ bytes: ArraySlice<UInt8>, for peer: Peer) {
        do {
            // All but the last byte, then that one. If it does not end a request, it belongs to one that is begun.
            try decode(Array(bytes.dropLast()), for: peer)
            if case .open = peer.stage {
                peer.isIdle = false
                try decode(Array(bytes.suffix(1)), for: peer)
            }
        } catch {
            let status = (error as? RequestRefused)?.status ?? 400
            peer.queue(reply(status, Array("refused\n".utf8), last: true, withBody: true))
            peer.stage = .lastAnswer
        }
    }

    private func decode(_ bytes: [UInt8], for peer: Peer) throws {
        peer.decoder.feed(bytes)
        while let event = try peer.decoder.next() {
            switch event {
            case .head(let head):
                peer.head = head
                peer.body = []
            case .body(let part):
                peer.body += part
            case .end:
                guard let head = peer.head else { continue }
                answer(head, for: peer)
                peer.body = []
                peer.isIdle = true
                guard case .open = peer.stage else { return }
            }
        }
    }

    private func answer(_ head: RequestHead, for peer: Peer) {
        let stopping = isStopReadable
        let last = stopping || head.minorVersion == 0 || saysClose(head.fields)
        var status = 200
        var content: [UInt8] = []
        switch head.method + " " + head.target.prefix(while: { $0 != "?" }) {
        case "GET /":
            let who = forwardedClient(peer: peer.address, fields: head.fields, trust: Lesson16.trust)
            content = Array("\(name) \(who.address) \(who.scheme)\n".utf8)
        case "GET /health":
            status = stopping ? 503 : 200
            content = Array((stopping ? "stopping\n" : "ok\n").utf8)
        case "POST /upper":
            content = peer.body
            for index in content.indices where content[index] >= 0x61 && content[index] <= 0x7A {
                content[index] -= 0x20
            }
        default:
            status = 404
            content = Array("not found\n".utf8)
        }
        peer.queue(reply(status, content, last: last, withBody: head.method != "HEAD"))
        if last { peer.stage = .lastAnswer }
    }

    private func saysClose(_ fields: [HTTPField]) -> Bool {
        for field in fields where field.name.lowercased() == "connection" {
            for word in field.value.lowercased().split(whereSeparator: { $0 == "," || $0 == " " || $0 == "\t" })
            where word == "close" {
                return true
            }
        }
        return false
    }

    private func reply(_ status: Int, _ content: [UInt8], last: Bool, withBody: Bool) -> [UInt8] {
        let reason: String
        switch status {
        case 200: reason = "OK"
        case 400: reason = "Bad Request"
        case 404: reason = "Not Found"
        case 413: reason = "Content Too Large"
        case 503: reason = "Service Unavailable"
        case 505: reason = "HTTP Version Not Supported"
        default: reason = "Refused"
        }
        var text = "HTTP/1.1 \(status) \(reason)\r\nContent-Length: \(content.count)\r\nContent-Type: text/plain\r\n"
        if last { text += "Connection: close\r\n" }
        text += "\r\n"
        return Array(text.utf8) + (withBody ? content : [])
    }
}
