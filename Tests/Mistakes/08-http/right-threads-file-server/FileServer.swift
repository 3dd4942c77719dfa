import Course
import Sockets

/// A thread for each client. The main thread does nothing but accept.
func fileServer(host: String, port: UInt16, root: String) throws {
    let listener = try listeningSocket(host, port)
    defer { close(listener) }
    let site = try check("open", open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
    let crowd = Crowd()
    while true {
        crowd.waitForRoom()
        let client = accept4(listener, nil, nil, SOCK_CLOEXEC)
        guard client >= 0 else {
            switch errno {
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, EPERM: break
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: _ = poll(nil, 0, 50)
            case let code: throw SocketError("accept4", code)
            }
            continue
        }
        crowd.enter()
        let started = startThread {
            Visit(client, site).serve()
            close(client)
            crowd.leave()
        }
        if !started {
            close(client)
            crowd.leave()
        }
    }
}

private func listeningSocket(_ host: String, _ port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0))
    do {
        var on: Int32 = 1
        try check(
            "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
    } catch {
        close(listener)
        throw error
    }
    return listener
}

// MARK: - Threads

/// How many clients are here. Each of them takes a descriptor, and two more while it is given a file.
private final class Crowd: @unchecked Sendable {
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var count = 0

    init() {
        pthread_mutex_init(lock, nil)
        pthread_cond_init(changed, nil)
    }

    func waitForRoom() {
        let descriptors = sysconf(Int32(_SC_OPEN_MAX))
        let most = descriptors < 0 ? 4096 : max(4, (Int(descriptors) - 16) / 3)
        pthread_mutex_lock(lock)
        while count >= most { pthread_cond_wait(changed, lock) }
        pthread_mutex_unlock(lock)
    }

    func enter() { change(1) }

    func leave() { change(-1) }

    private func change(_ by: Int) {
        pthread_mutex_lock(lock)
        count += by
        pthread_cond_signal(changed)
        pthread_mutex_unlock(lock)
    }
}

private final class Task {
    let body: () -> Void
    init(_ body: @escaping () -> Void) { self.body = body }
}

private func startThread(_ body: @escaping () -> Void) -> Bool {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, 512 * 1024)
    let task = Unmanaged.passRetained(Task(body))
    var thread = pthread_t()
    let result = pthread_create(
        &thread, &attributes,
        { argument in
            Unmanaged<Task>.fromOpaque(argument!).takeRetainedValue().body()
            return nil
        }, task.toOpaque())
    if result != 0 { task.release() }
    return result == 0
}

// MARK: - One client

/// Milliseconds on a clock that nobody sets.
private func ticks() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}

private final class Visit {
    private let client: Int32
    private let site: Int32
    private var decoder = HTTPRequestDecoder(limits: RequestLimits())
    private var input = [UInt8](repeating: 0, count: 8192)

    init(_ client: Int32, _ site: Int32) {
        self.client = client
        self.site = site
        set(IPPROTO_TCP, TCP_NODELAY, 1)
        set(IPPROTO_TCP, TCP_NOTSENT_LOWAT, 131_072)
    }

