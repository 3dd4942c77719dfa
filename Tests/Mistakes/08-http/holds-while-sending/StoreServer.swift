import Course
import Sockets

func storeServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        var one: Int32 = 1
        try check(
            "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size)))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
    } catch {
        close(listener)
        throw error
    }

    let shelf = Shelf()
    while true {
        let client = accept(listener, nil, nil)
        if client >= 0 {
            do {
                try spawn {
                    Session(client, shelf).live()
                    close(client)
                }
            } catch { close(client) }
            continue
        }
        // None of these says that the listener is broken.
        if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno) {
            var nap = timespec(tv_sec: 0, tv_nsec: 20_000_000)
            nanosleep(&nap, nil)
        } else if [EBADF, EINVAL, ENOTSOCK].contains(errno) {
            throw SocketError("accept", errno)
        }
    }
}

// MARK: - Processes

private final class Life {
    let body: () -> Void
    init(_ body: @escaping () -> Void) { self.body = body }
}

private func spawn(_ body: @escaping () -> Void) throws {
    let life = Unmanaged.passRetained(Life(body))
    var thread = pthread_t()
    let code = pthread_create(
        &thread, nil,
        { argument in
            let life = Unmanaged<Life>.fromOpaque(argument!).takeRetainedValue()
            life.body()
            return nil
        }, life.toOpaque())
    guard code == 0 else {
        life.release()
        throw SocketError("pthread_create", code)
    }
    pthread_detach(thread)
}

private struct Answered {
    var status: Int
    var lines: [String] = []
    var body: [UInt8]?
}

// MARK: - The shelf

/// What clients have put somewhere. Those who only look may do so at the same time; who changes something is alone.
private final class Shelf {
    private var lock = pthread_rwlock_t()
    private var kept: [String: (type: String, bytes: [UInt8])] = [:]
    private var total = 0
    private var last = 0

    init() { pthread_rwlock_init(&lock, nil) }

    /// Lends what is there, or nil, without a copy.
    func look<Result>(at place: String, _ body: ((type: String, bytes: [UInt8])?) -> Result) -> Result {
        pthread_rwlock_rdlock(&lock)
        defer { pthread_rwlock_unlock(&lock) }
        return body(kept[place])
    }

    enum Change { case new, replaced, full }

    func put(_ bytes: [UInt8], _ type: String?, at place: String) -> Change {
        pthread_rwlock_wrlock(&lock)
        defer { pthread_rwlock_unlock(&lock) }
        return store(bytes, type, place)
    }

    /// - Returns: the new place, or nil if there is no room.
    func post(_ bytes: [UInt8], _ type: String?, below list: String) -> String? {
        pthread_rwlock_wrlock(&lock)
        defer { pthread_rwlock_unlock(&lock) }
        repeat { last += 1 } while kept["\(list)/\(last)"] != nil
        let place = "\(list)/\(last)"
        if case .full = store(bytes, type, place) { return nil }
        return place
    }

    func delete(_ place: String) -> Bool {
        pthread_rwlock_wrlock(&lock)
        defer { pthread_rwlock_unlock(&lock) }
        guard let old = kept.removeValue(forKey: place) else { return false }
        total -= old.bytes.count
        return true
    }

    private func store(_ bytes: [UInt8], _ type: String?, _ place: String) -> Change {
        let old = kept[place]
        let after = total - (old?.bytes.count ?? 0) + bytes.count
        if after > Lesson08.storeLimit { return .full }
        total = after
        kept[place] = (type ?? "application/octet-stream", bytes)
        return old == nil ? .new : .replaced
    }
}

// MARK: - Sessions

private final class Session {
    private let socket: Int32
    private let shelf: Shelf
    private var decoder = HTTPRequestDecoder(limits: RequestLimits())
    private var request: RequestHead?
    private var body: [UInt8] = []
    private var buffer = [UInt8](repeating: 0, count: 16_384)
    private var headDeadline = clock() + Lesson08.clientTimeout

    init(_ socket: Int32, _ shelf: Shelf) {
        self.socket = socket
        self.shelf = shelf
        var one: Int32 = 1
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
    }

    func live() {
        repeat {
            switch everythingThatIsHere() {
            case .goOn: break
            case .close: return sayGoodbye()
            case .gone: return
            }
        } while receive(by: request == nil ? headDeadline : clock() + Lesson08.clientTimeout)
    }

    private enum Fate { case goOn, close, gone }

