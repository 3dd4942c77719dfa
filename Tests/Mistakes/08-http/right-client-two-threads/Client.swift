// Blocking sockets. What is large is sent by a second thread, so that the first can receive meanwhile.
import Course
import Foundation
import Sockets

struct Client: HTTPClient {
    let options: ClientOptions
    private var kept: [String: Connection] = [:]

    init(options: ClientOptions) {
        self.options = options
    }

    mutating func send(_ request: ClientRequest, body: ([UInt8]) throws -> Void) throws -> ClientResponse {
        var url = try Address(request.url)
        var name = request.url
        var method = request.method
        var content: [UInt8]?
        var fields = request.fields
        let own = ["content-length", "transfer-encoding", "connection"]
        func complain(_ field: HTTPField) throws {
            let control = field.value.utf8.contains { $0 < 32 && $0 != 9 || $0 == 127 }
            if control || !isToken(Array(field.name.utf8)) || own.contains(field.name.lowercased()) {
                throw ClientError.badField
            }
        }
        guard isToken(Array(method.utf8)) else { throw ClientError.badField }
        var type: String?
        switch request.body {
        case .none: break
        case .form(let pairs):
            content = Array(pairs.map { form($0.name) + "=" + form($0.value) }.joined(separator: "&").utf8)
            type = "application/x-www-form-urlencoded"
        case .json(let bytes): (content, type) = (bytes, "application/json")
        case .bytes(let bytes, let its): (content, type) = (bytes, its)
        }
        if let type, !fields.contains(where: { $0.name.lowercased() == "content-type" }) {
            fields.append(HTTPField("Content-Type", type))
        }
        for field in fields { try complain(field) }

        var followed = 0
        while true {
            var attempt = 1
            var wait = options.backOff
            var leads: (status: Int, place: String)?
            repeats: while true {
                let mayRepeat = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].contains(method)
                let again = mayRepeat && attempt < options.attempts
                var pause = min(wait, options.longestWait)
                pause = min(pause + Int.random(in: 0...pause), options.longestWait)
                do {
                    let message = compose(method, url, fields, content)
                    let connection = try exchange(message, method, url, mayRepeat: mayRepeat)
                    let answer = connection.answer
                    let location = answer.first("location")
                    let redirect =
                        [301, 302, 303, 307, 308].contains(answer.status) && location != nil && options.redirects > 0
                    var later = again && [429, 500, 502, 503, 504].contains(answer.status)
                    if later, let text = answer.first("retry-after") {
                        if text.utf8.allSatisfy({ (48...57).contains($0) }), !text.isEmpty {
                            pause = (Int(text).map { $0 > 1 << 40 ? 1 << 40 : $0 } ?? 1 << 40) * 1000
                            later = pause <= options.longestWait
                        } else if let date = seconds(httpDate: text) {
                            let milliseconds = Int(Date().timeIntervalSince1970 * 1000)
                            pause = max(0, date * 1000 - milliseconds)
                            later = pause <= options.longestWait
                        }
                    }
                    if redirect || later {
                        // Nobody's body: a short one is read, so that the connection can be used again.
                        if let length = connection.length(), length <= 65536,
                            (try? connection.body(limit: length, to: { _ in })) != nil
                        {
                            keep(connection, url)
                        }
                        connection.finish()
                        if redirect {
                            leads = (answer.status, location ?? "")
                            break repeats
                        }
                    } else {
                        defer { connection.finish() }
                        try connection.body(limit: options.bodyLimit, to: body)
                        keep(connection, url)
                        return ClientResponse(
                            status: answer.status, reason: answer.reason, fields: answer.fields, url: name)
                    }
                } catch ClientError.cannotConnect(let code) {
                    guard again, code != ETIMEDOUT else { throw ClientError.cannotConnect(code: code) }
                } catch is BeforeHead {
                    guard again else { throw ClientError.cutShort }
                }
                let end = now() + pause
                while now() < end { poll(nil, 0, Int32(end - now() > 0 ? end - now() : 0)) }
                attempt += 1
                wait = min(wait * 2, options.longestWait)
            }

            followed += 1
            if followed > options.redirects { throw ClientError.tooManyRedirects }
            guard let (status, place) = leads else { throw ClientError.badResponse }
            let before = url
            name = resolve(place, from: url)
            url = try Address(name)
            if (status == 303 && method != "HEAD" && method != "GET")
                || ((status == 301 || status == 302) && method == "POST")
            {
                (method, content) = ("GET", nil)
                fields.removeAll { $0.name.lowercased().hasPrefix("content-") }
            }
            if url.key != before.key {
                fields.removeAll { ["authorization", "cookie", "host"].contains($0.name.lowercased()) }
            }
        }
    }

    private func compose(_ method: String, _ url: Address, _ fields: [HTTPField], _ content: [UInt8]?) -> [UInt8] {
        var text = "\(method) \(url.target) HTTP/1.1\r\n"
        if !fields.contains(where: { $0.name.lowercased() == "host" }) { text += "Host: \(url.authority)\r\n" }
        for field in fields { text += "\(field.name): \(field.value)\r\n" }
        if let content {
            text += "Content-Length: \(content.count)\r\n"
        } else if ["POST", "PUT", "PATCH"].contains(method) {
            text += "Content-Length: 0\r\n"
        }
        return Array((text + "\r\n").utf8) + (content ?? [])
    }

    /// Sends the message and receives the head of the answer.
    private mutating func exchange(
        _ message: [UInt8], _ method: String, _ url: Address, mayRepeat: Bool
    ) throws -> Connection {
        if let old = kept.removeValue(forKey: url.key), old.isAlive {
            do {
                try old.ask(message, method, options)
                return old
            } catch let early as BeforeHead {
                old.finish()
                guard mayRepeat, !early.hadBytes else { throw early }
            } catch {
                old.finish()
                throw error
            }
        }
        let connection = Connection(try url.connect(options))
        do {
            try connection.ask(message, method, options)
        } catch {
            connection.finish()
            throw error
        }
        return connection
    }

    private mutating func keep(_ connection: Connection, _ url: Address) {
        if connection.canStay { kept[url.key] = connection }
    }
}

