// The whole client in one file, bottom up: Clock, Link (a socket), Heard (what comes), Place (a URL), Order (what is sent),
// and at the top the struct that decides what to do next.
import Course
import Sockets

struct Client: HTTPClient {
    let options: ClientOptions
    private let kept = Kept()

    init(options: ClientOptions) { self.options = options }

    mutating func send(_ request: ClientRequest, body: ([UInt8]) throws -> Void) throws -> ClientResponse {
        var order = try Order(request)
        var hops = 0
        while true {
            let reply = try withPatience(order, body)
            if options.redirects > 0, let location = reply.location {
                if hops == options.redirects { throw ClientError.tooManyRedirects }
                hops += 1
                order = try order.moved(reply.status, location)
            } else {
                return ClientResponse(
                    status: reply.status, reason: reply.reason, fields: reply.fields, url: order.place.text)
            }
        }
    }

    /// One URL: as many attempts as are permitted and of use.
    private func withPatience(_ order: Order, _ body: ([UInt8]) throws -> Void) throws -> Heard {
        let most = order.mayBeRepeated ? max(1, options.attempts) : 1
        var base = max(0, min(options.backOff, options.longestWait))
        for attempt in 1... {
            var pause = min(options.longestWait, base + Int.random(in: 0...base))
            base = min(options.longestWait, base * 2)
            // Nil: this answer is not asked for again.
            func pauseAfter(_ reply: Heard) -> Milliseconds? {
                guard attempt < most, [429, 500, 502, 503, 504].contains(reply.status) else { return nil }
                guard let asked = reply.retryAfter else { return pause }
                return asked > options.longestWait ? nil : asked
            }
            do {
                let isWanted = { (reply: Heard) in
                    !(options.redirects > 0 && reply.location != nil || pauseAfter(reply) != nil)
                }
                let reply = try attempted(order, isWanted) { bytes in
                    do { try body(bytes) } catch { throw FromTheTaker(error: error) }
                }
                if options.redirects > 0 && reply.location != nil { return reply }
                guard let asked = pauseAfter(reply) else { return reply }
                pause = asked
            } catch let failure as FromTheTaker {
                throw failure.error
            } catch let failure as NoHead {
                guard attempt < most, failure.isWorthAnother else { throw failure.reason }
            }
            Clock.sleep(pause)
        }
        throw ClientError.timedOut
    }

    /// Over a kept connection if there is a living one; if that dies under the request, over a new one.
    private func attempted(
        _ order: Order, _ isWanted: (Heard) -> Bool, _ take: ([UInt8]) throws -> Void
    ) throws -> Heard {
        if let link = kept.take(order.place.origin) {
            do {
                return try exchange(order, link, Clock(options), isWanted, take)
            } catch let failure as NoHead where order.mayBeRepeated || !failure.wasSent {}
        }
        let clock = Clock(options)
        return try exchange(order, try connect(order.place.origin, clock), clock, isWanted, take)
    }

    private func connect(_ origin: Origin, _ clock: Clock) throws -> Link {
        var code: Int32 = 0
        for address in try addresses(of: origin) {
            do { return try Link(origin, address, clock) } catch let error as SocketError { code = error.code } catch {
                if clock.isOver { throw ClientError.timedOut }
                code = ETIMEDOUT
            }
        }
        throw NoHead(reason: .cannotConnect(code: code), wasSent: false, isWorthAnother: code != ETIMEDOUT)
    }