    private func everythingThatIsHere() -> Fate {
        while true {
            let event: RequestEvent?
            do { event = try decoder.next() } catch {
                let status = (error as? RequestRefused)?.status ?? 400
                return send(Answered(status: status, body: []), to: nil, closing: true) ? .close : .gone
            }
            switch event {
            case nil: return .goOn
            case .head(let head)?:
                request = head
                body = []
                if head.minorVersion > 0, head.fields.elements("Expect").contains("100-continue") {
                    guard send(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8), []) else { return .gone }
                }
            case .body(let piece)?: body += piece
            case .end?:
                guard let head = request else { return .gone }
                let closing = head.minorVersion == 0 || head.fields.elements("Connection").contains("close")
                guard respond(to: head, body, closing: closing) else { return .gone }
                request = nil
                body = []
                if closing { return .close }
                headDeadline = clock() + Lesson08.clientTimeout
            }
        }
    }

    private func respond(to head: RequestHead, _ body: [UInt8], closing: Bool) -> Bool {
        let allow = "Allow: GET, HEAD, PUT, POST, DELETE, OPTIONS"
        if head.method == "OPTIONS" { return send(Answered(status: 204, lines: [allow]), to: head, closing: closing) }
        guard ["GET", "HEAD", "PUT", "POST", "DELETE"].contains(head.method) else {
            return send(Answered(status: 405, lines: [allow], body: []), to: head, closing: closing)
        }
        guard let names = pathNames(target: head.target) else {
            return send(Answered(status: 400, body: []), to: head, closing: closing)
        }
        let place = names.map { "/" + percentEncoded($0) }.joined()
        let type = head.fields["Content-Type"]
        var answer = Answered(status: 507, body: [])
        switch head.method {
        case "PUT":
            switch shelf.put(body, type, at: place) {
            case .new: answer = Answered(status: 201, body: [])
            case .replaced: answer = Answered(status: 204)
            case .full: break
            }
        case "POST":
            if let new = shelf.post(body, type, below: place) {
                answer = Answered(status: 201, lines: ["Location: \(new)"], body: [])
            }
        case "DELETE": answer = shelf.delete(place) ? Answered(status: 204) : Answered(status: 404, body: [])
        default:
            return shelf.look(at: place) { found in
                guard let found else { return send(Answered(status: 404, body: []), to: head, closing: closing) }
                let lines = ["Content-Type: \(found.type)"]
                return send(Answered(status: 200, lines: lines, body: found.bytes), to: head, closing: closing)
            }
        }
        return send(answer, to: head, closing: closing)
    }

    private func send(_ answer: Answered, to head: RequestHead?, closing: Bool) -> Bool {
        var lines = ["HTTP/1.1 \(answer.status) \(Reply.reason(of: answer.status))", "Date: \(httpDate(time(nil)))"]
        lines += answer.lines
        if let body = answer.body { lines.append("Content-Length: \(body.count)") }
        if closing { lines.append("Connection: close") }
        let text = lines.joined(separator: "\r\n") + "\r\n\r\n"
        return send(Array(text.utf8), head?.method == "HEAD" ? [] : answer.body ?? [])
    }

    /// Head and body in one call, from two places.
    private func send(_ first: [UInt8], _ second: [UInt8]) -> Bool {
        first.withUnsafeBytes { first in
            second.withUnsafeBytes { second in
                var sent = 0
                while sent < first.count + second.count {
                    var parts: [iovec] = []
                    if sent < first.count {
                        let start = UnsafeMutableRawPointer(mutating: first.baseAddress! + sent)
                        parts.append(iovec(iov_base: start, iov_len: first.count - sent))
                    }
                    let from = max(0, sent - first.count)
                    if from < second.count {
                        let start = UnsafeMutableRawPointer(mutating: second.baseAddress! + from)
                        parts.append(iovec(iov_base: start, iov_len: second.count - from))
                    }
                    let count = parts.withUnsafeMutableBufferPointer { parts in
                        var message = msghdr()
                        message.msg_iov = parts.baseAddress
                        message.msg_iovlen = parts.count
                        return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
                    }
                    if count >= 0 {
                        sent += count
                    } else if errno == EAGAIN {
                        guard wait(POLLOUT, by: clock() + Lesson08.answerTimeout) else { return false }
                    } else if errno != EINTR {
                        return false
                    }
                }
                return true
            }
        }
    }

    private func receive(by deadline: Int) -> Bool {
        while wait(POLLIN, by: deadline) {
            let count = recv(socket, &buffer, buffer.count, MSG_DONTWAIT)
            if count > 0 {
                decoder.feed(buffer[..<count])
                return true
            }
            if count == 0 || errno != EINTR && errno != EAGAIN { return false }
        }
        return false
    }

    private func wait(_ events: Int32, by deadline: Int) -> Bool {
        while true {
            let left = deadline - clock()
            guard left > 0 else { return false }
            var entry = pollfd(fd: socket, events: Int16(events), revents: 0)
            let count = poll(&entry, 1, Int32(clamping: left))
            if count >= 0 { return count > 0 }
            if errno != EINTR { return false }
        }
    }

    /// The end is said; what is still under way to us is taken, lest it become a reset that overtakes the answer.
    private func sayGoodbye() {
        if shutdown(socket, Int32(SHUT_WR)) < 0 { return }
        let deadline = clock() + 2000
        while wait(POLLIN, by: deadline) {
            let count = recv(socket, &buffer, buffer.count, MSG_DONTWAIT)
            if count == 0 || count < 0 && errno != EINTR && errno != EAGAIN { return }
        }
    }
}

private func clock() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}