/// The connection broke before the head of the answer was complete.
private struct BeforeHead: Error { var hadBytes: Bool }

private struct Received {
    var minor = 1
    var status = 0
    var reason = ""
    var fields: [HTTPField] = []

    func all(_ name: String) -> [String] { fields.filter { $0.name.lowercased() == name }.map(\.value) }
    func first(_ name: String) -> String? { all(name).first }
    func lists(_ token: String) -> Bool {
        all("connection").joined(separator: ",").lowercased().split(separator: ",").contains {
            $0.trimmingCharacters(in: .whitespaces) == token
        }
    }
}

/// Owns a descriptor. One request at a time.
private final class Connection {
    private let socket: Int32
    private(set) var answer = Received()
    private var options = ClientOptions()
    private var method = ""
    private var buffer: [UInt8] = []
    private var start = 0
    private var untilEnd = 0
    private var complete = false
    private let lock = NSLock()
    private var lastProgress = 0
    private var sending = false
    private let sent = DispatchSemaphore(value: 0)
    private var sender: Thread?
    private var sentAll = true

    init(_ socket: Int32) { self.socket = socket }
    deinit { close(socket) }

    var isAlive: Bool {
        var byte: UInt8 = 0
        return recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == -1 && (errno == EAGAIN || errno == EINTR)
    }

    var canStay: Bool {
        lock.lock()
        defer { lock.unlock() }
        guard complete, start == buffer.count, !sending, sentAll, length() != nil else { return false }
        return !answer.lists("close") && (answer.minor > 0 || answer.lists("keep-alive"))
    }

    /// Ends the sending thread, if it is still at it.
    func finish() {
        guard sender != nil else { return }
        lock.lock()
        let busy = sending
        lock.unlock()
        if busy { shutdown(socket, Int32(SHUT_RDWR)) }
        sent.wait()
        sender = nil
    }

    func ask(_ message: [UInt8], _ method: String, _ options: ClientOptions) throws {
        self.options = options
        self.method = method
        lastProgress = now()
        untilEnd = now() + options.totalTimeout
        (complete, answer) = (false, Received())
        (buffer, start) = ([], 0)
        sending = true
        sentAll = false
        if message.count > 8192 {
            let thread = Thread { [unowned self] in
                put(message)
                sent.signal()
            }
            sender = thread
            thread.start()
        } else {
            put(message)
        }
        do {
            try head()
        } catch ClientError.cutShort {
            throw BeforeHead(hadBytes: !buffer.isEmpty)
        }
    }

    private func put(_ message: [UInt8]) {
        var position = 0
        while position < message.count {
            let count = message.withUnsafeBytes {
                Sockets.send(socket, $0.baseAddress! + position, min(16384, message.count - position), MSG_NOSIGNAL)
            }
            if count == -1 && errno == EINTR { continue }
            if count <= 0 { break }
            position += count
            lock.lock()
            lastProgress = now()
            lock.unlock()
        }
        lock.lock()
        sending = false
        sentAll = position == message.count
        lock.unlock()
    }

