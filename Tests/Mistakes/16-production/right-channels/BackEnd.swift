import Course
import Foundation
import Solution08
import Sockets

/// A connection as two routines: one that reads, and puts what it has read into a channel; one that takes from there, and
/// writes. What else may happen to a client comes through the same channel.
final class Peer: @unchecked Sendable {
    enum Message {
        case bytes([UInt8])
        case ended  // or broken
        case stop  // once
        case late  // nothing came in time
    }

    let socket: Int32
    private let changed = NSCondition()
    // Under `changed`:
    private var chunks: [[UInt8]] = []
    private var hasEnded = false
    private var readerIsDone = false
    private var stopIsDue = false
    private var isDiscarding = false

    init(_ socket: Int32) { self.socket = socket }

    // The reader.

    func readAll() {
        var room = [UInt8](repeating: 0, count: 16_384)
        var goesOn = true
        while goesOn {
            guard pollFor(socket, -1) else { break }
            changed.withLock {
                // Not more than it can take: the rest waits in the kernel, and then at the client.
                while chunks.count >= 8 && !isDiscarding { changed.wait() }
                // Read under the lock: a byte is in the socket or in the channel, never between the two.
                let count = recv(socket, &room, room.count, MSG_DONTWAIT)
                if count > 0 {
                    if !isDiscarding { chunks.append(Array(room[..<count])) }
                } else if count == 0 || errno != EINTR && errno != EAGAIN {
                    goesOn = false
                }
                if !goesOn { hasEnded = true }
                changed.broadcast()
            }
        }
        changed.withLock {
            hasEnded = true
            readerIsDone = true
            changed.broadcast()
        }
    }

    // The writer.

    /// - Parameter seesStop: between two things that are not to be torn apart.
    /// - Parameter clientFirst: a stop is not seen as long as the client has said something that was not taken.
    func next(seesStop: Bool, clientFirst: Bool, until end: Date? = nil) -> Message {
        changed.withLock {
            while true {
                if seesStop && stopIsDue && !(clientFirst && (!chunks.isEmpty || !hasEnded && pollFor(socket, 0))) {
                    stopIsDue = false
                    return .stop
                }
                if !chunks.isEmpty {
                    let chunk = chunks.removeFirst()
                    changed.broadcast()
                    return .bytes(chunk)
                }
                if hasEnded { return .ended }
                guard let end else {
                    changed.wait()
                    continue
                }
                if !changed.wait(until: end) && chunks.isEmpty && !hasEnded && !(seesStop && stopIsDue) { return .late }
            }
        }
    }

    func write(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { all in
            var done = 0
            while done < all.count {
                let count = send(socket, all.baseAddress! + done, all.count - done, MSG_NOSIGNAL)
                if count < 0 && errno == EINTR { continue }
                if count < 0 { return false }
                done += count
            }
            return true
        }
    }

    /// The half-close; then the client's end is waited for, but not for long.
    func leaveGently() {
        discard()
        shutdown(socket, SHUT_WR)
        let end = Date(timeIntervalSinceNow: 2)
        changed.withLock { while !hasEnded && changed.wait(until: end) {} }
    }

    /// Ends the reader, and waits for that: the descriptor is nobody's afterwards.
    func join() {
        discard()
        shutdown(socket, SHUT_RDWR)
        changed.withLock { while !readerIsDone { changed.wait() } }
    }

    private func discard() {
        changed.withLock {
            isDiscarding = true
            chunks = []
            changed.broadcast()
        }
    }

    // Others.

    func postStop() {
        changed.withLock {
            stopIsDue = true
            changed.broadcast()
        }
    }
}

/// - Returns: whether it is readable, or broken; false if the time (ms) is over.
func pollFor(_ descriptor: Int32, _ timeout: Int32) -> Bool {
    var one = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while true {
        let ready = poll(&one, 1, timeout)
        if ready >= 0 { return ready > 0 }
        if errno != EINTR { return false }
    }
}

/// Accepts until `stop`, starts two routines for each client, and waits for all of them.
final class Supervisor: @unchecked Sendable {
    private let changed = NSCondition()
    private var peers: [ObjectIdentifier: Peer] = [:]

    func run(host: String, port: UInt16, stop: Int32, _ converse: @escaping @Sendable (Peer) -> Void) throws {
        let listener = try Supervisor.listen(host, port)
        do {
            defer { close(listener) }
            while try !Supervisor.wait(listener, stop) { _ = try admit(listener, converse, mayWait: true) }
            var left = 5000
            while try left > 0 && admit(listener, converse, mayWait: false) { left -= 1 }
        }
        let end = Date(timeIntervalSinceNow: Double(Lesson16.stopPatience) / 1000)
        changed.withLock {
            for peer in peers.values { peer.postStop() }
            while !peers.isEmpty && changed.wait(until: end) {}
            for peer in peers.values { shutdown(peer.socket, SHUT_RDWR) }
            while !peers.isEmpty { changed.wait() }
        }
    }

    /// - Returns: whether it is `stop` that is readable.
    private static func wait(_ listener: Int32, _ stop: Int32) throws -> Bool {
        var both = [listener, stop].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        while poll(&both, 2, -1) < 0 {
            if errno != EINTR { throw SocketError("poll", errno) }
        }
        return both[1].revents != 0
    }

