import Course
import Sockets

/// Reads as if everything were there already: `line()`, `piece()`. What is not there yet is waited for by the wire below,
/// which sends what is still unsent meanwhile.
struct Client: HTTPClient {
    let options: ClientOptions
    /// Connections on which the last answer ended cleanly.
    private let kept = Kept()

    init(options: ClientOptions) {
        self.options = options
    }

    mutating func send(_ request: ClientRequest, body: ([UInt8]) throws -> Void) throws -> ClientResponse {
        var order = try Order(request)
        var followed = 0
        while true {
            let response = try answer(to: order, body)
            guard options.redirects > 0, let location = response.location else {
                return ClientResponse(
                    status: response.status, reason: response.reason, fields: response.fields, url: order.url.text)
            }
            if followed == options.redirects { throw ClientError.tooManyRedirects }
            followed += 1
            try order.redirect(response.status, to: location)
        }
    }

    // MARK: Attempts

    private mutating func answer(to order: Order, _ body: ([UInt8]) throws -> Void) throws -> Response {
        var attempt = 1
        while true {
            let mayRepeat = order.isIdempotent && attempt < options.attempts
            let pause: Milliseconds
            do {
                let (response, wait) = try attemptOnce(order, mayRepeat: mayRepeat, body)
                guard let wait else { return response }
                pause = wait == ownBackOff ? backOff(before: attempt + 1) : wait
            } catch let broken as Broken {
                guard mayRepeat, broken.error != .cannotConnect(code: ETIMEDOUT) else { throw broken.error }
                pause = backOff(before: attempt + 1)
            }
            rest(pause)
            attempt += 1
        }
    }

    private let ownBackOff = -1

    private func backOff(before attempt: Int) -> Milliseconds {
        var base = max(0, options.backOff)
        for _ in 0..<max(0, attempt - 2) where base < options.longestWait { base *= 2 }
        base = min(base, max(0, options.longestWait))
        return min(base + Int.random(in: 0...base), max(0, options.longestWait))
    }

