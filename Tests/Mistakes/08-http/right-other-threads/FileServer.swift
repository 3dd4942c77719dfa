// A thread for each client, and poll(2) with what is left of a deadline in front of everything that could wait.
import Course
import Foundation
import Sockets

func fileServer(host: String, port: UInt16, root: String) throws {
    guard let real = realpath(root, nil) else { throw SocketError("realpath", errno) }
    defer { free(real) }
    try serveForEver(host: host, port: port, FileAnswers(root: String(cString: real)))
}

// MARK: What is said

protocol Answering: AnyObject, Sendable {
    var keepsBodies: Bool { get }
    func answer(_ request: RequestHead, _ body: [UInt8]) -> ServerAnswer
}

struct ServerAnswer {
    var status: Int
    var fields: [HTTPField] = []
    var payload = Payload.nothing

    enum Payload {
        case nothing
        case memory([UInt8])
        case disk(DiskFile, from: Int, count: Int)
    }

    static func words(_ status: Int, _ fields: [HTTPField] = []) -> ServerAnswer {
        ServerAnswer(
            status: status, fields: fields + [HTTPField("Content-Type", "text/plain; charset=utf-8")],
            payload: .memory(Array("status \(status)\n".utf8)))
    }

    func head(keepsOpen: Bool) -> [UInt8] {
        var text = "HTTP/1.1 \(status) \(status < 400 ? "Fine" : "Sorry")\r\nDate: \(httpDate(time(nil)))\r\n"
        for field in fields { text += "\(field.name): \(field.value)\r\n" }
        if status != 204 && status != 304 {
            switch payload {
            case .nothing: text += "Content-Length: 0\r\n"
            case .memory(let bytes): text += "Content-Length: \(bytes.count)\r\n"
            case .disk(_, _, let count): text += "Content-Length: \(count)\r\n"
            }
        }
        if !keepsOpen { text += "Connection: close\r\n" }
        return Array((text + "\r\n").utf8)
    }
}

/// Closed when the last answer that needs it is gone.
final class DiskFile {
    let descriptor: Int32
    let status: stat

    init(_ descriptor: Int32, _ status: stat) { (self.descriptor, self.status) = (descriptor, status) }

    deinit { close(descriptor) }

    func read(_ count: Int, at offset: Int) -> [UInt8] {
        var piece = [UInt8](repeating: 0, count: count)
        while true {
            let got = pread(descriptor, &piece, count, off_t(offset))
            if got < 0 && errno == EINTR { continue }
            return Array(piece.prefix(max(0, got)))
        }
    }
}

// MARK: The threads

func serveForEver(host: String, port: UInt16, _ answers: any Answering) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0))
    defer { close(listener) }
    var yes: Int32 = 1
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size)))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))
    // A client needs a descriptor for itself and one for its file; some are left over.
    let most = sysconf(Int32(_SC_OPEN_MAX))
    let places = Places(most < 0 ? 1000 : min(1000, max(1, (most - 16) / 2)))
    while true {
        places.take()
        let connection = try nextConnection(listener)
        Thread.detachNewThread {
            var conversation = Conversation(connection, answers)
            conversation.run()
            close(connection)
            places.giveBack()
        }
    }
}

private func nextConnection(_ listener: Int32) throws -> Int32 {
    while true {
        let connection = accept4(listener, nil, nil, SOCK_CLOEXEC)
        if connection >= 0 { return connection }
        switch errno {
        case EINTR, ECONNABORTED, EPROTO, EAGAIN, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: _ = poll(nil, 0, 50)
        default: throw SocketError("accept4", errno)
        }
    }
}

private final class Places: @unchecked Sendable {
    private let condition = NSCondition()
    private var free: Int

    init(_ count: Int) { free = count }

    func take() {
        condition.lock()
        while free == 0 { condition.wait() }
        free -= 1
        condition.unlock()
    }

    func giveBack() {
        condition.lock()
        free += 1
        condition.signal()
        condition.unlock()
    }
}

private func clock() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}

// MARK: One client

private struct Conversation {
    private let connection: Int32
    private let answers: any Answering
    private var decoder = HTTPRequestDecoder(limits: RequestLimits())
    private var input = [UInt8](repeating: 0, count: 16_384)

    init(_ connection: Int32, _ answers: any Answering) {
        (self.connection, self.answers) = (connection, answers)
    }