    /// What comes next; empty at the end of the stream.
    private func receive() throws -> [UInt8] {
        while true {
            lock.lock()
            let end = min(lastProgress + options.timeout, untilEnd)
            lock.unlock()
            let left = end - now()
            guard left > 0 else { throw ClientError.timedOut }
            var waiting = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            let ready = poll(&waiting, 1, Int32(min(left, 1_000_000)))
            if ready == -1 && errno != EINTR { throw ClientError.cutShort }
            if ready <= 0 { continue }
            var bytes = [UInt8](repeating: 0, count: 65536)
            let count = recv(socket, &bytes, bytes.count, 0)
            if count == -1 && errno == EINTR { continue }
            guard count >= 0 else { throw ClientError.cutShort }
            lock.lock()
            lastProgress = now()
            lock.unlock()
            return Array(bytes[..<count])
        }
    }

    private func more() throws {
        let bytes = try receive()
        guard !bytes.isEmpty else { throw ClientError.cutShort }
        buffer.removeFirst(start)
        start = 0
        buffer += bytes
    }

    /// A line without its CR LF; `used` counts towards headLimit.
    private func line(_ used: inout Int) throws -> [UInt8] {
        var searched = 0
        while true {
            if let end = buffer[(start + searched)...].firstIndex(of: 10) {
                let line = buffer[start..<end]
                used += line.count + 1
                guard used <= options.headLimit else { throw ClientError.tooLong }
                guard line.last == 13 else { throw ClientError.badResponse }
                start = end + 1
                return Array(line.dropLast())
            }
            searched = buffer.count - start
            guard used + searched <= options.headLimit else { throw ClientError.tooLong }
            try more()
        }
    }

    private func fields(_ used: inout Int) throws -> [HTTPField] {
        var fields: [HTTPField] = []
        while true {
            let line = try line(&used)
            if line.isEmpty { return fields }
            guard let colon = line.firstIndex(of: 58), isToken(Array(line[..<colon])),
                !line.contains(where: { $0 < 32 && $0 != 9 || $0 == 127 })
            else { throw ClientError.badResponse }
            let value = String(decoding: line[(colon + 1)...], as: UTF8.self)
            fields.append(
                HTTPField(
                    String(decoding: line[..<colon], as: UTF8.self),
                    value.trimmingCharacters(in: CharacterSet(charactersIn: " \t"))))
        }
    }

    private func head() throws {
        for _ in 0..<20 {
            var used = 0
            let first = try line(&used)
            let text = Array("HTTP/1.".utf8)
            guard first.count >= 12, first.starts(with: text), (48...57).contains(first[7]), first[8] == 32,
                first[9...11].allSatisfy({ (48...57).contains($0) }), first.count == 12 || first[12] == 32,
                !first.contains(where: { $0 < 32 && $0 != 9 || $0 == 127 })
            else { throw ClientError.badResponse }
            let status = first[9...11].reduce(0) { $0 * 10 + Int($1) - 48 }
            guard status >= 100, status != 101 else { throw ClientError.badResponse }
            let fields = try fields(&used)
            if status < 200 { continue }
            answer = Received(
                minor: Int(first[7]) - 48, status: status, reason: String(decoding: first.dropFirst(13), as: UTF8.self),
                fields: fields)
            let lengths = answer.all("content-length")
            let codings = answer.all("transfer-encoding")
            guard lengths.isEmpty || codings.isEmpty, Set(lengths).count <= 1,
                codings.isEmpty || codings.map({ $0.lowercased() }) == ["chunked"],
                lengths.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (48...57).contains($0) } })
            else { throw ClientError.badResponse }
            return
        }
        throw ClientError.badResponse
    }

    /// How long the body is: Int.max for chunks; nil if only its end tells.
    func length() -> Int? {
        if method == "HEAD" || answer.status == 204 || answer.status == 304 { return 0 }
        if !answer.all("transfer-encoding").isEmpty { return .max }
        return answer.first("content-length").map { Int($0) ?? .max }
    }

    func body(limit: Int, to closure: ([UInt8]) throws -> Void) throws {
        let length = length()
        if length == .max && !answer.all("transfer-encoding").isEmpty {
            try chunks(limit, closure)
        } else if let length {
            guard length <= limit else { throw ClientError.tooLong }
            try counted(length, closure)
        } else {
            var total = 0
            while true {
                if start < buffer.count {
                    total += buffer.count - start
                    guard total <= limit else { throw ClientError.tooLong }
                    let piece = Array(buffer[start...])
                    (buffer, start) = ([], 0)
                    try closure(piece)
                }
                (buffer, start) = (try receive(), 0)
                if buffer.isEmpty { break }
            }
        }
        complete = true
    }

    private func counted(_ length: Int, _ closure: ([UInt8]) throws -> Void) throws {
        var left = length
        while left > 0 {
            if start == buffer.count { try more() }
            let piece = Array(buffer[start...].prefix(left))
            start += piece.count
            left -= piece.count
            try closure(piece)
        }
    }

    private func chunks(_ limit: Int, _ closure: ([UInt8]) throws -> Void) throws {
        var left = limit
        while true {
            var used = 0
            let line = try self.line(&used)
            var digits = line.prefix { $0 != 59 }
            while digits.count < line.count, let last = digits.last, last == 32 || last == 9 { digits.removeLast() }
            guard !digits.isEmpty, let text = String(bytes: digits, encoding: .ascii),
                text.allSatisfy({ $0.isHexDigit })
            else { throw ClientError.badResponse }
            guard let size = Int(text, radix: 16) else { throw ClientError.badResponse }
            guard size <= left else { throw ClientError.tooLong }
            if size == 0 {
                _ = try fields(&used)
                return
            }
            left -= size
            try counted(size, closure)
            guard try self.line(&used).isEmpty else { throw ClientError.badResponse }
        }
    }
}