    private func set(_ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        setsockopt(client, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    func serve() {
        var request: RequestHead?
        var deadline = ticks() + Lesson08.clientTimeout
        while true {
            do {
                while let event = try decoder.next() {
                    switch event {
                    case .head(let head):
                        request = head
                        if head.minorVersion > 0, head.fields.elements("Expect").contains("100-continue") {
                            guard deliver(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)) else { return }
                        }
                    case .body: break
                    case .end:
                        guard let head = request else { continue }
                        request = nil
                        switch answer(head) {
                        case .stay: deadline = ticks() + Lesson08.clientTimeout
                        case .sayGoodbye: return sayGoodbye()
                        case .gone: return
                        }
                    }
                }
            } catch {
                let status = (error as? RequestRefused)?.status ?? 400
                if deliver(page(status, for: nil, isLast: true)) { sayGoodbye() }
                return
            }
            // A body may take its time, as long as something comes.
            if request != nil { deadline = ticks() + Lesson08.clientTimeout }
            switch receive(until: deadline) {
            case .some(0): return
            case .some(let count): decoder.feed(input[..<count])
            case nil:
                if errno == ETIMEDOUT, decoder.isInHead || request != nil {
                    if deliver(page(408, for: nil, isLast: true)) { sayGoodbye() }
                }
                return
            }
        }
    }

    // MARK: Bytes

    /// - Returns: how many bytes are in `input`, 0 at the end; nil with errno, ETIMEDOUT when the time is over.
    private func receive(until deadline: Int) -> Int? {
        while true {
            guard ready(POLLIN, until: deadline) else { return nil }
            let count = recv(client, &input, input.count, MSG_DONTWAIT)
            if count >= 0 { return count }
            if errno != EINTR && errno != EAGAIN { return nil }
        }
    }

    private func ready(_ events: Int32, until deadline: Int) -> Bool {
        var entry = pollfd(fd: client, events: Int16(events), revents: 0)
        while true {
            let left = max(0, deadline - ticks())
            let count = poll(&entry, 1, Int32(left))
            if count > 0 { return true }
            if count == 0 {
                errno = ETIMEDOUT
                return false
            }
            if errno != EINTR { return false }
        }
    }

    /// - Returns: false if the client is gone, or takes nothing for too long.
    private func deliver(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        var deadline = ticks() + Lesson08.answerTimeout
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                send(client, $0.baseAddress, $0.count, MSG_NOSIGNAL | MSG_DONTWAIT)
            }
            if count > 0 {
                sent += count
                deadline = ticks() + Lesson08.answerTimeout
            } else if count < 0 && errno == EAGAIN {
                guard ready(POLLOUT, until: deadline) else {
                    // What it has not taken is not to be offered for minutes.
                    var off = linger(l_onoff: 1, l_linger: 0)
                    setsockopt(client, SOL_SOCKET, SO_LINGER, &off, socklen_t(MemoryLayout<linger>.size))
                    return false
                }
            } else if count < 0 && errno != EINTR {
                return false
            }
        }
        return true
    }

    /// What still comes is received, or the kernel would answer it with a reset, and that may overtake our last answer.
    private func sayGoodbye() {
        guard shutdown(client, Int32(SHUT_WR)) == 0 else { return }
        let deadline = ticks() + Lesson08.clientTimeout
        while let count = receive(until: deadline), count > 0 {}
    }

    // MARK: Answers

    private enum After {
        case stay
        case sayGoodbye
        case gone
    }

    private func isLast(_ request: RequestHead) -> Bool {
        let words = request.fields.elements("Connection")
        return words.contains("close") || request.minorVersion == 0 && !words.contains("keep-alive")
    }

    private func answer(_ request: RequestHead) -> After {
        let last = isLast(request)
        let goesOn: Bool
        switch request.method {
        case "GET", "HEAD": goesOn = giveFile(request, last)
        case "OPTIONS":
            goesOn = deliver(head(204, [("Allow", "GET, HEAD, OPTIONS")], length: nil, for: request, isLast: last))
        default: goesOn = deliver(page(405, [("Allow", "GET, HEAD, OPTIONS")], for: request, isLast: last))
        }
        return goesOn ? (last ? .sayGoodbye : .stay) : .gone
    }

    private func head(
        _ status: Int, _ fields: [(String, String)], length: Int?, for request: RequestHead?, isLast: Bool
    ) -> [UInt8] {
        var lines = ["HTTP/1.1 \(status) \(Reply.reason(of: status))", "Date: \(httpDate(time(nil)))"]
        lines += fields.map { "\($0): \($1)" }
        if let length { lines.append("Content-Length: \(length)") }
        if isLast {
            lines.append("Connection: close")
        } else if request?.minorVersion == 0 {
            lines.append("Connection: keep-alive")
        }
        return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
    }

    /// A line for people.
    private func page(
        _ status: Int, _ fields: [(String, String)] = [], for request: RequestHead?, isLast: Bool
    ) -> [UInt8] {
        let text = Array("\(status)\n".utf8)
        let all = fields + [("Content-Type", "text/plain; charset=utf-8")]
        let start = head(status, all, length: text.count, for: request, isLast: isLast)
        return request?.method == "HEAD" ? start : start + text
    }

    private func giveFile(_ request: RequestHead, _ last: Bool) -> Bool {
        func short(_ status: Int, _ fields: [(String, String)] = []) -> Bool {
            deliver(page(status, fields, for: request, isLast: last))
        }
        guard let names = pathNames(target: request.target), let way = path(of: request.target) else {
            return short(400)
        }
        let wantsFolder = way.isEmpty || way.last == 47
        var name = names.last ?? ""
        var found = look(names)
        if case .folder = found {
            if !wantsFolder {
                let query = request.target.drop { $0 != "?" }
                return short(301, [("Location", "/" + names.map { percentEncoded($0) + "/" }.joined() + query)])
            }
            name = "index.html"
            found = look(names + [name])
        } else if wantsFolder {
            if case .file(let descriptor, _) = found { close(descriptor) }
            return short(404)
        }
        switch found {
        case .folder, .nothing: return short(404)
        case .forbidden: return short(403)
        case .busy: return short(503)
        case .file(let descriptor, let status):
            defer { close(descriptor) }
            return give(descriptor, Int(status.st_size), Int(status.st_mtim.tv_sec), name, request, last)
        }
    }

    private func give(
        _ file: Int32, _ size: Int, _ changed: Int, _ name: String, _ request: RequestHead, _ last: Bool
    ) -> Bool {
        let modified = min(changed, time(nil))
        let stamp = ("Last-Modified", httpDate(modified))
        if let since = request.fields["If-Modified-Since"].flatMap({ httpDate($0) }), modified <= since {
            return deliver(head(304, [stamp], length: nil, for: request, isLast: last))
        }
        var fields = [("Content-Type", type(of: name)), stamp, ("Accept-Ranges", "bytes")]
        var status = 200
        var part = 0..<size
        if request.method == "GET", let text = request.fields["Range"] {
            switch range(text, size) {
            case .all: break
            case .outside:
                return deliver(page(416, [("Content-Range", "bytes */\(size)")], for: request, isLast: last))
            case .part(let asked):
                (status, part) = (206, asked)
                fields.append(("Content-Range", "bytes \(asked.lowerBound)-\(asked.upperBound - 1)/\(size)"))
            }
        }
        var bytes = head(status, fields, length: part.count, for: request, isLast: last)
        if request.method == "HEAD" { return deliver(bytes) }
        var position = part.lowerBound
        while position < part.upperBound {
            let piece = read(file, at: position, atMost: min(65_536, part.upperBound - position))
            if piece.isEmpty {
                // Shorter than it was: the promise cannot be kept.
                _ = deliver(bytes)
                return false
            }
            bytes += piece
            position += piece.count
            guard deliver(bytes) else { return false }
            bytes.removeAll(keepingCapacity: true)
        }
        return deliver(bytes)
    }

    private func read(_ file: Int32, at position: Int, atMost count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
            var got: Int
            repeat { got = pread(file, buffer.baseAddress, count, off_t(position)) } while got < 0 && errno == EINTR
            used = max(0, got)
        }
    }

    // MARK: Files

    private enum Look {
        case file(Int32, stat)
        case folder
        case nothing
        case forbidden
        case busy
    }

    /// Name by name, so that no step follows a link.
    private func look(_ names: [String]) -> Look {
        var here = site
        defer { if here != site { close(here) } }
        for (index, name) in names.enumerated() {
            let isLast = index == names.count - 1
            let flags = isLast ? O_RDONLY | O_NONBLOCK : O_RDONLY | O_DIRECTORY
            var next: Int32
            repeat { next = openat(here, name, flags | O_NOFOLLOW | O_CLOEXEC) } while next < 0 && errno == EINTR
            guard next >= 0 else {
                switch errno {
                case EACCES, EPERM: return .forbidden
                case EMFILE, ENFILE, ENOMEM: return .busy
                default: return .nothing
                }
            }
            if here != site { close(here) }
            here = next
        }
        if here == site { return .folder }
        var status = stat()
        guard fstat(here, &status) == 0 else { return .nothing }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: return .folder
        case S_IFREG:
            let file = here
            here = site
            return .file(file, status)
        default: return .nothing
        }
    }

    private func type(of name: String) -> String {
        let known = [
            "html": "text/html; charset=utf-8", "htm": "text/html; charset=utf-8", "css": "text/css; charset=utf-8",
            "js": "text/javascript; charset=utf-8", "txt": "text/plain; charset=utf-8", "json": "application/json",
            "png": "image/png", "jpg": "image/jpeg", "gif": "image/gif", "svg": "image/svg+xml",
            "pdf": "application/pdf",
        ]
        guard let dot = name.lastIndex(of: ".") else { return "application/octet-stream" }
        return known[name[name.index(after: dot)...].lowercased()] ?? "application/octet-stream"
    }

    private enum Asked {
        case all
        case outside
        case part(Range<Int>)
    }

    private func range(_ text: String, _ size: Int) -> Asked {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].lowercased() == "bytes" else { return .all }
        let ends = parts[1].split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, ends.allSatisfy({ $0.utf8.allSatisfy { (48...57).contains($0) } }) else { return .all }
        func number(_ digits: Substring) -> Int { Int(digits) ?? .max }
        switch (ends[0].isEmpty, ends[1].isEmpty) {
        case (true, true): return .all
        case (true, false):
            let count = number(ends[1])
            if count == 0 { return .outside }
            return size == 0 ? .all : .part(max(0, size - min(count, size))..<size)
        case (false, let isOpen):
            let first = number(ends[0])
            let last = isOpen ? Int.max : number(ends[1])
            if last < first { return .all }
            return first >= size ? .outside : .part(first..<min(last, size - 1) + 1)
        }
    }
}

/// Unreserved bytes stay, all others become %XX.
func percentEncoded(_ name: String) -> String {
    let unreserved = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~".utf8)
    return name.utf8.map { unreserved.contains($0) ? String(Unicode.Scalar($0)) : percentEncoded($0) }.joined()
}