    mutating func run() {
        var yes: Int32 = 1
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
        var request: RequestHead?
        var body: [UInt8] = []
        var deadline = clock() + Lesson08.clientTimeout
        while true {
            do {
                while let event = try decoder.next() {
                    switch event {
                    case .head(let head):
                        request = head
                        if head.minorVersion > 0 && head.fields.elements("Expect").contains("100-continue") {
                            guard deliver(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)) else { return }
                        }
                        deadline = clock() + Lesson08.clientTimeout
                    case .body(let piece):
                        if answers.keepsBodies { body += piece }
                    case .end:
                        guard let head = request else { return }
                        let keepsOpen = head.minorVersion > 0 && !head.fields.elements("Connection").contains("close")
                        guard reply(answers.answer(head, body), to: head.method, keepsOpen: keepsOpen) else { return }
                        guard keepsOpen else { return leave() }
                        (request, body) = (nil, [])
                        deadline = clock() + Lesson08.clientTimeout
                    }
                }
            } catch {
                let status = (error as? RequestRefused)?.status ?? 400
                if reply(.words(status), to: "GET", keepsOpen: false) { leave() }
                return
            }
            let count = receive(by: deadline)
            guard count > 0 else { return }
            decoder.feed(Array(input[..<count]))
            if decoder.isInBody { deadline = clock() + Lesson08.clientTimeout }
        }
    }

    private func reply(_ answer: ServerAnswer, to method: String, keepsOpen: Bool) -> Bool {
        var bytes = answer.head(keepsOpen: keepsOpen)
        if method == "HEAD" { return deliver(bytes) }
        switch answer.payload {
        case .nothing: return deliver(bytes)
        case .memory(let content): return deliver(bytes + content)
        case .disk(let file, var offset, var left):
            while left > 0 {
                let piece = file.read(min(left, 65_536), at: offset)
                // It is shorter than was promised. Only the end of the connection can say so.
                if piece.isEmpty { return false }
                guard deliver(bytes + piece) else { return false }
                bytes = []
                (offset, left) = (offset + piece.count, left - piece.count)
            }
            return deliver(bytes)
        }
    }

    /// - Returns: false if the client is gone, or takes nothing for too long.
    private func deliver(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        var patience = clock() + Lesson08.answerTimeout
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                send(connection, $0.baseAddress! + sent, $0.count - sent, MSG_DONTWAIT | MSG_NOSIGNAL)
            }
            if count >= 0 {
                sent += count
                patience = clock() + Lesson08.answerTimeout
            } else if errno == EAGAIN {
                guard wait(Int32(POLLOUT), by: patience) else {
                    var abort = linger(l_onoff: 1, l_linger: 0)
                    setsockopt(connection, SOL_SOCKET, SO_LINGER, &abort, socklen_t(MemoryLayout<linger>.size))
                    return false
                }
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }

    /// - Returns: how many bytes are in `input` now; 0 at the end, after an error, and when it is too late.
    private mutating func receive(by deadline: Int) -> Int {
        while wait(Int32(POLLIN), by: deadline) {
            let count = recv(connection, &input, input.count, MSG_DONTWAIT)
            if count >= 0 { return count }
            guard errno == EINTR || errno == EAGAIN else { return 0 }
        }
        return 0
    }

    private func wait(_ events: Int32, by deadline: Int) -> Bool {
        while true {
            let left = deadline - clock()
            if left <= 0 { return false }
            var entry = pollfd(fd: connection, events: Int16(events), revents: 0)
            let count = poll(&entry, 1, Int32(clamping: left))
            if count > 0 { return true }
            if count < 0 && errno != EINTR { return false }
        }
    }

    /// The last answer must not be lost in a reset: say that there is no more, and let the client say so, too.
    private mutating func leave() {
        guard shutdown(connection, SHUT_WR) == 0 else { return }
        let deadline = clock() + 2000
        while receive(by: deadline) > 0 {}
    }
}

// MARK: Files

private final class FileAnswers: Answering, @unchecked Sendable {
    let keepsBodies = false
    private let root: String

    init(root: String) { self.root = root }

    func answer(_ request: RequestHead, _ body: [UInt8]) -> ServerAnswer {
        let allow = HTTPField("Allow", "GET, HEAD, OPTIONS")
        if request.method == "OPTIONS" { return ServerAnswer(status: 204, fields: [allow]) }
        guard request.method == "GET" || request.method == "HEAD" else { return .words(405, [allow]) }
        guard let names = pathNames(target: request.target) else { return .words(400) }
        let path = request.target.utf8.prefix { $0 != UInt8(ascii: "?") }
        // `http://host` alone is `/`.
        let wantsFolder = path.last == UInt8(ascii: "/") || names.isEmpty
        switch look(for: names) {
        case .folder:
            guard wantsFolder else {
                let query = request.target.utf8.drop { $0 != UInt8(ascii: "?") }
                let place = "/" + names.map { percentEncoded($0) + "/" }.joined()
                return .words(301, [HTTPField("Location", place + String(decoding: Array(query), as: UTF8.self))])
            }
            guard case .file(let page) = look(for: names + ["index.html"]) else { return .words(404) }
            return content(page, "index.html", request)
        case .file(let file): return wantsFolder ? .words(404) : content(file, names[names.count - 1], request)
        case .no(let status): return .words(status)
        }
    }