    private static func listen(_ host: String, _ port: UInt16) throws -> Int32 {
        let address = try SocketAddress(host: host, port: port)
        let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
        do {
            var on: Int32 = 1
            let size = socklen_t(MemoryLayout<Int32>.size)
            try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, size))
            try check("bind", address.withSockaddr { bind(listener, $0, $1) })
            try check("listen", Glibc.listen(listener, SOMAXCONN))
            try check("fcntl", fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK))
            return listener
        } catch {
            close(listener)
            throw error
        }
    }

    /// - Returns: false if nobody stands in the queue.
    private func admit(_ listener: Int32, _ converse: @escaping @Sendable (Peer) -> Void, mayWait: Bool) throws -> Bool
    {
        let socket = accept(listener, nil, nil)
        guard socket >= 0 else {
            switch errno {
            case EAGAIN: return false
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: return true
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                usleep(50_000)
                return mayWait
            case let code: throw SocketError("accept", code)
            }
        }
        let peer = Peer(socket)
        changed.withLock { peers[ObjectIdentifier(peer)] = peer }
        Thread.detachNewThread { peer.readAll() }
        Thread.detachNewThread {
            converse(peer)
            peer.join()
            self.changed.withLock {
                self.peers[ObjectIdentifier(peer)] = nil
                close(socket)
                self.changed.broadcast()
            }
        }
        return true
    }
}

func backEnd(host: String, port: UInt16, name: String, stop: Int32) throws {
    try Supervisor().run(host: host, port: port, stop: stop) { peer in
        let origin = (try? SocketAddress.peer(of: peer.socket))?.host ?? ""
        var web = Web(peer: peer, origin: origin, name: name, stop: stop)
        if web.converse() { peer.leaveGently() }
    }
}

private struct Web {
    let peer: Peer
    let origin: String
    let name: String
    let stop: Int32
    private var decoder = Solution08.reference.makeRequestDecoder(RequestLimits())
    private var request: (head: RequestHead, body: [UInt8])?
    private var isBegun = false

    init(peer: Peer, origin: String, name: String, stop: Int32) {
        (self.peer, self.origin, self.name, self.stop) = (peer, origin, name, stop)
    }

    /// - Returns: whether there is still somebody to be polite to.
    mutating func converse() -> Bool {
        while true {
            switch peer.next(seesStop: !isBegun, clientFirst: true) {
            case .stop: return true
            case .ended, .late: return false
            case .bytes(let bytes):
                do {
                    if let outcome = try take(bytes) { return outcome }
                } catch {
                    return peer.write(Web.text((error as? RequestRefused)?.status ?? 400, "refused\n", isLast: true))
                }
            }
        }
    }

    /// - Returns: nil as long as the conversation goes on.
    private mutating func take(_ bytes: [UInt8]) throws -> Bool? {
        // First all but one, then that one: a request that ends before the last byte is followed by another.
        for end in [bytes.count - 1, bytes.count] {
            let piece = end == bytes.count ? [bytes[end - 1]] : Array(bytes[..<end])
            if piece.isEmpty { continue }
            decoder.feed(piece)
            isBegun = true
            while let event = try decoder.next() {
                switch event {
                case .head(let head): request = (head, [])
                case .body(let more): request?.body += more
                case .end:
                    guard let (head, body) = request else { return false }
                    request = nil
                    isBegun = false
                    let isStopping = pollFor(stop, 0)
                    let isLast = isStopping || head.minorVersion < 1 || Web.wantsClose(head)
                    guard peer.write(answer(head, body, isStopping, isLast)) else { return false }
                    if isLast { return true }
                }
            }
        }
        return nil
    }

    private func answer(_ head: RequestHead, _ body: [UInt8], _ isStopping: Bool, _ isLast: Bool) -> [UInt8] {
        let path = head.target.components(separatedBy: "?")[0]
        switch (head.method, path) {
        case ("GET", "/"):
            let client = forwardedClient(peer: origin, fields: head.fields, trust: Lesson16.trust)
            return Web.text(200, "\(name) \(client.address) \(client.scheme)\n", isLast: isLast)
        case ("GET", "/health") where isStopping: return Web.text(503, "stopping\n", isLast: isLast)
        case ("GET", "/health"): return Web.text(200, "ok\n", isLast: isLast)
        case ("POST", "/upper"):
            let small = UInt8(ascii: "a")...UInt8(ascii: "z")
            return Web.message(200, body.map { small.contains($0) ? $0 - 32 : $0 }, isLast: isLast)
        default: return Web.text(404, "not found\n", isLast: isLast)
        }
    }

    private static func wantsClose(_ head: RequestHead) -> Bool {
        head.fields.filter { $0.name.lowercased() == "connection" }
            .flatMap { $0.value.components(separatedBy: ",") }
            .contains { $0.trimmingCharacters(in: CharacterSet(charactersIn: " \t")).lowercased() == "close" }
    }

    private static func text(_ status: Int, _ text: String, isLast: Bool) -> [UInt8] {
        message(status, Array(text.utf8), isLast: isLast)
    }

    private static func message(_ status: Int, _ body: [UInt8], isLast: Bool) -> [UInt8] {
        let end = isLast ? "Connection: close\r\n\r\n" : "\r\n"
        return Array(
            "HTTP/1.1 \(status) \(status == 200 ? "OK" : "No")\r\nContent-Length: \(body.count)\r\n\(end)".utf8)
            + body
    }
}