    /// nil: this answer is the one to return.
    private func pause(after response: Response, mayRepeat: Bool) -> Milliseconds? {
        guard mayRepeat, [429, 500, 502, 503, 504].contains(response.status) else { return nil }
        guard let text = response.first("retry-after") else { return ownBackOff }
        var asked: Milliseconds
        if !text.isEmpty && text.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }) {
            guard let seconds = Int(text), seconds < 1_000_000_000 else { return nil }
            asked = seconds * 1000
        } else if let date = httpDate(text) {
            var now = timespec()
            clock_gettime(CLOCK_REALTIME, &now)
            asked = (date - now.tv_sec) * 1000 - now.tv_nsec / 1_000_000
        } else {
            return ownBackOff
        }
        asked = max(0, asked)
        return asked <= options.longestWait ? asked : nil
    }

    /// The connection could not be made, or failed before there was a head.
    private struct Broken: Error {
        let error: ClientError
    }

    /// - Returns: an answer; and if another one is to be asked for, how long to wait before.
    private mutating func attemptOnce(
        _ order: Order, mayRepeat: Bool, _ body: ([UInt8]) throws -> Void
    ) throws -> (Response, Milliseconds?) {
        if let wire = takeKept(order.url.place) {
            wire.begin(options)
            do {
                return try converse(over: wire, order, mayRepeat: mayRepeat, body)
            } catch is Broken where order.isIdempotent || wire.nothingSent {
                // It ended while it was idle, only we did not know. On a new one, then.
            }
        }
        let wire: Wire
        do { wire = try Wire(to: order.url.place, options) } catch let error as ClientError {
            throw Broken(error: error)
        }
        return try converse(over: wire, order, mayRepeat: mayRepeat, body)
    }

    private func takeKept(_ place: Place) -> Wire? {
        guard let wire = kept.take(place) else { return nil }
        if wire.isQuiet { return wire }
        wire.hangUp()
        return nil
    }

    private mutating func converse(
        over wire: Wire, _ order: Order, mayRepeat: Bool, _ body: ([UInt8]) throws -> Void
    ) throws -> (Response, Milliseconds?) {
        wire.post(order.bytes)
        let response: Response
        do { response = try readHead(wire) } catch let error as ClientError {
            switch error {
            case .cutShort:
                wire.hangUp()
                throw Broken(error: error)
            case .badResponse, .tooLong:
                wire.hangUp()
                throw error
            default:
                throw error
            }
        }

        let wait = pause(after: response, mayRepeat: mayRepeat)
        let isElsewhere = options.redirects > 0 && response.location != nil
        do {
            var hasEnd = false
            if wait == nil && !isElsewhere {
                hasEnd = try readBody(wire, order, response, atMost: options.bodyLimit, body)
            } else {
                // Nobody wants this body. If it is short and comes at once, the connection can still be used.
                wire.hurry(200)
                hasEnd = (try? readBody(wire, order, response, atMost: 32_768, { _ in })) ?? false
            }
            if hasEnd && goesOn(wire, after: response) { kept.put(wire, order.url.place) } else { wire.hangUp() }
        } catch {
            wire.hangUp()
            throw error
        }
        return (response, wait)
    }

    private func goesOn(_ wire: Wire, after response: Response) -> Bool {
        let words = response.words("connection")
        return wire.isEven && !words.contains("close") && (response.minor > 0 || words.contains("keep-alive"))
    }

    private func rest(_ milliseconds: Milliseconds) {
        var end = timespec()
        clock_gettime(CLOCK_MONOTONIC, &end)
        let nanoseconds = end.tv_nsec + milliseconds % 1000 * 1_000_000
        end.tv_sec += milliseconds / 1000 + nanoseconds / 1_000_000_000
        end.tv_nsec = nanoseconds % 1_000_000_000
        while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, nil) == EINTR {}
    }

    // MARK: Reading an answer

    private struct Response {
        var minor: Int
        var status: Int
        var reason: String
        var fields: [HTTPField] = []

        func all(_ name: String) -> [String] {
            fields.filter { $0.name.lowercased() == name }.map(\.value)
        }

        func first(_ name: String) -> String? { all(name).first }

        /// The elements of a list, in lower case.
        func words(_ name: String) -> [String] {
            all(name).flatMap { $0.utf8.split(separator: 44) }.map { element in
                let word = element.drop { $0 == 32 || $0 == 9 }.map { $0 >= 65 && $0 <= 90 ? $0 | 32 : $0 }
                let end = word.lastIndex { $0 != 32 && $0 != 9 } ?? -1
                return String(decoding: word[0..<(end + 1)], as: UTF8.self)
            }.filter { !$0.isEmpty }
        }

        var location: String? { [301, 302, 303, 307, 308].contains(status) ? first("location") : nil }
    }

    private func readHead(_ wire: Wire) throws -> Response {
        for _ in 0..<25 {
            var left = options.headLimit
            var response = try statusLine(try wire.line(&left))
            response.fields = try readFields(wire, &left)
            if response.status == 101 { throw ClientError.badResponse }
            if response.status >= 200 { return response }
        }
        // It says that it goes on, and goes on saying it.
        throw ClientError.badResponse
    }

    private func statusLine(_ line: [UInt8]) throws -> Response {
        // HTTP/1.x nnn reason
        guard line.count >= 12, line.starts(with: "HTTP/1.".utf8), isDigit(line[7]), line[8] == 32,
            line[9...11].allSatisfy(isDigit), line[9] != 48, line.count == 12 || line[12] == 32
        else { throw ClientError.badResponse }
        let status = line[9...11].reduce(0) { $0 * 10 + Int($1) - 48 }
        return Response(
            minor: Int(line[7]) - 48, status: status, reason: String(decoding: line.dropFirst(13), as: UTF8.self))
    }

    private func readFields(_ wire: Wire, _ left: inout Int) throws -> [HTTPField] {
        var fields: [HTTPField] = []
        while true {
            let line = try wire.line(&left)
            if line.isEmpty { return fields }
            guard let colon = line.firstIndex(of: 58), isToken(line[..<colon]) else { throw ClientError.badResponse }
            var value = line[(colon + 1)...]
            guard value.allSatisfy(isValueByte) else { throw ClientError.badResponse }
            value = value.drop { $0 == 32 || $0 == 9 }
            while value.last == 32 || value.last == 9 { value.removeLast() }
            fields.append(
                HTTPField(String(decoding: line[..<colon], as: UTF8.self), String(decoding: value, as: UTF8.self)))
        }
    }

    /// - Returns: whether the body had an end of its own, so that another answer can follow.
    private func readBody(
        _ wire: Wire, _ order: Order, _ response: Response, atMost limit: Int, _ take: ([UInt8]) throws -> Void
    ) throws -> Bool {
        if order.method == "HEAD" || response.status == 204 || response.status == 304 { return true }

        let lengths = response.all("content-length")
        if !response.all("transfer-encoding").isEmpty {
            guard lengths.isEmpty, response.words("transfer-encoding") == ["chunked"], response.minor > 0 else {
                throw ClientError.badResponse
            }
            try readChunks(wire, atMost: limit, take)
            return true
        }
        if let length = lengths.first {
            guard lengths.count == 1, !length.isEmpty, length.utf8.allSatisfy(isDigit) else {
                throw ClientError.badResponse
            }
            guard let count = Int(length), count <= limit else { throw ClientError.tooLong }
            try wire.take(count, take)
            return true
        }
        var left = limit
        while let piece = try wire.piece(atMost: .max) {
            if piece.count > left { throw ClientError.tooLong }
            left -= piece.count
            try take(piece)
        }
        return false
    }

    private func readChunks(_ wire: Wire, atMost limit: Int, _ take: ([UInt8]) throws -> Void) throws {
        var left = limit
        while true {
            var lineLeft = 4096
            let line = try wire.line(&lineLeft)
            var size = 0
            var digits = 0
            while digits < line.count, let digit = hexDigit(line[digits]) {
                if size > Int.max >> 5 { throw ClientError.tooLong }
                size = size << 4 + Int(digit)
                digits += 1
            }
            let rest = line[digits...]
            guard digits > 0, rest.allSatisfy(isValueByte),
                rest.isEmpty || rest.first(where: { $0 != 32 && $0 != 9 }) == 59
            else { throw ClientError.badResponse }
            if size == 0 { break }
            if size > left { throw ClientError.tooLong }
            left -= size
            try wire.take(size, take)
            var none = 2
            guard try wire.line(&none, orElse: .badResponse).isEmpty else { throw ClientError.badResponse }
        }
        var trailers = options.headLimit
        _ = try readFields(wire, &trailers)
    }
}