    private enum Found {
        case file(DiskFile)
        case folder
        case no(Int)
    }

    private func look(for names: [String]) -> Found {
        guard let found = realpath(root + "/" + names.joined(separator: "/"), nil) else {
            return .no(errno == EACCES ? 403 : 404)
        }
        defer { free(found) }
        let place = String(cString: found)
        guard isInside(place) else { return .no(404) }
        let descriptor = open(place, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { return .no(errno == EACCES ? 403 : 404) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            return status.st_mode & S_IFMT == S_IFDIR ? .folder : .no(404)
        }
        return .file(DiskFile(descriptor, status))
    }

    private func isInside(_ place: String) -> Bool {
        let wall = root == "/" ? "/" : root + "/"
        return place == root || place.utf8.starts(with: wall.utf8)
    }

    private func content(_ file: DiskFile, _ name: String, _ request: RequestHead) -> ServerAnswer {
        let size = Int(file.status.st_size)
        let changed = min(modificationTime(file.status), time(nil))
        let date = HTTPField("Last-Modified", httpDate(changed))
        if request.fields["If-None-Match"] == nil,
            let since = request.fields["If-Modified-Since"].flatMap({ httpDate($0) }),
            changed <= since
        {
            return ServerAnswer(status: 304, fields: [date])
        }
        let fields = [HTTPField("Content-Type", mediaType(name)), date, HTTPField("Accept-Ranges", "bytes")]
        let whole = ServerAnswer(status: 200, fields: fields, payload: .disk(file, from: 0, count: size))
        guard request.method == "GET", let wanted = request.fields["Range"], request.fields["If-Range"] == nil,
            let (first, last) = byteRange(wanted, size)
        else { return whole }
        if first > last { return .words(416, [HTTPField("Content-Range", "bytes */\(size)")]) }
        return ServerAnswer(
            status: 206, fields: fields + [HTTPField("Content-Range", "bytes \(first)-\(last)/\(size)")],
            payload: .disk(file, from: first, count: last - first + 1))
    }
}

/// - Returns: nil if it is no range; the first after the last if nothing is there.
private func byteRange(_ text: String, _ size: Int) -> (Int, Int)? {
    let parts = text.split(separator: "=", omittingEmptySubsequences: false)
    guard parts.count == 2, parts[0].lowercased() == "bytes", size > 0 || !parts[1].hasPrefix("-") else { return nil }
    let ends = parts[1].split(separator: "-", omittingEmptySubsequences: false)
    guard ends.count == 2, ends.allSatisfy({ $0.utf8.allSatisfy { $0 >= 48 && $0 <= 57 } }) else { return nil }
    func number(_ digits: Substring) -> Int? { digits.isEmpty ? nil : Int(digits) ?? .max }
    switch (number(ends[0]), number(ends[1])) {
    case (nil, nil): return nil
    case (nil, let count?): return count == 0 ? (1, 0) : (max(0, size - count), size - 1)
    case (let first?, nil): return first >= size ? (1, 0) : (first, size - 1)
    case (let first?, let last?):
        if last < first { return nil }
        return first >= size ? (1, 0) : (first, min(last, size - 1))
    }
}

private func mediaType(_ name: String) -> String {
    let types = [
        "html": "text/html; charset=utf-8", "htm": "text/html; charset=utf-8", "css": "text/css; charset=utf-8",
        "js": "text/javascript; charset=utf-8", "txt": "text/plain; charset=utf-8", "json": "application/json",
        "png": "image/png", "jpg": "image/jpeg", "gif": "image/gif", "svg": "image/svg+xml", "pdf": "application/pdf",
    ]
    guard let dot = name.lastIndex(of: ".") else { return "application/octet-stream" }
    return types[name[dot...].dropFirst().lowercased()] ?? "application/octet-stream"
}

func percentEncoded(_ name: String) -> String {
    let plain = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~".utf8)
    return name.utf8.map { plain.contains($0) ? String(UnicodeScalar($0)) : percentEncoded($0) }.joined()
}