    private func exchange(
        _ order: Order, _ link: Link, _ clock: Clock, _ isWanted: (Heard) -> Bool, _ take: ([UInt8]) throws -> Void
    ) throws -> Heard {
        let bytes = order.bytes
        let parser = HeardParser(method: order.method, options)
        var sent = 0
        var mayShutUp = false
        var wasReset = false
        var unwanted = 0
        func consume(_ piece: [UInt8]) throws -> Bool {
            if isWanted(parser.reply) {
                try take(piece)
                return true
            }
            unwanted += piece.count
            return unwanted <= 65_536
        }
        do {
            while !parser.isComplete {
                let sends = sent < bytes.count && !mayShutUp
                let ready = try clock.wait(link.descriptor, Int32(POLLIN) | (sends ? Int32(POLLOUT) : 0))
                if sends && ready & Int32(POLLOUT) != 0 {
                    let count = bytes[sent...].withUnsafeBytes {
                        Sockets.send(link.descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL)
                    }
                    if count >= 0 {
                        sent += count
                    } else if errno == EPIPE || errno == ECONNRESET {
                        // No more is wanted. What was said before can still be read.
                        mayShutUp = true
                        if errno == ECONNRESET { wasReset = true }
                    } else if errno != EINTR && errno != EAGAIN {
                        throw ClientError.cutShort
                    }
                }
                guard ready & ~Int32(POLLOUT) != 0 else { continue }
                let count = link.fill()
                if count > 0 {
                    guard try parser.feed(link.buffer[..<count], consume) else { return parser.reply }
                } else if count == 0 {
                    if wasReset { throw ClientError.cutShort }
                    try parser.feedEnd()
                    return parser.reply
                } else if errno != EINTR && errno != EAGAIN {
                    throw ClientError.cutShort
                }
            }
        } catch let error as ClientError {
            if parser.hasHead {
                // Nobody's body: the head has said all.
                if !isWanted(parser.reply) { return parser.reply }
                throw error
            }
            guard error == .cutShort else { throw error }
            throw NoHead(reason: .cutShort, wasSent: sent > 0, isWorthAnother: true)
        }
        if sent == bytes.count && parser.leavesConnectionUsable { kept.put(link) }
        return parser.reply
    }
}

/// The closure's own error, so that nobody takes it for one of ours.
private struct FromTheTaker: Error { var error: any Error }

/// It failed before there was a head.
private struct NoHead: Error {
    var reason: ClientError
    var wasSent: Bool
    var isWorthAnother: Bool
}

// MARK: - Time

private struct Clock {
    private let each: Milliseconds
    private let end: Milliseconds

    init(_ options: ClientOptions) {
        each = options.timeout
        let (sum, isTooFar) = Clock.now.addingReportingOverflow(options.totalTimeout)
        end = isTooFar ? .max : sum
    }

    static var now: Milliseconds {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
    }

    var isOver: Bool { Clock.now >= end }

    func wait(_ descriptor: Int32, _ events: Int32) throws -> Int32 {
        let now = Clock.now
        let (sum, isTooFar) = now.addingReportingOverflow(each)
        let deadline = min(end, isTooFar ? .max : sum)
        while true {
            let left = deadline - Clock.now
            guard left > 0 else { throw ClientError.timedOut }
            var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let count = poll(&entry, 1, Int32(clamping: left))
            if count > 0 { return Int32(entry.revents) }
            if count < 0 && errno != EINTR { throw SocketError("poll", errno) }
        }
    }

    static func sleep(_ milliseconds: Milliseconds) {
        let end = now + milliseconds
        while true {
            let left = end - now
            if left <= 0 { return }
            _ = poll(nil, 0, Int32(clamping: left))
        }
    }
}

// MARK: - Sockets

private struct Origin: Hashable {
    var host: String
    var port: UInt16
}

private final class Link {
    let origin: Origin
    let descriptor: Int32
    var buffer = [UInt8](repeating: 0, count: 65_536)

    deinit { Sockets.close(descriptor) }

    init(_ origin: Origin, _ address: SocketAddress, _ clock: Clock) throws {
        self.origin = origin
        // From here on deinit closes it, whichever way this is left.
        descriptor = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
        var one: Int32 = 1
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        let fd = descriptor
        if address.withSockaddr({ Sockets.connect(fd, $0, $1) }) == 0 { return }
        guard errno == EINPROGRESS || errno == EINTR else { throw SocketError("connect", errno) }
        _ = try clock.wait(descriptor, Int32(POLLOUT))
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size))
        guard code == 0 else { throw SocketError("connect", code) }
    }

    func fill() -> Int { read(descriptor, &buffer, buffer.count) }

    var isAlive: Bool {
        var byte: UInt8 = 0
        while true {
            let count = recv(descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT)
            if count < 0 && errno == EINTR { continue }
            return count < 0 && errno == EAGAIN
        }
    }
}