private func isDigit(_ byte: UInt8) -> Bool { byte >= 48 && byte <= 57 }

/// No control character but the tab.
private func isValueByte(_ byte: UInt8) -> Bool { byte >= 32 && byte != 127 || byte == 9 }

private let tokenBytes = Set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)

private func isToken(_ bytes: some Collection<UInt8>) -> Bool {
    !bytes.isEmpty && bytes.allSatisfy(tokenBytes.contains)
}

// MARK: - The bytes of one connection

/// The connections on which nothing is under way.
private final class Kept {
    private var wires: [(place: Place, wire: Wire)] = []

    deinit { for (_, wire) in wires { wire.hangUp() } }

    func take(_ place: Place) -> Wire? {
        guard let index = wires.firstIndex(where: { $0.place == place }) else { return nil }
        return wires.remove(at: index).wire
    }

    func put(_ wire: Wire, _ place: Place) {
        if wires.count == 6 { wires.removeFirst().wire.hangUp() }
        wires.append((place, wire))
    }
}

private final class Wire {
    private let socket: Int32
    private var inbox: [UInt8] = []
    private var read = 0
    private var hasEnded = false
    private var outbox: [UInt8] = []
    private var sent = 0
    private var isDeaf = false
    private var wasReset = false
    private var timeout: Milliseconds
    private var end: Milliseconds
    private var room = [UInt8](repeating: 0, count: 65_536)

    /// The end of this connection. It is not used again.
    func hangUp() { close(socket) }

    init(to place: Place, _ options: ClientOptions) throws {
        timeout = options.timeout
        end = later(options.totalTimeout)
        var code: Int32 = 0
        for address in try Wire.addresses(place) {
            switch Wire.connect(address, until: min(end, later(options.timeout))) {
            case .success(let descriptor):
                socket = descriptor
                return
            case .failure(let error):
                code = error.code
            }
        }
        throw ClientError.cannotConnect(code: code)
    }