private struct Address {
    var host: String
    var port: UInt16
    var authority: String
    var path: String
    var query: String?

    var target: String { path + (query.map { "?" + $0 } ?? "") }
    var key: String { "\(host.lowercased()) \(port)" }

    init(_ text: String) throws {
        guard text.utf8.allSatisfy({ $0 > 32 && $0 < 127 }), let colon = text.range(of: "://") else {
            throw ClientError.badURL
        }
        let scheme = text[..<colon.lowerBound].lowercased()
        guard let first = scheme.first, first.isLetter,
            scheme.allSatisfy({ $0.isLetter || $0.isNumber || "+-.".contains($0) })
        else { throw ClientError.badURL }
        guard scheme == "http" else { throw ClientError.unsupportedScheme }
        var rest = text[colon.upperBound...]
        let given = rest.prefix { !"/?#".contains($0) }
        guard isHost(String(given), portNeeded: false) else { throw ClientError.badURL }
        rest = rest.dropFirst(given.count).prefix { $0 != "#" }
        let number: Substring?
        if given.hasPrefix("[") {
            host = String(given.dropFirst().prefix { $0 != "]" })
            number = given.split(separator: "]", omittingEmptySubsequences: false).last.flatMap {
                $0.isEmpty ? nil : $0.dropFirst()
            }
        } else {
            let parts = given.split(separator: ":", omittingEmptySubsequences: false)
            host = String(parts[0])
            number = parts.count > 1 ? parts[1] : nil
        }
        guard let port = number.map({ UInt16($0) }) ?? 80 else { throw ClientError.badURL }
        self.port = port
        authority = (given.hasPrefix("[") ? "[\(host)]" : host) + (port == 80 ? "" : ":\(port)")
        let mark = rest.firstIndex(of: "?") ?? rest.endIndex
        path = mark == rest.startIndex ? "/" : String(rest[..<mark])
        query = mark == rest.endIndex ? nil : String(rest[rest.index(after: mark)...])
    }

    func connect(_ options: ClientOptions) throws -> Int32 {
        var hints = addrinfo()
        hints.ai_socktype = SOCK_STREAM
        hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, "\(port)", &hints, &list) == 0, let all = list else {
            throw ClientError.cannotConnect(code: 0)
        }
        defer { freeaddrinfo(all) }
        let end = now() + options.totalTimeout
        var code: Int32 = 0
        for info in sequence(first: all, next: { $0.pointee.ai_next }) {
            let wait = min(options.timeout, end - now())
            guard wait > 0 else { break }
            let socket = Sockets.socket(info.pointee.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0)
            guard socket != -1 else {
                code = errno
                continue
            }
            var limit = timeval(tv_sec: wait / 1000, tv_usec: wait % 1000 * 1000)
            setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            let before = now()
            if Sockets.connect(socket, info.pointee.ai_addr, info.pointee.ai_addrlen) == 0 {
                code = 0
            } else {
                code = errno
                if code == EINTR { code = decision(of: socket, until: before + wait) }
                if code == EINPROGRESS || code == EAGAIN { code = ETIMEDOUT }
            }
            if code == 0 {
                var none = timeval()
                setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &none, socklen_t(MemoryLayout<timeval>.size))
                return socket
            }
            close(socket)
        }
        throw ClientError.cannotConnect(code: code)
    }

    /// An interrupted connect goes on by itself: its end is waited for.
    private func decision(of socket: Int32, until end: Int) -> Int32 {
        while true {
            var waiting = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
            let ready = poll(&waiting, 1, Int32(max(0, end - now())))
            if ready == -1 && errno == EINTR { continue }
            if ready <= 0 { return ETIMEDOUT }
            var (code, size) = (Int32(0), socklen_t(4))
            getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &size)
            return code
        }
    }
}

