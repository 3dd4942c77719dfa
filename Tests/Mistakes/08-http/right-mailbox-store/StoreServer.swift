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

    let mailbox = Mailbox()
    try spawn { Keeper().live(mailbox) }
    while true {
        let client = accept(listener, nil, nil)
        if client >= 0 {
            do {
                try spawn {
                    Session(client, mailbox).live()
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

/// A question to the keeper, and its answer.
private final class Letter {
    let request: RequestHead
    let body: [UInt8]
    var answer: Answered?

    init(_ request: RequestHead, _ body: [UInt8]) {
        self.request = request
        self.body = body
    }
}

private struct Answered {
    var status: Int
    var lines: [String] = []
    var body: [UInt8]?
}

private final class Mailbox {
    private var lock = pthread_mutex_t()
    private var arrived = pthread_cond_t()
    private var answered = pthread_cond_t()
    private var letters: [Letter] = []

    init() {
        pthread_mutex_init(&lock, nil)
        pthread_cond_init(&arrived, nil)
        pthread_cond_init(&answered, nil)
    }

    /// For a session: waits for the keeper, who never waits for anybody but letters.
    func ask(_ letter: Letter) -> Answered {
        pthread_mutex_lock(&lock)
        defer { pthread_mutex_unlock(&lock) }
        letters.append(letter)
        pthread_cond_signal(&arrived)
        while true {
            if let answer = letter.answer { return answer }
            pthread_cond_wait(&answered, &lock)
        }
    }

    /// For the keeper.
    func take() -> [Letter] {
        pthread_mutex_lock(&lock)
        defer { pthread_mutex_unlock(&lock) }
        while letters.isEmpty { pthread_cond_wait(&arrived, &lock) }
        defer { letters = [] }
        return letters
    }

    func answer(_ letters: [(Letter, Answered)]) {
        pthread_mutex_lock(&lock)
        for (letter, answer) in letters { letter.answer = answer }
        pthread_cond_broadcast(&answered)
        pthread_mutex_unlock(&lock)
    }
}

// MARK: - The keeper

/// Lives in one thread, and is seen by no other.
private final class Keeper {
    private var bytes: [String: [UInt8]] = [:]
    private var types: [String: String] = [:]
    private var total = 0
    private var last = 0

    func live(_ mailbox: Mailbox) {
        while true {
            var answers: [(Letter, Answered)] = []
            for letter in mailbox.take() { answers.append((letter, answer(letter.request, letter.body))) }
            mailbox.answer(answers)
        }
    }

    private func answer(_ request: RequestHead, _ body: [UInt8]) -> Answered {
        let allow = "Allow: GET, HEAD, PUT, POST, DELETE, OPTIONS"
        if request.method == "OPTIONS" { return Answered(status: 204, lines: [allow]) }
        guard ["GET", "HEAD", "PUT", "POST", "DELETE"].contains(request.method) else {
            return Answered(status: 405, lines: [allow], body: [])
        }
        guard let names = pathNames(target: request.target) else { return Answered(status: 400, body: []) }
        let place = names.map { "/" + percentEncoded($0) }.joined()
        if request.method == "PUT" {
            let status = bytes[place] == nil ? 201 : 204
            return put(body, request, at: place) ? Answered(status: status, body: status == 201 ? [] : nil) : full
        }
        if request.method == "POST" {
            repeat { last += 1 } while bytes["\(place)/\(last)"] != nil
            guard put(body, request, at: "\(place)/\(last)") else { return full }
            return Answered(status: 201, lines: ["Location: \(place)/\(last)"], body: [])
        }
        guard let kept = bytes[place] else { return Answered(status: 404, body: []) }
        if request.method == "DELETE" {
            total -= kept.count
            bytes[place] = nil
            types[place] = nil
            return Answered(status: 204)
        }
        let type = types[place] ?? "application/octet-stream"
        return Answered(status: 200, lines: ["Content-Type: \(type)"], body: kept)
    }

    private var full: Answered { Answered(status: 507, body: []) }

    private func put(_ body: [UInt8], _ request: RequestHead, at place: String) -> Bool {
        let after = total - (bytes[place]?.count ?? 0) + body.count
        if after > Lesson08.storeLimit { return false }
        total = after
        bytes[place] = body
        types[place] = request.fields["Content-Type"]
        return true
    }
}

// MARK: - Sessions

private final class Session {
    private let socket: Int32
    private let mailbox: Mailbox
    private var decoder = HTTPRequestDecoder(limits: RequestLimits())
    private var request: RequestHead?
    private var body: [UInt8] = []
    private var buffer = [UInt8](repeating: 0, count: 16_384)
    private var headDeadline = clock() + Lesson08.clientTimeout

    init(_ socket: Int32, _ mailbox: Mailbox) {
        self.socket = socket
        self.mailbox = mailbox
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
                let answer = mailbox.ask(Letter(head, body))
                request = nil
                body = []
                let closing = head.minorVersion == 0 || head.fields.elements("Connection").contains("close")
                guard send(answer, to: head, closing: closing) else { return .gone }
                if closing { return .close }
                headDeadline = clock() + Lesson08.clientTimeout
            }
        }
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
