import Course
import Solution08
import Sockets

// MARK: Who is here

private final class Registry: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let left = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var sockets: [Int32] = []

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(left, nil)
    }

    deinit {
        pthread_cond_destroy(left)
        pthread_mutex_destroy(mutex)
        left.deallocate()
        mutex.deallocate()
    }

    func enter(_ socket: Int32) {
        pthread_mutex_lock(mutex)
        sockets.append(socket)
        pthread_mutex_unlock(mutex)
    }

    /// Closes the descriptor while nobody else can look at it.
    func leave(_ socket: Int32) {
        pthread_mutex_lock(mutex)
        sockets.removeAll { $0 == socket }
        close(socket)
        pthread_cond_broadcast(left)
        pthread_mutex_unlock(mutex)
    }

    /// Until all have left, and after `milliseconds` with force.
    func empty(after milliseconds: Int) {
        var limit = timespec()
        clock_gettime(CLOCK_REALTIME, &limit)
        let nanoseconds = limit.tv_nsec + milliseconds % 1000 * 1_000_000
        limit.tv_sec += milliseconds / 1000 + nanoseconds / 1_000_000_000
        limit.tv_nsec = nanoseconds % 1_000_000_000

        pthread_mutex_lock(mutex)
        while !sockets.isEmpty {
            if pthread_cond_timedwait(left, mutex, &limit) == ETIMEDOUT { break }
        }
        for socket in sockets { shutdown(socket, Int32(SHUT_RDWR)) }
        while !sockets.isEmpty { pthread_cond_wait(left, mutex) }
        pthread_mutex_unlock(mutex)
    }
}

// MARK: Calls that may be interrupted

private struct Ready: OptionSet {
    let rawValue: Int
    static let first = Ready(rawValue: 1)
    static let second = Ready(rawValue: 2)
}

/// - Parameter seconds: nil for ever.
private func awaitReadable(_ first: Int32, _ second: Int32, seconds: Int? = nil, nanoseconds: Int = 0) -> Ready {
    var pair = [
        pollfd(fd: first, events: Int16(POLLIN), revents: 0), pollfd(fd: second, events: Int16(POLLIN), revents: 0),
    ]
    // Rounded up: a wait that ends too early would come round again for nothing.
    let timeout = seconds.map { Int32(clamping: $0 * 1000 + (nanoseconds + 999_999) / 1_000_000) } ?? -1
    var count: Int32
    repeat {
        count = poll(&pair, 2, timeout)
    } while count < 0 && errno == EINTR
    // Anything else that poll could complain about: the descriptor itself will say what it is.
    guard count >= 0 else { return .first }
    var ready: Ready = []
    if pair[0].revents != 0 { ready.insert(.first) }
    if pair[1].revents != 0 { ready.insert(.second) }
    return ready
}

/// Head and body in one call, and what did not go out in the next.
private func sendBoth(_ socket: Int32, _ head: [UInt8], _ body: [UInt8]) -> Bool {
    head.withUnsafeBytes { head in
        body.withUnsafeBytes { body in
            var done = 0
            while done < head.count + body.count {
                var parts: [iovec] = []
                if done < head.count {
                    parts.append(
                        iovec(
                            iov_base: UnsafeMutableRawPointer(mutating: head.baseAddress! + done),
                            iov_len: head.count - done))
                }
                let skipped = max(0, done - head.count)
                if skipped < body.count {
                    parts.append(
                        iovec(
                            iov_base: UnsafeMutableRawPointer(mutating: body.baseAddress! + skipped),
                            iov_len: body.count - skipped))
                }
                let count = parts.withUnsafeMutableBufferPointer { vector -> Int in
                    var message = msghdr()
                    message.msg_iov = vector.baseAddress
                    message.msg_iovlen = vector.count
                    return sendmsg(socket, &message, Int32(MSG_NOSIGNAL))
                }
                if count < 0 {
                    if errno == EINTR { continue }
                    return false
                }
                done += count
            }
            return true
        }
    }
}