/// Goes with the client, and takes its connections with it.
private final class Kept {
    private var links: [Link] = []

    func take(_ origin: Origin) -> Link? {
        guard let index = links.lastIndex(where: { $0.origin == origin }) else { return nil }
        let link = links.remove(at: index)
        return link.isAlive ? link : nil
    }

    func put(_ link: Link) {
        links.append(link)
        if links.count > 6 { links.removeFirst() }
    }
}

private func addresses(of origin: Origin) throws -> [SocketAddress] {
    var hints = addrinfo()
    hints.ai_family = AF_UNSPEC
    hints.ai_socktype = SOCK_STREAM
    hints.ai_flags = AI_NUMERICSERV
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(origin.host, "\(origin.port)", &hints, &list) == 0 else {
        throw NoHead(reason: .cannotConnect(code: 0), wasSent: false, isWorthAnother: true)
    }
    defer { freeaddrinfo(list) }
    return sequence(first: list) { $0?.pointee.ai_next }.prefix { $0 != nil }.compactMap { entry in
        guard let entry = entry?.pointee else { return nil }
        return SocketAddress(bytes: Array(UnsafeRawBufferPointer(start: entry.ai_addr, count: Int(entry.ai_addrlen))))
    }
}

// MARK: - What comes

private struct Heard {
    var status = 0
    var reason = ""
    var minorVersion = 1
    var fields: [HTTPField] = []

    var location: String? { [301, 302, 303, 307, 308].contains(status) ? fields["Location"] : nil }

    var retryAfter: Milliseconds? {
        guard let text = fields["Retry-After"] else { return nil }
        if !text.isEmpty && text.utf8.allSatisfy({ (48...57).contains($0) }) {
            guard let seconds = Int(text), seconds < Int.max / 1000 else { return .max }
            return seconds * 1000
        }
        guard let date: Int = httpDate(text) else { return nil }
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return max(0, (date - Int(now.tv_sec)) * 1000 - Int(now.tv_nsec) / 1_000_000)
    }
}

private final class HeardParser {
    private enum State {
        case statusLine, fields
        case counted(Int), untilEnd
        case size, chunk(Int), chunkEnd, trailers
        case complete
    }

    private(set) var reply = Heard()
    private(set) var hasHead = false
    private let method: String
    private let options: ClientOptions
    private var state = State.statusLine
    private var line: [UInt8] = []
    private var headBytes = 0
    private var interim = 0
    private var bodyBytes = 0
    private var hasRest = false

    init(method: String, _ options: ClientOptions) { (self.method, self.options) = (method, options) }

    var isComplete: Bool { if case .complete = state { true } else { false } }

    var leavesConnectionUsable: Bool {
        guard isComplete, !hasRest else { return false }
        let words = reply.fields.elements("Connection")
        return !words.contains("close") && (reply.minorVersion > 0 || words.contains("keep-alive"))
    }

