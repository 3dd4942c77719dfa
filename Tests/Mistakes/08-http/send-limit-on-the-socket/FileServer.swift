// A process for each client, blocking calls, sendfile.
import Course
import Sockets

func fileServer(host: String, port: UInt16, root: String) throws {
    let listener = try listen(host: host, port: port)
    defer { close(listener) }
    signal(SIGCHLD, SIG_IGN)  // nobody asks how a child ended: the kernel forgets it
    while true {
        let client = accept(listener, nil, nil)
        if client == -1 {
            let code = errno
            switch code {
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, EPERM, EAGAIN: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: poll(nil, 0, 100)
            default: throw SocketError("accept", code)
            }
            continue
        }
        if forkProcess() == 0 {
            close(listener)
            signal(SIGPIPE, SIG_IGN)  // sendfile has no MSG_NOSIGNAL
            var limit = timeval(tv_sec: Lesson08.answerTimeout / 1000, tv_usec: 0)
            setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            serve(client, root: root)
            close(client)
            _exit(0)
        }
        close(client)
    }
}

/// From the first byte to the last.
private func serve(_ client: Int32, root: String) {
    var decoder = HTTPRequestDecoder(limits: RequestLimits())
    var buffer = [UInt8](repeating: 0, count: 65536)
    var deadline = now() + Lesson08.clientTimeout
    var current: RequestHead?
    while true {
        do {
            while let event = try decoder.next() {
                switch event {
                case .head(let head):
                    current = head
                    deadline = now() + Lesson08.clientTimeout
                    if head.wantsContinue, !send(client, Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)) { return }
                case .body:
                    break
                case .end:
                    guard let request = current else { return }
                    current = nil
                    guard answer(client, request, root) else { return }
                    if request.wantsClose { return leave(client, &buffer) }
                    deadline = now() + Lesson08.clientTimeout
                }
            }
        } catch {
            let status = (error as? RequestRefused)?.status ?? 400
            _ = send(client, page(status, [], head: false, close: true))
            return leave(client, &buffer)
        }
        let count = receive(client, &buffer, until: deadline)
        if count <= 0 { return }
        decoder.feed(Array(buffer[..<count]))
        if current != nil { deadline = now() + Lesson08.clientTimeout }
    }
}

/// Says that nothing more comes, and takes what is still on the way: closed with bytes unread, the answer could be lost.
private func leave(_ client: Int32, _ buffer: inout [UInt8]) {
    shutdown(client, SHUT_WR)
    let deadline = now() + 1000
    while receive(client, &buffer, until: deadline) > 0 {}
}

private func receive(_ client: Int32, _ buffer: inout [UInt8], until deadline: Int) -> Int {
    while true {
        var waiting = pollfd(fd: client, events: Int16(POLLIN), revents: 0)
        let left = deadline - now()
        if left <= 0 { return -1 }
        let ready = poll(&waiting, 1, Int32(left))
        if ready == -1 && errno == EINTR { continue }
        if ready <= 0 { return -1 }
        let count = recv(client, &buffer, buffer.count, 0)
        if count == -1 && (errno == EINTR || errno == EAGAIN) { continue }
        return count
    }
}

private func send(_ client: Int32, _ bytes: [UInt8], more: Bool = false) -> Bool {
    var sent = 0
    while sent < bytes.count {
        let count = bytes.withUnsafeBytes {
            Sockets.send(
                client, $0.baseAddress! + sent, bytes.count - sent, more ? MSG_MORE | MSG_NOSIGNAL : MSG_NOSIGNAL)
        }
        if count == -1 && errno == EINTR { continue }
        if count <= 0 { return false }
        sent += count
    }
    return true
}

private func page(_ status: Int, _ fields: [(String, String)], head only: Bool, close: Bool) -> [UInt8] {
    let text = Array("\(status) \(reasons[status] ?? "")\n".utf8)
    let fields = fields + [("Content-Type", "text/plain; charset=utf-8")]
    return head(status, fields, length: text.count, close: close) + (only ? [] : text)
}