/// - Returns: as read(2): 0 at the end, -1 if the connection is broken.
private func receiveSome(_ socket: Int32, into room: UnsafeMutableRawBufferPointer) -> Int {
    var vector = iovec(iov_base: room.baseAddress, iov_len: room.count)
    while true {
        let count = readv(socket, &vector, 1)
        if count >= 0 || errno != EINTR { return count }
    }
}

// MARK: The server

private final class Job {
    let socket: Int32
    let peer: String
    let name: String
    let stop: Int32
    let registry: Registry

    init(socket: Int32, peer: String, name: String, stop: Int32, registry: Registry) {
        (self.socket, self.peer, self.name, self.stop, self.registry) = (socket, peer, name, stop, registry)
    }
}

func backEnd(host: String, port: UInt16, name: String, stop: Int32) throws {
    let registry = Registry()
    let listener = try openListener(host, port)

    // Kept for the day on which there is no other: given up for a moment, it makes room for one accept.
    var spare = open("/dev/null", O_RDONLY | O_CLOEXEC)
    defer { if spare >= 0 { close(spare) } }

    /// There is no room for whoever is first in the queue, who would stand there and wake poll for ever: sent away.
    func sendAway() {
        if spare >= 0 { close(spare) }
        let unlucky = accept(listener, nil, nil)
        if unlucky >= 0 { close(unlucky) }
        spare = open("/dev/null", O_RDONLY | O_CLOEXEC)
    }

    func take() throws -> Bool {
        let (client, from) = SocketAddress.received { accept(listener, $0, $1) }
        guard client >= 0 else {
            switch errno {
            case EAGAIN: return false
            case EINTR, ECONNABORTED, EPROTO: return true
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                sendAway()
                return true
            case let code: throw SocketError("accept", code)
            }
        }
        _ = fcntl(client, F_SETFD, FD_CLOEXEC)
        registry.enter(client)
        let job = Job(socket: client, peer: from?.host ?? "", name: name, stop: stop, registry: registry)
        if !startThread(job) { registry.leave(client) }
        return true
    }

    do {
        defer { close(listener) }
        while !awaitReadable(listener, stop).contains(.second) { _ = try take() }
        var most = Int(SOMAXCONN)
        while most > 0, try take() { most -= 1 }
    } catch {
        registry.empty(after: 0)
        throw error
    }
    registry.empty(after: Lesson16.stopPatience)
}

private func openListener(_ host: String, _ port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    var on: Int32 = 1
    do {
        try check(
            "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
        try check("fcntl", fcntl(listener, F_SETFD, FD_CLOEXEC))
        try check("fcntl", fcntl(listener, F_SETFL, O_NONBLOCK))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
    } catch {
        close(listener)
        throw error
    }
    return listener
}

private func startThread(_ job: Job) -> Bool {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    var thread = pthread_t()
    let baggage = Unmanaged.passRetained(job)
    let code = pthread_create(
        &thread, &attributes,
        { baggage in
            guard let baggage else { return nil }
            let job = Unmanaged<Job>.fromOpaque(baggage).takeRetainedValue()
            handle(job)
            job.registry.leave(job.socket)
            return nil
        }, baggage.toOpaque())
    if code != 0 { baggage.release() }
    return code == 0
}

// MARK: One client

private struct Dialogue {
    var decoder = Solution08.reference.makeRequestDecoder(RequestLimits())
    var head: RequestHead?
    var body: [UInt8] = []
    /// Something of a request has come, and it was not answered.
    var isOwing = false
}

private enum Outcome { case goOn, farewell, broken }

private func handle(_ job: Job) {
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 8192, alignment: 16)
    defer { room.deallocate() }
    var talk = Dialogue()
    var outcome = Outcome.goOn
    while outcome == .goOn {
        // In the middle of a request there is no stop.
        let ready = awaitReadable(job.socket, talk.isOwing ? -1 : job.stop)
        guard ready.contains(.first) else { break }
        let count = receiveSome(job.socket, into: room)
        guard count > 0 else { return }
        // The last byte decides whether a request is begun and not finished, so it is heard by itself.
        let bytes = Array(room.prefix(count))
        outcome = hear(Array(bytes.dropLast()), &talk, job)
        if outcome == .goOn {
            talk.isOwing = true
            outcome = hear([bytes[count - 1]], &talk, job)
        }
    }
    if outcome == .broken { return }
    shutdown(job.socket, Int32(SHUT_WR))
    var limit = timespec()
    clock_gettime(CLOCK_MONOTONIC, &limit)
    limit.tv_sec += 3
    while true {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        let left = (limit.tv_sec - now.tv_sec) * 1_000_000_000 + limit.tv_nsec - now.tv_nsec
        guard left > 0,
            !awaitReadable(job.socket, -1, seconds: left / 1_000_000_000, nanoseconds: left % 1_000_000_000).isEmpty,
            receiveSome(job.socket, into: room) > 0
        else { return }
    }
}