    /// - Returns: false if `take` wants no more.
    func feed(_ bytes: ArraySlice<UInt8>, _ take: ([UInt8]) throws -> Bool) throws -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            switch state {
            case .complete:
                hasRest = true
                return true
            case .counted(let left):
                let piece = rest.prefix(left)
                rest = rest.dropFirst(piece.count)
                state = piece.count == left ? .complete : .counted(left - piece.count)
                if try !take(Array(piece)) { return false }
            case .chunk(let left):
                let piece = rest.prefix(left)
                rest = rest.dropFirst(piece.count)
                state = piece.count == left ? .chunkEnd : .chunk(left - piece.count)
                if try !take(Array(piece)) { return false }
            case .untilEnd:
                guard rest.count <= options.bodyLimit - bodyBytes else { throw ClientError.tooLong }
                bodyBytes += rest.count
                let wantsMore = try take(Array(rest))
                return wantsMore
            default:
                try eat(rest.removeFirst())
            }
        }
        return true
    }

    func feedEnd() throws {
        switch state {
        case .untilEnd: state = .complete
        case .complete: break
        default: throw ClientError.cutShort
        }
        hasRest = true
    }

    /// A byte of some line.
    private func eat(_ byte: UInt8) throws {
        switch state {
        case .size, .chunkEnd:
            // These lines are short, or nobody needs them.
            guard line.count < 2000 else { throw ClientError.badResponse }
        default:
            headBytes += 1
            guard headBytes <= options.headLimit else { throw ClientError.tooLong }
        }
        if line.last == 13 {
            guard byte == 10 else { throw ClientError.badResponse }
            line.removeLast()
            defer { line.removeAll(keepingCapacity: true) }
            return try lineIsComplete()
        }
        guard byte != 10 else { throw ClientError.badResponse }
        line.append(byte)
    }

    private func lineIsComplete() throws {
        switch state {
        case .statusLine: try readStatusLine()
        case .fields:
            if !line.isEmpty { return reply.fields.append(try field()) }
            headBytes = 0
            if reply.status < 200 {
                interim += 1
                guard reply.status != 101, interim <= 20 else { throw ClientError.badResponse }
                state = .statusLine
            } else {
                try beginBody()
                hasHead = true
            }
        case .trailers:
            if line.isEmpty { state = .complete } else { _ = try field() }
        case .chunkEnd:
            guard line.isEmpty else { throw ClientError.badResponse }
            state = .size
        case .size:
            let size = try chunkSize()
            guard size <= options.bodyLimit - bodyBytes else { throw ClientError.tooLong }
            bodyBytes += size
            headBytes = 0
            state = size == 0 ? .trailers : .chunk(size)
        default: break
        }
    }

    private func readStatusLine() throws {
        let text = line
        guard text.count >= 12, text.starts(with: Array("HTTP/1.".utf8)), (48...57).contains(text[7]), text[8] == 32,
            text[9...11].allSatisfy({ (48...57).contains($0) }), text[9] != 48, text.count == 12 || text[12] == 32,
            text.allSatisfy({ $0 >= 32 && $0 != 127 || $0 == 9 })
        else { throw ClientError.badResponse }
        reply = Heard()
        reply.minorVersion = Int(text[7]) - 48
        reply.status = text[9...11].reduce(0) { $0 * 10 + Int($1) - 48 }
        reply.reason = String(decoding: text.dropFirst(13), as: UTF8.self)
        state = .fields
    }

    private func field() throws -> HTTPField {
        guard let colon = line.firstIndex(of: 58), colon > 0, line[..<colon].allSatisfy(isTokenByte),
            line[colon...].allSatisfy({ $0 >= 32 && $0 != 127 || $0 == 9 })
        else { throw ClientError.badResponse }
        let value = line[(colon + 1)...].drop { $0 == 32 || $0 == 9 }
        let end = value.lastIndex { $0 != 32 && $0 != 9 }.map { $0 + 1 } ?? value.startIndex
        return HTTPField(
            String(decoding: line[..<colon], as: UTF8.self),
            String(decoding: value[value.startIndex..<end], as: UTF8.self))
    }

    private func beginBody() throws {
        let lengths = reply.fields.values("Content-Length")
        let isCoded = !reply.fields.values("Transfer-Encoding").isEmpty
        if method == "HEAD" || reply.status == 204 || reply.status == 304 {
            state = .complete
        } else if isCoded {
            guard lengths.isEmpty, reply.minorVersion > 0, reply.fields.elements("Transfer-Encoding") == ["chunked"]
            else {
                throw ClientError.badResponse
            }
            state = .size
        } else if let length = lengths.first {
            guard lengths.count == 1, !length.isEmpty, length.utf8.allSatisfy({ (48...57).contains($0) }) else {
                throw ClientError.badResponse
            }
            guard let count = Int(length), count <= options.bodyLimit else { throw ClientError.tooLong }
            state = count == 0 ? .complete : .counted(count)
        } else {
            state = .untilEnd
        }
    }

    private func chunkSize() throws -> Int {
        let digits = line.prefix { hexDigit($0) != nil }
        let rest = line.dropFirst(digits.count)
        let behind = rest.drop { $0 == 32 || $0 == 9 }
        guard !digits.isEmpty, rest.isEmpty || behind.first == 59, rest.allSatisfy({ $0 >= 32 && $0 != 127 || $0 == 9 })
        else { throw ClientError.badResponse }
        let significant = digits.drop { $0 == 48 }
        guard significant.count < 16 else { throw ClientError.tooLong }
        return significant.reduce(0) { $0 * 16 + Int(hexDigit($1) ?? 0) }
    }
}