private func form(_ text: String) -> String {
    var allowed = CharacterSet(charactersIn: "*-._ ")
    for range in ["a"..."z", "A"..."Z", "0"..."9"] as [ClosedRange<Unicode.Scalar>] {
        allowed.insert(charactersIn: range)
    }
    return (text.addingPercentEncoding(withAllowedCharacters: allowed) ?? "").replacingOccurrences(of: " ", with: "+")
}

/// RFC 3986 section 5.2, without the fragment.
private func resolve(_ reference: String, from base: Address) -> String {
    let text = String(reference.prefix { $0 != "#" })
    let scheme = text.prefix { $0 != "/" && $0 != "?" && $0 != ":" }
    if text.dropFirst(scheme.count).hasPrefix(":"),
        scheme.allSatisfy({ $0.isLetter || $0.isNumber || "+-.".contains($0) })
    {
        guard let parts = try? Address(text), text.range(of: "..") != nil || text.contains("/.") else { return text }
        return "http://\(parts.authority)" + clean(parts.path) + (parts.query.map { "?" + $0 } ?? "")
    }
    if text.hasPrefix("//") { return resolve("http:" + text, from: base) }
    let origin = "http://\(base.authority)"
    let path = text.prefix { $0 != "?" }
    let query = text.dropFirst(path.count)
    if path.isEmpty { return origin + base.path + (query.isEmpty ? base.query.map { "?" + $0 } ?? "" : String(query)) }
    if path.hasPrefix("/") { return origin + clean(String(path)) + query }
    let folder = base.path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    return origin + clean(folder + "/" + path) + query
}

private func clean(_ path: String) -> String {
    var names: [Substring] = []
    let parts = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
    for (index, part) in parts.enumerated() {
        if part == ".." { _ = names.popLast() }
        if part != "." && part != ".." { names.append(part) } else if index == parts.count - 1 { names.append("") }
    }
    return "/" + names.joined(separator: "/")
}

private func now() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

private let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

private func seconds(httpDate text: String) -> Int? {
    let words = text.split(separator: " ", omittingEmptySubsequences: false)
    guard words.count == 6, words[5] == "GMT", words[0].last == ",", let month = months.firstIndex(of: String(words[2]))
    else { return nil }
    let numbers = ([words[1], words[3]] + words[4].split(separator: ":", omittingEmptySubsequences: false)).map {
        $0.utf8.allSatisfy { (48...57).contains($0) } ? Int32($0) : nil
    }
    guard numbers.count == 5, let day = numbers[0], let year = numbers[1], let hour = numbers[2],
        let minute = numbers[3], let second = numbers[4], year > 1900, year < 10000
    else { return nil }
    var parts = tm()
    (parts.tm_mday, parts.tm_mon, parts.tm_year) = (day, Int32(month), year - 1900)
    (parts.tm_hour, parts.tm_min, parts.tm_sec) = (hour, minute, second)
    return timegm(&parts)
}

private func isToken(_ bytes: [UInt8]) -> Bool {
    !bytes.isEmpty
        && bytes.allSatisfy { byte in
            switch byte {
            case 48...57, 65...90, 97...122: return true
            default: return "!#$%&'*+-.^_`|~".utf8.contains(byte)
            }
        }
}

/// `name`, `1.2.3.4`, `[::1]`, with or without `:port`.
private func isHost(_ text: String, portNeeded: Bool) -> Bool {
    var rest = Array(text.utf8)[...]
    if rest.first == 91 {
        guard let end = rest.firstIndex(of: 93) else { return false }
        var address = in6_addr()
        guard inet_pton(AF_INET6, String(decoding: rest[1..<end], as: UTF8.self), &address) == 1 else { return false }
        rest = rest[(end + 1)...]
    } else {
        let name = rest.prefix { $0 != 58 }
        guard !name.isEmpty, name.allSatisfy({ $0 == 37 || isToken([$0]) || "(),;=".utf8.contains($0) }) else {
            return false
        }
        rest = rest.dropFirst(name.count)
    }
    guard rest.first == 58 else { return rest.isEmpty && !portNeeded }
    let port = rest.dropFirst()
    return !port.isEmpty && port.allSatisfy { (48...57).contains($0) }
}