private func hear(_ bytes: [UInt8], _ talk: inout Dialogue, _ job: Job) -> Outcome {
    do {
        talk.decoder.feed(bytes)
        while let event = try talk.decoder.next() {
            switch event {
            case .head(let head): talk.head = head
            case .body(let part): talk.body.append(contentsOf: part)
            case .end:
                guard let head = talk.head else { return .broken }
                let body = talk.body
                (talk.head, talk.body, talk.isOwing) = (nil, [], false)
                let outcome = answer(head, body, job)
                if outcome != .goOn { return outcome }
            }
        }
        return .goOn
    } catch {
        let status = (error as? RequestRefused)?.status ?? 400
        return speak(job, status, Array("no\n".utf8), closing: true) ? .farewell : .broken
    }
}

private func answer(_ head: RequestHead, _ body: [UInt8], _ job: Job) -> Outcome {
    let stopped = awaitReadable(job.stop, -1, seconds: 0).contains(.first)
    let words = head.fields.filter { $0.name.lowercased() == "connection" }.map { $0.value.lowercased() }
        .joined(separator: ",").split(separator: ",").map { $0.trimming() }
    let closing = stopped || head.minorVersion < 1 || words.contains("close")
    let path = String(head.target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)[0])

    var status = 404
    var content = Array("no such thing\n".utf8)
    if head.method == "GET" && path == "/" {
        let client = forwardedClient(peer: job.peer, fields: head.fields, trust: Lesson16.trust)
        (status, content) = (200, Array("\(job.name) \(client.address) \(client.scheme)\n".utf8))
    } else if head.method == "GET" && path == "/health" {
        (status, content) = stopped ? (503, Array("going\n".utf8)) : (200, Array("ok\n".utf8))
    } else if head.method == "POST" && path == "/upper" {
        let table = (0...255).map { (97...122).contains($0) ? UInt8($0 - 32) : UInt8($0) }
        (status, content) = (200, body.map { table[Int($0)] })
    }
    guard speak(job, status, content, closing: closing, isHead: head.method == "HEAD") else { return .broken }
    return closing ? .farewell : .goOn
}

private func speak(_ job: Job, _ status: Int, _ content: [UInt8], closing: Bool, isHead: Bool = false) -> Bool {
    var lines = ["HTTP/1.1 \(status) " + (status == 200 ? "OK" : "Sorry")]
    lines.append("Content-Length: \(content.count)")
    if closing { lines.append("Connection: close") }
    let head = lines.joined(separator: "\r\n") + "\r\n\r\n"
    return sendBoth(job.socket, Array(head.utf8), isHead ? [] : content)
}

extension Substring {
    fileprivate func trimming() -> String {
        var rest = self
        while let first = rest.first, first == " " || first == "\t" { rest.removeFirst() }
        while let last = rest.last, last == " " || last == "\t" { rest.removeLast() }
        return String(rest)
    }
}