/// Returns false if the connection cannot go on.
private func answer(_ client: Int32, _ request: RequestHead, _ root: String) -> Bool {
    let close = request.wantsClose
    let only = request.method == "HEAD"
    let allow = [("Allow", "GET, HEAD, OPTIONS")]
    if request.method == "OPTIONS" { return send(client, head(204, allow, length: nil, close: close)) }
    guard only || request.method == "GET" else { return send(client, page(405, allow, head: false, close: close)) }
    guard var names = pathNames(target: request.target) else {
        return send(client, page(400, [], head: only, close: close))
    }
    let path = request.target.prefix { $0 != "?" }

    var file = openBelow(root, names)
    defer { if file != -1 { Sockets.close(file) } }
    var about = stat()
    if file != -1, fstat(file, &about) == 0, about.st_mode & S_IFMT == S_IFDIR {
        if !names.isEmpty, !path.hasSuffix("/") {
            let place = "/" + names.map { escaped($0) + "/" }.joined()
            return send(client, page(301, [("Location", place)], head: only, close: close))
        }
        Sockets.close(file)
        names.append("index.html")
        file = openBelow(root, names)
    } else if path.hasSuffix("/") {
        return send(client, page(404, [], head: only, close: close))
    }
    guard file != -1, fstat(file, &about) == 0, about.st_mode & S_IFMT == S_IFREG else {
        return send(client, page(404, [], head: only, close: close))
    }

    let modified = about.st_mtim.tv_sec
    if let text = request.first("if-modified-since"), let since = httpDate(text), modified <= since {
        return send(client, head(304, [("Last-Modified", httpDate(modified))], length: nil, close: close))
    }
    let size = Int(about.st_size)
    var fields = [("Content-Type", type(of: names.last ?? "")), ("Last-Modified", httpDate(modified))]
    var (status, start, end) = (200, 0, size)
    if !only, request.first("if-range") == nil, let text = request.first("range") {
        switch range(text, size) {
        case .all: break
        case .none:
            return send(client, page(416, [("Content-Range", "bytes */\(size)")], head: false, close: close))
        case .some(let first, let last):
            (status, start, end) = (206, first, last + 1)
            fields.append(("Content-Range", "bytes \(first)-\(last)/\(size)"))
        }
    }
    let top = head(status, fields, length: end - start, close: close)
    guard send(client, top, more: !only && end > start) else { return false }
    if only { return true }
    var offset = off_t(start)
    while offset < end {
        let count = sendfile(client, file, &offset, min(end - Int(offset), 1 << 20))
        if count == -1 && errno == EINTR { continue }
        if count <= 0 { return false }
    }
    return true
}

/// No step follows a link, so none leaves the root. -1 if there is no such thing.
private func openBelow(_ root: String, _ names: [String]) -> Int32 {
    var here = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    for name in names where here != -1 {
        let next = openat(here, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        close(here)
        here = next
    }
    return here
}

private func escaped(_ name: String) -> String {
    name.utf8.map { byte in
        isTokenByte(byte) && byte != 37
            ? String(UnicodeScalar(byte)) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }.joined()
}

private func type(of name: String) -> String {
    switch name.lowercased().split(separator: ".", omittingEmptySubsequences: false).dropFirst().last {
    case "html", "htm": return "text/html; charset=utf-8"
    case "css": return "text/css; charset=utf-8"
    case "js": return "text/javascript; charset=utf-8"
    case "txt": return "text/plain; charset=utf-8"
    case "json": return "application/json"
    case "png": return "image/png"
    case "jpg": return "image/jpeg"
    case "gif": return "image/gif"
    case "svg": return "image/svg+xml"
    case "pdf": return "application/pdf"
    default: return "application/octet-stream"
    }
}

private enum Part {
    case all, none
    case some(Int, Int)
}

private func range(_ text: String, _ size: Int) -> Part {
    guard text.lowercased().hasPrefix("bytes=") else { return .all }
    let ends = text.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
    guard ends.count == 2, ends.allSatisfy({ $0.utf8.allSatisfy { (48...57).contains($0) } }) else { return .all }
    let numbers = ends.map { $0.isEmpty ? nil : Int($0) ?? Int.max }
    switch (numbers[0], numbers[1]) {
    case (nil, nil): return .all
    case (nil, let count?): return count == 0 || size == 0 ? .none : .some(max(0, size - min(count, size)), size - 1)
    case (let first?, let last):
        if let last, last < first { return .all }
        return first >= size ? .none : .some(first, min(last ?? size, size - 1))
    }
}
func percentEncoded(_ name: String) -> String { escaped(name) }
