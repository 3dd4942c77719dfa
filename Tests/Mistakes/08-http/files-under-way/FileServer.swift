import Course
import Sockets

func fileServer(host: String, port: UInt16, root: String) throws {
    let shelf = Shelf(folder: try Folder(root))
    let listener = try makeListener(host, port)
    defer { close(listener) }
    while true {
        let session = Session(try nextClient(listener), shelf)
        _ = startThread { session.run() }
    }
}

private func startThread(_ work: @escaping () -> Void) -> Bool {
    final class Box {
        let work: () -> Void
        init(_ work: @escaping () -> Void) { self.work = work }
    }
    let box = Unmanaged.passRetained(Box(work))
    var id = pthread_t()
    guard
        pthread_create(
            &id, nil,
            { raw in
                Unmanaged<Box>.fromOpaque(raw!).takeRetainedValue().work()
                return nil
            }, box.toOpaque()) == 0
    else {
        box.release()
        return false
    }
    pthread_detach(id)
    return true
}

private func clock() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

private func makeListener(_ host: String, _ port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    var on: Int32 = 1
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    do {
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
    } catch {
        close(listener)
        throw error
    }
    return listener
}

/// The next client, however long it takes.
private func nextClient(_ listener: Int32) throws -> Int32 {
    while true {
        let client = accept(listener, nil, nil)
        if client >= 0 { return client }
        switch errno {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: usleep(30_000)
        case EBADF, EINVAL, ENOTSOCK, EOPNOTSUPP, EFAULT: throw SocketError("accept", errno)
        default: continue
        }
    }
}

/// One client. It owns the descriptor.
private final class Session {
    private let client: Int32
    private let shelf: Shelf
    private var decoder = HTTPRequestDecoder(limits: RequestLimits())
    private var current: RequestHead?
    private var deadline = clock() + Lesson08.clientTimeout

    init(_ client: Int32, _ shelf: Shelf) {
        (self.client, self.shelf) = (client, shelf)
        var on: Int32 = 1
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    deinit { close(client) }

    private enum Over: Error {
        case politely
        case atOnce
    }

    func run() {
        do {
            while true {
                while let event = try next() { try handle(event) }
                try receive()
            }
        } catch Over.politely {
            partings()
        } catch {
            // Only this client is concerned: its connection is closed.
        }
    }

    private func next() throws -> RequestEvent? {
        do { return try decoder.next() } catch let refusal as RequestRefused {
            try reply(.plain(refusal.status), to: nil, last: true)
            return nil
        }
    }

    private func handle(_ event: RequestEvent) throws {
        switch event {
        case .head(let head):
            current = head
            deadline = clock() + Lesson08.clientTimeout
            if head.minorVersion > 0, head.fields.elements("Expect").contains("100-continue") {
                try push(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8))
            }
        case .body: break
        case .end:
            guard let head = current else { return }
            current = nil
            let last = head.minorVersion == 0 || head.fields.elements("Connection").contains("close")
            try reply(shelf.answer(head), to: head, last: last)
            deadline = clock() + Lesson08.clientTimeout
        }
    }

    private func receive() throws {
        guard wait(Int32(POLLIN), until: deadline) else {
            if current != nil || decoder.isInHead { try reply(.plain(408), to: nil, last: true) }
            throw Over.politely
        }
        var bytes = [UInt8](repeating: 0, count: 16_384)
        let count = recv(client, &bytes, bytes.count, MSG_DONTWAIT)
        let code = errno
        if count > 0 {
            decoder.feed(bytes[..<count])
            if current != nil { deadline = clock() + Lesson08.clientTimeout }
        } else if count == 0 || code != EINTR && code != EAGAIN {
            throw Over.atOnce
        }
    }

    private func reply(_ reply: Reply, to head: RequestHead?, last: Bool) throws {
        var output: [UInt8] = []
        reply.appendHead(to: &output, date: httpDate(time(nil)), connection: last ? "close" : nil)
        var body: (file: OpenFile, from: Int, end: Int)?
        if head?.method != "HEAD" {
            switch reply.content {
            case .none: break
            case .bytes(let bytes): output += bytes
            case .file(let file, let from, let count):
                body = (file, from, from + count)
                shelf.underWay.begin(file)
            }
        }
        while let (file, from, end) = body, from < end {
            guard let piece = file.read(min(65_536, end - from), from: from) else { throw Over.atOnce }
            if piece.isEmpty { throw Over.atOnce }
            output += piece
            body = (file, from + piece.count, end)
            try push(output)
            output.removeAll(keepingCapacity: true)
        }
        try push(output)
        if let body { shelf.underWay.end(body.file) }
        if last { throw Over.politely }
    }

    private func push(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(client, $0.baseAddress, $0.count, MSG_DONTWAIT | MSG_NOSIGNAL) }
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN {
                guard wait(Int32(POLLOUT), until: clock() + Lesson08.answerTimeout) else { throw Over.atOnce }
            } else if errno != EINTR {
                throw Over.atOnce
            }
        }
    }

    private func wait(_ events: Int32, until end: Int) -> Bool {
        while true {
            var entry = pollfd(fd: client, events: Int16(events), revents: 0)
            let ready = poll(&entry, 1, Int32(max(0, end - clock())))
            if ready > 0 { return true }
            if ready == 0 || errno != EINTR { return false }
        }
    }

    private func partings() {
        guard shutdown(client, Int32(SHUT_WR)) == 0 else { return }
        let end = clock() + Lesson08.clientTimeout
        var waste = [UInt8](repeating: 0, count: 65_536)
        while clock() < end, wait(Int32(POLLIN), until: end) {
            let count = recv(client, &waste, waste.count, MSG_DONTWAIT)
            if count == 0 || count < 0 && errno != EINTR && errno != EAGAIN { return }
        }
    }
}