// MARK: - Where to

private struct Place {
    var origin: Origin
    var target: String

    init(_ text: String) throws {
        guard text.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else { throw ClientError.badURL }
        // ASCII only, so a Character is a byte.
        let whole = text.prefix { $0 != "#" }
        guard let colon = whole.firstIndex(of: ":"), Place.isScheme(whole[..<colon]) else { throw ClientError.badURL }
        guard whole[..<colon].lowercased() == "http" else { throw ClientError.unsupportedScheme }
        guard whole[colon...].hasPrefix("://") else { throw ClientError.badURL }
        let rest = whole[colon...].dropFirst(3)
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        let tail = rest[authority.endIndex...]
        target = tail.first == "/" ? String(tail) : "/" + tail

        var host = authority
        var port = Substring()
        if authority.first == "[" {
            guard let bracket = authority.firstIndex(of: "]") else { throw ClientError.badURL }
            host = authority[..<bracket].dropFirst()
            port = authority[bracket...].dropFirst()
            guard host.contains(":"), host.utf8.allSatisfy({ hexDigit($0) != nil || $0 == 58 || $0 == 46 }) else {
                throw ClientError.badURL
            }
        } else {
            host = authority.prefix { $0 != ":" }
            port = authority[host.endIndex...]
            guard !host.isEmpty, host.allSatisfy({ $0.isLetter || $0.isNumber || "-._~".contains($0) }) else {
                throw ClientError.badURL
            }
        }
        var number: UInt16 = 80
        if !port.isEmpty {
            let digits = port.dropFirst()
            guard port.first == ":", digits.allSatisfy(\.isNumber) else { throw ClientError.badURL }
            if !digits.isEmpty {
                guard let given = UInt16(digits) else { throw ClientError.badURL }
                number = given
            }
        }
        origin = Origin(host: host.lowercased(), port: number)
    }

    var authority: String {
        let name = origin.host.contains(":") ? "[\(origin.host)]" : origin.host
        return origin.port == 80 ? name : "\(name):\(origin.port)"
    }

    var text: String { "http://\(authority)\(target)" }

    func following(_ location: String) throws -> Place {
        var reference = ""
        for byte in location.utf8 {
            if byte == 32 || byte >= 128 {
                reference += percentEncoded(byte)
            } else {
                reference.unicodeScalars.append(UnicodeScalar(byte))
            }
        }
        guard reference.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else { throw ClientError.badURL }
        reference = String(reference.prefix { $0 != "#" })
        if let end = reference.firstIndex(where: { "/?:".contains($0) }), reference[end] == ":",
            Place.isScheme(reference[..<end])
        {
            return try Place(reference)
        }
        if reference.hasPrefix("//") { return try Place("http:" + reference) }
        var result = self
        if reference.isEmpty { return result }
        let path = target.prefix { $0 != "?" }
        let newPath = reference.prefix { $0 != "?" }
        let query = reference[newPath.endIndex...]
        if newPath.isEmpty {
            result.target = String(path) + query
        } else if newPath.first == "/" {
            result.target = Place.clean(String(newPath)) + query
        } else {
            let slash = path.lastIndex(of: "/") ?? path.startIndex
            result.target = Place.clean(String(path[...slash]) + String(newPath)) + query
        }
        return result
    }