    private static func addresses(_ place: Place) throws -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_socktype = SOCK_STREAM
        hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(place.host, "\(place.port)", &hints, &list) == 0 else {
            throw ClientError.cannotConnect(code: 0)
        }
        var addresses: [SocketAddress] = []
        var entry = list
        while let info = entry?.pointee {
            let bytes = UnsafeRawBufferPointer(start: info.ai_addr, count: Int(info.ai_addrlen))
            if let address = SocketAddress(bytes: Array(bytes)) { addresses.append(address) }
            entry = info.ai_next
        }
        freeaddrinfo(list)
        return addresses
    }

    private static func connect(_ address: SocketAddress, until end: Milliseconds) -> Result<Int32, SocketError> {
        let descriptor = Sockets.socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
        if descriptor < 0 { return .failure(SocketError("socket", errno)) }
        var one: Int32 = 1
        _ = setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, 4)
        var code: Int32 = 0
        asking: while true {
            if address.withSockaddr({ Sockets.connect(descriptor, $0, $1) }) == 0 { return .success(descriptor) }
            code = errno
            switch code {
            case EISCONN: return .success(descriptor)
            case EINTR: continue
            case EINPROGRESS, EALREADY:
                // Writable when it has been decided; then connect says how.
                let left = end - clock()
                if left <= 0 {
                    code = ETIMEDOUT
                    break asking
                }
                var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                if poll(&entry, 1, Int32(clamping: left)) > 0 {
                    var size = socklen_t(4)
                    var pending: Int32 = 0
                    _ = getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &pending, &size)
                    if pending != 0 {
                        code = pending
                        break asking
                    }
                }
            default:
                break asking
            }
        }
        close(descriptor)
        return .failure(SocketError("connect", code))
    }

    // MARK: Before and after an exchange

    /// Open, and nothing to be read: neither an end nor bytes.
    var isQuiet: Bool {
        var byte: UInt8 = 0
        var result: Int
        repeat { result = recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) } while result < 0 && errno == EINTR
        return result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)
    }

    /// New limits for a new exchange.
    func begin(_ options: ClientOptions) {
        timeout = options.timeout
        end = later(options.totalTimeout)
    }

    func hurry(_ milliseconds: Milliseconds) {
        end = min(end, later(milliseconds))
    }

    func post(_ bytes: [UInt8]) {
        outbox = bytes
        sent = 0
    }

    var nothingSent: Bool { sent == 0 }

    /// All is sent, all is read, and it goes on.
    var isEven: Bool { sent == outbox.count && read == inbox.count && !hasEnded && !isDeaf }

    // MARK: Reading

    /// - Parameter left: how many bytes lines may have, with their ends; becomes less.
    func line(_ left: inout Int, orElse error: ClientError = .tooLong) throws -> [UInt8] {
        var searched = read
        while true {
            while searched < inbox.count {
                let byte = inbox[searched]
                if byte == 10 { throw ClientError.badResponse }
                if byte == 13 {
                    if searched + 1 == inbox.count { break }
                    guard inbox[searched + 1] == 10 else { throw ClientError.badResponse }
                    let line = Array(inbox[read..<searched])
                    read = searched + 2
                    left -= line.count + 2
                    return line
                }
                searched += 1
                if searched - read + 2 > left { throw error }
            }
            let offset = searched - read
            guard try fill() else { throw ClientError.cutShort }
            searched = read + offset
        }
    }

    /// What is here, or else what comes next; nil at the end of the stream.
    func piece(atMost count: Int) throws -> [UInt8]? {
        if read == inbox.count, try !fill() { return nil }
        let end = count < inbox.count - read ? read + count : inbox.count
        let piece = read == 0 && end == inbox.count ? inbox : Array(inbox[read..<end])
        read = end
        return piece
    }

    /// Just so many bytes.
    func take(_ count: Int, _ body: ([UInt8]) throws -> Void) throws {
        var left = count
        while left > 0 {
            guard let piece = try piece(atMost: left) else { throw ClientError.cutShort }
            left -= piece.count
            try body(piece)
        }
    }

    /// Waits until at least one more byte is in the inbox, and sends meanwhile.
    ///
    /// - Returns: false at the end of the stream.
    private func fill() throws -> Bool {
        if hasEnded { return false }
        if read == inbox.count {
            inbox = []
        } else if read > 0 {
            inbox.removeFirst(read)
        }
        read = 0

        var patience = later(timeout)
        while true {
            let now = clock()
            let left = min(patience, end) - now
            if left <= 0 { throw ClientError.timedOut }
            let isSending = sent < outbox.count && !isDeaf
            var entry = pollfd(fd: socket, events: Int16(isSending ? POLLIN | POLLOUT : POLLIN), revents: 0)
            let count = poll(&entry, 1, Int32(clamping: left))
            if count <= 0 { continue }

            let ready = Int32(entry.revents)
            if isSending && ready & Int32(POLLOUT | POLLERR | POLLHUP) != 0 {
                let count = outbox.withUnsafeBytes {
                    send(socket, $0.baseAddress! + sent, $0.count - sent, MSG_NOSIGNAL | MSG_DONTWAIT)
                }
                if count > 0 {
                    sent += count
                    patience = later(timeout)
                } else if count < 0 && errno != EAGAIN && errno != EINTR {
                    // It may have said why before it left.
                    isDeaf = true
                    // The error is told once: recv would take the rest for a clean end.
                    if errno == ECONNRESET { wasReset = true }
                }
            }
            if ready & Int32(POLLIN | POLLERR | POLLHUP) == 0 { continue }
            let got = room.withUnsafeMutableBytes { recv(socket, $0.baseAddress, $0.count, MSG_DONTWAIT) }
            if got > 0 {
                inbox.append(contentsOf: room[..<got])
                return true
            }
            if got == 0 {
                if wasReset { throw ClientError.cutShort }
                hasEnded = true
                return false
            }
            if errno != EAGAIN && errno != EINTR { throw ClientError.cutShort }
        }
    }
}