// MARK: - What is given out

/// The files that are being sent.
private final class UnderWay: @unchecked Sendable {
    private var lock = pthread_mutex_t()
    private var files: [ObjectIdentifier: OpenFile] = [:]

    init() { pthread_mutex_init(&lock, nil) }

    func begin(_ file: OpenFile) {
        pthread_mutex_lock(&lock)
        files[ObjectIdentifier(file)] = file
        pthread_mutex_unlock(&lock)
    }

    func end(_ file: OpenFile) {
        pthread_mutex_lock(&lock)
        files[ObjectIdentifier(file)] = nil
        pthread_mutex_unlock(&lock)
    }
}

private struct Shelf {
    let folder: Folder
    let underWay = UnderWay()

    func answer(_ request: RequestHead) -> Reply {
        let allow = HTTPField("Allow", "GET, HEAD, OPTIONS")
        if request.method == "OPTIONS" { return Reply(status: 204, fields: [allow]) }
        guard request.method == "GET" || request.method == "HEAD" else { return .plain(405, [allow]) }
        guard let names = pathNames(target: request.target), let asked = path(of: request.target) else {
            return .plain(400)
        }
        let endsInSlash = asked.isEmpty || asked.last == UInt8(ascii: "/")
        switch folder.find(names) {
        case .folder where endsInSlash:
            if case .file(let page) = folder.find(names + ["index.html"]) { return show(page, "index.html", request) }
            return .plain(404)
        case .folder:
            let place = names.reduce("/") { $0 + percentEncoded($1) + "/" }
            let query = request.target.firstIndex(of: "?").map { request.target[$0...] } ?? ""
            return .plain(301, [HTTPField("Location", place + query)])
        case .file(let file): return endsInSlash ? .plain(404) : show(file, names.last ?? "", request)
        case .forbidden: return .plain(403)
        case .nothing: return .plain(404)
        case .noRoom: return .plain(503)
        }
    }

    private func show(_ file: OpenFile, _ name: String, _ request: RequestHead) -> Reply {
        let stamp = HTTPField("Last-Modified", httpDate(file.modified))
        if let text = request.fields["If-Modified-Since"], let since = httpDate(text), file.modified <= since,
            request.fields["If-None-Match"] == nil
        {
            return Reply(status: 304, fields: [stamp])
        }
        let type = HTTPField("Content-Type", mediaType(name))
        if request.method == "GET", let wanted = request.fields["Range"], request.fields["If-Range"] == nil {
            switch parseRange(wanted, size: file.size) {
            case .whole: break
            case .none: return .plain(416, [HTTPField("Content-Range", "bytes */\(file.size)")])
            case .part(let part):
                let range = HTTPField(
                    "Content-Range", "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(file.size)")
                return Reply(
                    status: 206, fields: [type, stamp, range],
                    content: .file(file, from: part.lowerBound, count: part.count))
            }
        }
        return Reply(status: 200, fields: [type, stamp], content: .file(file, from: 0, count: file.size))
    }
}

private func mediaType(_ name: String) -> String {
    let ends: [(String, String)] = [
        (".html", "text/html; charset=utf-8"), (".htm", "text/html; charset=utf-8"),
        (".css", "text/css; charset=utf-8"), (".js", "text/javascript; charset=utf-8"),
        (".txt", "text/plain; charset=utf-8"), (".json", "application/json"), (".png", "image/png"),
        (".jpg", "image/jpeg"), (".gif", "image/gif"), (".svg", "image/svg+xml"), (".pdf", "application/pdf"),
    ]
    let bytes = name.utf8.map(lowercase)
    return ends.first { bytes.count >= $0.0.utf8.count && bytes.suffix($0.0.utf8.count).elementsEqual($0.0.utf8) }?.1
        ?? "application/octet-stream"
}

enum RequestedRange: Equatable {
    case whole
    case part(Range<Int>)
    case none
}

/// `bytes=0-99`, `bytes=100-`, `bytes=-100`.
func parseRange(_ text: String, size: Int) -> RequestedRange {
    guard text.lowercased().hasPrefix("bytes=") else { return .whole }
    let ends = text.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
    guard ends.count == 2, ends.allSatisfy({ $0.utf8.allSatisfy { $0 >= 48 && $0 <= 57 } }) else { return .whole }
    func number(_ digits: Substring) -> Int { Int(digits) ?? .max }
    if ends[0].isEmpty {
        if ends[1].isEmpty { return .whole }
        let count = number(ends[1])
        if count == 0 { return .none }
        return size == 0 ? .whole : .part(max(0, size - count)..<size)
    }
    let first = number(ends[0])
    let last = ends[1].isEmpty ? Int.max : number(ends[1])
    if last < first { return .whole }
    return first < size ? .part(first..<min(last, size - 1) + 1) : .none
}

/// A name as it stands in a URL.
func percentEncoded(_ name: String) -> String {
    var result = ""
    for byte in name.utf8 {
        let isPlain = byte >= 48 && byte <= 57 || byte >= 65 && byte <= 90 || byte >= 97 && byte <= 122
        if isPlain || "-._~".utf8.contains(byte) {
            result.unicodeScalars.append(Unicode.Scalar(byte))
        } else {
            result += percentEncoded(byte)
        }
    }
    return result
}