    private static func clean(_ path: String) -> String {
        var stack: [Substring] = []
        let parts = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        for part in parts {
            if part == ".." { _ = stack.popLast() } else if part != "." { stack.append(part) }
        }
        if parts.last == "." || parts.last == ".." { stack.append("") }
        return "/" + stack.joined(separator: "/")
    }

    private static func isScheme(_ text: Substring) -> Bool {
        guard let first = text.first, first.isLetter else { return false }
        return text.allSatisfy { $0.isLetter || $0.isNumber || "+-.".contains($0) }
    }
}

// MARK: - What is sent

private struct Order {
    private(set) var place: Place
    private(set) var method: String
    private var fields: [HTTPField]
    private var content: [UInt8] = []
    private var saysLength: Bool

    init(_ request: ClientRequest) throws {
        place = try Place(request.url)
        (method, fields) = (request.method, request.fields)
        guard Order.isToken(method) else { throw ClientError.badField }
        for field in fields {
            guard Order.isToken(field.name), Order.isValue(field.value),
                !["content-length", "transfer-encoding", "connection"].contains(field.name.lowercased())
            else { throw ClientError.badField }
        }
        var type: String?
        switch request.body {
        case .none: break
        case .form(let pairs):
            (content, type) = (Order.form(pairs), "application/x-www-form-urlencoded")
        case .json(let bytes): (content, type) = (bytes, "application/json")
        case .bytes(let bytes, let given): (content, type) = (bytes, given)
        }
        if let type {
            guard Order.isValue(type) else { throw ClientError.badField }
            if fields["Content-Type"] == nil { fields.append(HTTPField("Content-Type", type)) }
        }
        saysLength = request.body != .none || ["POST", "PUT", "PATCH"].contains(method)
    }

    var mayBeRepeated: Bool { ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].contains(method) }

    var bytes: [UInt8] {
        var lines = ["\(method) \(place.target) HTTP/1.1"]
        if fields["Host"] == nil { lines.append("Host: \(place.authority)") }
        lines += fields.map { "\($0.name): \($0.value)" }
        if saysLength { lines.append("Content-Length: \(content.count)") }
        return Array(lines.joined(separator: "\r\n").utf8) + [13, 10, 13, 10] + content
    }

    func moved(_ status: Int, _ location: String) throws -> Order {
        var next = self
        next.place = try place.following(location)
        switch (status, method) {
        case (303, "HEAD"), (303, "GET"): break
        case (303, _), (301, "POST"), (302, "POST"):
            next.method = "GET"
            (next.content, next.saysLength) = ([], false)
            next.fields.removeAll { $0.name.lowercased().hasPrefix("content-") }
        default: break
        }
        if next.place.origin != place.origin {
            next.fields.removeAll { ["authorization", "cookie", "host"].contains($0.name.lowercased()) }
        }
        return next
    }

    private static func isToken(_ text: String) -> Bool { !text.isEmpty && text.utf8.allSatisfy(isTokenByte) }

    private static func isValue(_ text: String) -> Bool { text.utf8.allSatisfy { $0 >= 32 && $0 != 127 || $0 == 9 } }

    private static func form(_ pairs: [HTTPField]) -> [UInt8] {
        func escaped(_ text: String) -> [UInt8] {
            text.utf8.flatMap { byte -> [UInt8] in
                switch byte {
                case 48...57, 65...90, 97...122, 42, 45, 46, 95: return [byte]
                case 32: return [43]
                default: return Array(percentEncoded(byte).utf8)
                }
            }
        }
        return Array(pairs.map { escaped($0.name) + [61] + escaped($0.value) }.joined(separator: [38]))
    }
}