private func clock() -> Milliseconds {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

private func later(_ milliseconds: Milliseconds) -> Milliseconds {
    let (sum, overflow) = clock().addingReportingOverflow(milliseconds)
    return overflow ? .max : sum
}

// MARK: - What is sent

private struct Order {
    var url: Location
    var method: String
    var fields: [HTTPField]
    var body: [UInt8]?

    init(_ request: ClientRequest) throws {
        url = try Location(request.url)
        method = request.method
        fields = request.fields
        guard isToken(method.utf8) else { throw ClientError.badField }
        for field in fields {
            guard isToken(field.name.utf8), field.value.utf8.allSatisfy(isValueByte) else { throw ClientError.badField }
            if ["content-length", "transfer-encoding", "connection"].contains(field.name.lowercased()) {
                throw ClientError.badField
            }
        }
        var type: String?
        switch request.body {
        case .none: body = ["POST", "PUT", "PATCH"].contains(method) ? [] : nil
        case .form(let pairs):
            body = Array(
                pairs.map { Order.escaped($0.name) + "=" + Order.escaped($0.value) }.joined(separator: "&").utf8)
            type = "application/x-www-form-urlencoded"
        case .json(let bytes): (body, type) = (bytes, "application/json")
        case .bytes(let bytes, let given): (body, type) = (bytes, given)
        }
        if let type, !has("content-type") {
            guard type.utf8.allSatisfy(isValueByte) else { throw ClientError.badField }
            fields.append(HTTPField("Content-Type", type))
        }
    }

    private func has(_ name: String) -> Bool { fields.contains { $0.name.lowercased() == name } }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            switch byte {
            case 48...57, 65...90, 97...122, 42, 45, 46, 95: result.unicodeScalars.append(Unicode.Scalar(byte))
            case 32: result += "+"
            default: result += (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
            }
        }
        return result
    }

    var isIdempotent: Bool { ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].contains(method) }

    var bytes: [UInt8] {
        var lines = ["\(method) \(url.target) HTTP/1.1"]
        if !has("host") { lines.append("Host: \(url.authority)") }
        lines += fields.map { "\($0.name): \($0.value)" }
        if let body { lines.append("Content-Length: \(body.count)") }
        return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8) + (body ?? [])
    }

    mutating func redirect(_ status: Int, to location: String) throws {
        let next = try url.resolve(location)
        let becomesGet = method == "POST" ? status <= 303 : status == 303 && method != "HEAD"
        if becomesGet && method != "GET" {
            method = "GET"
            body = nil
            fields.removeAll { $0.name.lowercased().hasPrefix("content-") }
        }
        if next.place != url.place {
            fields.removeAll {
                ["authorization", "cookie", "proxy-authorization", "host"].contains($0.name.lowercased())
            }
        }
        url = next
    }
}

/// Whom to connect to.
private struct Place: Equatable {
    var host: String
    var port: UInt16
}

private struct Location {
    var place: Place
    /// As in the URL, but without `:80`.
    var authority: String
    var target: String

    var text: String { "http://" + authority + target }

    init(_ text: String) throws {
        let bytes = Array(text.utf8)
        guard bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { throw ClientError.badURL }
        guard let scheme = Location.scheme(bytes[...]) else { throw ClientError.badURL }
        guard scheme == "http" else { throw ClientError.unsupportedScheme }
        guard bytes.count >= 7, bytes[5] == 47, bytes[6] == 47 else { throw ClientError.badURL }
        let rest = bytes[7...].prefix { $0 != 35 }
        let authority = rest.prefix { $0 != 47 && $0 != 63 }
        let target = String(decoding: rest[authority.endIndex...], as: UTF8.self)
        self.target = target.first == "/" ? target : "/" + target

        var host = authority
        var port: ArraySlice<UInt8> = []
        if authority.first == 91 {
            guard let end = authority.firstIndex(of: 93) else { throw ClientError.badURL }
            host = authority[...end]
            port = authority[(end + 1)...]
            let digits = host.dropFirst().dropLast()
            guard digits.contains(58), digits.allSatisfy({ hexDigit($0) != nil || $0 == 58 || $0 == 46 }) else {
                throw ClientError.badURL
            }
        } else {
            host = authority.prefix { $0 != 58 }
            port = authority[host.endIndex...]
            let others = Set("-._~".utf8)
            let isGood = { (byte: UInt8) in
                isDigit(byte) || (byte | 32) >= 97 && (byte | 32) <= 122 || others.contains(byte)
            }
            guard !host.isEmpty, host.allSatisfy(isGood) else { throw ClientError.badURL }
        }
        var number: UInt16 = 80
        if !port.isEmpty {
            let digits = port.dropFirst()
            guard port.first == 58, digits.allSatisfy(isDigit) else { throw ClientError.badURL }
            if !digits.isEmpty {
                guard let given = UInt16(String(decoding: digits, as: UTF8.self)) else { throw ClientError.badURL }
                number = given
            }
        }
        let name = String(decoding: host, as: UTF8.self)
        let isLiteral = host.first == 91
        place = Place(host: (isLiteral ? String(name.dropFirst().dropLast()) : name).lowercased(), port: number)
        self.authority = number == 80 ? name : "\(name):\(number)"
    }

    /// In lower case; nil if there is none in front of the first colon.
    private static func scheme(_ bytes: ArraySlice<UInt8>) -> String? {
        guard let colon = bytes.firstIndex(of: 58), let first = bytes.first, colon > bytes.startIndex else {
            return nil
        }
        guard (first | 32) >= 97 && (first | 32) <= 122 else { return nil }
        for byte in bytes[..<colon] {
            let isLetter = (byte | 32) >= 97 && (byte | 32) <= 122
            guard isLetter || isDigit(byte) || byte == 43 || byte == 45 || byte == 46 else { return nil }
        }
        return String(decoding: bytes[..<colon], as: UTF8.self).lowercased()
    }

    /// RFC 3986, section 5.2.
    func resolve(_ reference: String) throws -> Location {
        var escaped = ""
        for byte in reference.utf8 {
            if byte == 32 || byte >= 128 {
                escaped += "%" + String(byte, radix: 16, uppercase: true)
            } else {
                escaped.unicodeScalars.append(Unicode.Scalar(byte))
            }
        }
        let bytes = Array(escaped.utf8)
        guard bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { throw ClientError.badURL }
        if Location.scheme(bytes[...]) != nil { return try Location(escaped) }
        if escaped.hasPrefix("//") { return try Location("http:" + escaped) }

        let whole = bytes.prefix { $0 != 35 }
        let path = whole.prefix { $0 != 63 }
        let query = whole[path.endIndex...]
        let base = Array(target.utf8).prefix { $0 != 63 }
        var result = self
        if path.isEmpty {
            if !query.isEmpty { result.target = String(decoding: base + query, as: UTF8.self) }
            return result
        }
        var merged = Array(path)
        if path.first != 47 {
            merged = Array(base[...(base.lastIndex(of: 47) ?? 0)]) + path
        }
        result.target = Location.withoutDots(merged) + String(decoding: query, as: UTF8.self)
        return result
    }

    private static func withoutDots(_ path: [UInt8]) -> String {
        let parts = path.dropFirst().split(separator: 47, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
        var kept: [String] = []
        for part in parts where part != "." {
            if part != ".." { kept.append(part) } else if !kept.isEmpty { kept.removeLast() }
        }
        if parts.last == "." || parts.last == ".." { kept.append("") }
        return "/" + kept.joined(separator: "/")
    }
}
