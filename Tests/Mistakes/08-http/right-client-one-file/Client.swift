import Course
import Foundation
import Sockets

/// Owns one socket.
private final class Wire {
    let key: String
    let fd: Int32
    var buffer: [UInt8] = []
    var position = 0

    init(key: String, fd: Int32) {
        self.key = key
        self.fd = fd
    }

    deinit { close(fd) }
}

private struct TryAgain: Error { var why: ClientError }

struct Client: HTTPClient {
    let options: ClientOptions
    private var kept: [String: Wire] = [:]
    private var end = Date()

    init(options: ClientOptions) { self.options = options }

    mutating func send(_ request: ClientRequest, body: ([UInt8]) throws -> Void) throws -> ClientResponse {
        var method = request.method
        var (content, type): ([UInt8]?, String?) = (nil, nil)
        switch request.body {
        case .none: break
        case .form(let pairs):
            content = Array(pairs.map { escape($0.name) + "=" + escape($0.value) }.joined(separator: "&").utf8)
            type = "application/x-www-form-urlencoded"
        case .json(let bytes): (content, type) = (bytes, "application/json")
        case .bytes(let bytes, let given): (content, type) = (bytes, given)
        }
        var fields = request.fields
        let token = CharacterSet(
            charactersIn: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~")
        func isToken(_ text: String) -> Bool {
            !text.isEmpty && text.unicodeScalars.allSatisfy { token.contains($0) }
        }
        guard isToken(method) else { throw ClientError.badField }
        for field in fields {
            let mine = ["content-length", "transfer-encoding", "connection"].contains(field.name.lowercased())
            guard isToken(field.name), !mine, !field.value.utf8.contains(where: { $0 < 32 && $0 != 9 || $0 == 127 })
            else { throw ClientError.badField }
        }
        if let type, !fields.contains(where: { $0.name.lowercased() == "content-type" }) {
            fields.append(HTTPField("Content-Type", type))
        }
        var url = try parse(request.url)
        var hops = 0
        while true {
            let answer = try attempts(method, url, fields, content, body)
            guard options.redirects > 0, [301, 302, 303, 307, 308].contains(answer.status),
                let location = answer.fields.first(where: { $0.name.lowercased() == "location" })?.value
            else { return answer }
            if hops == options.redirects { throw ClientError.tooManyRedirects }
            hops += 1
            guard let base = URL(string: url.text), let next = URL(string: location, relativeTo: base) else {
                throw ClientError.badURL
            }
            let target = try parse(next.absoluteURL.standardized.absoluteString)
            if answer.status == 303 && method != "HEAD" || answer.status < 303 && method == "POST" {
                method = "GET"
                content = nil
                fields.removeAll { $0.name.lowercased().hasPrefix("content-") }
            }
            if target.key != url.key {
                fields.removeAll { ["authorization", "cookie", "host"].contains($0.name.lowercased()) }
            }
            url = target
        }
    }

    private mutating func attempts(
        _ method: String, _ url: Place, _ fields: [HTTPField], _ content: [UInt8]?, _ body: ([UInt8]) throws -> Void
    ) throws -> ClientResponse {
        let again = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].contains(method)
        var number = 1
        var pause = options.backOff
        while true {
            let last = !again || number >= options.attempts
            var wait = min(options.longestWait, pause + Int.random(in: 0...max(1, pause)))
            do {
                let (answer, retry) = try once(method, url, fields, content, last: last, again: again, body)
                guard let retry else { return answer }
                wait = retry < 0 ? wait : retry
            } catch let failure as TryAgain {
                if last { throw failure.why }
            }
            let until = Date(timeIntervalSinceNow: Double(wait) / 1000)
            while Date() < until { Thread.sleep(until: until) }
            pause *= 2
            number += 1
        }
    }

    /// - Returns: the answer, and how long to wait if it is to be asked for again (-1: as usual).
    private mutating func once(
        _ method: String, _ url: Place, _ fields: [HTTPField], _ content: [UInt8]?, last: Bool, again: Bool,
        _ body: ([UInt8]) throws -> Void
    ) throws -> (ClientResponse, Int?) {
        end = Date(timeIntervalSinceNow: Double(options.totalTimeout) / 1000)
        var text = "\(method) \(url.target) HTTP/1.1\r\n"
        if !fields.contains(where: { $0.name.lowercased() == "host" }) { text += "Host: \(url.authority)\r\n" }
        for field in fields { text += "\(field.name): \(field.value)\r\n" }
        if content != nil || ["POST", "PUT", "PATCH"].contains(method) {
            text += "Content-Length: \(content?.count ?? 0)\r\n"
        }
        let bytes = Array((text + "\r\n").utf8) + (content ?? [])
        if let old = kept.removeValue(forKey: url.key) {
            var byte: UInt8 = 0
            if recv(old.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0, errno == EAGAIN {
                do { return try talk(old, bytes, method, url, last, body) } catch is TryAgain where again {}
            }
        }
        return try talk(Wire(key: url.key, fd: try dial(url)), bytes, method, url, last, body)
    }

    private mutating func talk(
        _ wire: Wire, _ bytes: [UInt8], _ method: String, _ url: Place, _ last: Bool, _ body: ([UInt8]) throws -> Void
    ) throws -> (ClientResponse, Int?) {
        var sawHead = false
        do {
            let whole = try push(wire, bytes)
            var budget = options.headLimit
            var interim = 0
            var first: [UInt8]
            var head: [HTTPField]
            var status: Int
            repeat {
                first = try line(wire, &budget)
                let words = first.split(separator: 32, maxSplits: 2, omittingEmptySubsequences: false)
                guard words.count >= 2, words[0].count == 8, words[0].starts(with: "HTTP/1.".utf8),
                    (48...57).contains(words[0].last ?? 0), words[1].count == 3,
                    words[1].allSatisfy({ (48...57).contains($0) }),
                    let code = Int(String(decoding: words[1], as: UTF8.self))
                else { throw ClientError.badResponse }
                status = code
                head = try fieldLines(wire, &budget)
                interim += 1
                if status == 101 || interim > 50 { throw ClientError.badResponse }
            } while status < 200
            sawHead = true
            let words = first.split(separator: 32, maxSplits: 2, omittingEmptySubsequences: false)
            let reason = words.count == 3 ? String(decoding: words[2], as: UTF8.self) : ""
            let answer = ClientResponse(status: status, reason: reason, fields: head, url: url.text)
            var retry: Int?
            if !last, [429, 500, 502, 503, 504].contains(status) {
                retry = -1
                if let after = head.first(where: { $0.name.lowercased() == "retry-after" })?.value {
                    if after.utf8.allSatisfy({ (48...57).contains($0) }) {
                        retry = (Int(after) ?? Int.max / 2000).multipliedReportingOverflow(by: 1000).partialValue
                    } else {
                        let form = DateFormatter()
                        form.locale = Locale(identifier: "en_US_POSIX")
                        form.timeZone = TimeZone(secondsFromGMT: 0)
                        form.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
                        if let date = form.date(from: after) {
                            retry = max(0, Int((date.timeIntervalSinceNow * 1000).rounded(.up)))
                        }
                    }
                }
                if let wait = retry, wait > options.longestWait { retry = nil }
            }
            let moves =
                options.redirects > 0 && [301, 302, 303, 307, 308].contains(status)
                && head.contains { $0.name.lowercased() == "location" }
            var thrown = 0
            let take: ([UInt8]) throws -> Bool = { piece in
                if moves || retry != nil {
                    thrown += piece.count
                    return thrown < 100_000
                }
                try body(piece)
                return true
            }
            let ended = try content(wire, method, status, head, &budget, take)
            let tokens = head.filter { $0.name.lowercased() == "connection" }
                .flatMap { $0.value.lowercased().split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) } }
            let stays = !tokens.contains("close") && (first[7] != 48 || tokens.contains("keep-alive"))
            if ended, stays, whole, wire.position == wire.buffer.count {
                wire.buffer = []
                wire.position = 0
                kept[wire.key] = wire
            }
            return (answer, retry)
        } catch ClientError.cutShort where !sawHead {
            throw TryAgain(why: .cutShort)
        }
    }

    /// - Returns: whether the end of the body is known and reached.
    private func content(
        _ wire: Wire, _ method: String, _ status: Int, _ head: [HTTPField], _ budget: inout Int,
        _ take: ([UInt8]) throws -> Bool
    ) throws -> Bool {
        func all(_ name: String) -> [String] { head.filter { $0.name.lowercased() == name }.map(\.value) }
        if method == "HEAD" || status == 204 || status == 304 { return true }
        let (coding, lengths) = (all("transfer-encoding"), all("content-length"))
        var total = 0
        if !coding.isEmpty {
            guard coding.count == 1, coding[0].lowercased() == "chunked", lengths.isEmpty else {
                throw ClientError.badResponse
            }
            while true {
                let text = String(decoding: try line(wire, &budget, bad: .badResponse), as: UTF8.self)
                let digits = text.prefix { $0.isASCII && $0.isHexDigit }
                let rest = text[digits.endIndex...].drop { $0 == " " || $0 == "\t" }
                guard !digits.isEmpty, rest.isEmpty || rest.hasPrefix(";"), let size = Int(digits, radix: 16) else {
                    throw ClientError.badResponse
                }
                if size == 0 { break }
                if size > options.bodyLimit - total { throw ClientError.tooLong }
                total += size
                if try !exactly(size, wire, take) { return false }
                var none = 2
                guard try line(wire, &none, bad: .badResponse).isEmpty else { throw ClientError.badResponse }
            }
            _ = try fieldLines(wire, &budget)
            return true
        }
        if let length = lengths.first {
            guard lengths.count == 1, !length.isEmpty, length.utf8.allSatisfy({ (48...57).contains($0) }) else {
                throw ClientError.badResponse
            }
            guard let count = Int(length), count <= options.bodyLimit else { throw ClientError.tooLong }
            return try exactly(count, wire, take)
        }
        while true {
            if wire.position < wire.buffer.count {
                let piece = Array(wire.buffer[wire.position...])
                wire.position = wire.buffer.count
                total += piece.count
                if total > options.bodyLimit { throw ClientError.tooLong }
                if try !take(piece) { return false }
            }
            if try !fill(wire) { return false }
        }
    }

    private func exactly(_ count: Int, _ wire: Wire, _ take: ([UInt8]) throws -> Bool) throws -> Bool {
        var left = count
        while left > 0 {
            if wire.position == wire.buffer.count, try !fill(wire) { throw ClientError.cutShort }
            let piece = Array(wire.buffer[wire.position..<min(wire.buffer.count, wire.position + left)])
            wire.position += piece.count
            left -= piece.count
            if try !take(piece) { return false }
        }
        return true
    }

    private func fieldLines(_ wire: Wire, _ budget: inout Int) throws -> [HTTPField] {
        var fields: [HTTPField] = []
        while true {
            let bytes = try line(wire, &budget)
            if bytes.isEmpty { return fields }
            guard let colon = bytes.firstIndex(of: 58), colon > 0, !bytes[..<colon].contains(where: { $0 <= 32 }),
                !bytes.contains(where: { $0 < 32 && $0 != 9 || $0 == 127 })
            else { throw ClientError.badResponse }
            let value = String(decoding: bytes[(colon + 1)...], as: UTF8.self).trimmingCharacters(in: .whitespaces)
            fields.append(HTTPField(String(decoding: bytes[..<colon], as: UTF8.self), value))
        }
    }

    private func line(_ wire: Wire, _ budget: inout Int, bad: ClientError = .tooLong) throws -> [UInt8] {
        var searched = wire.position
        while true {
            if let end = wire.buffer[searched...].firstIndex(of: 10) {
                let line = wire.buffer[wire.position..<end]
                guard line.last == 13 else { throw ClientError.badResponse }
                budget -= line.count + 1
                if budget < 0 { throw bad }
                wire.position = end + 1
                return Array(line.dropLast())
            }
            if wire.buffer.count - wire.position > budget { throw bad }
            let seen = wire.buffer.count - wire.position
            guard try fill(wire) else { throw ClientError.cutShort }
            searched = wire.position + seen
        }
    }

    // MARK: Sockets

    private func left() throws -> Int32 {
        let total = end.timeIntervalSinceNow * 1000
        if total <= 0 { throw ClientError.timedOut }
        return Int32(min(Double(options.timeout), total.rounded(.up)))
    }

    private func ready(_ fd: Int32, _ events: Int32) throws -> Int32 {
        let until = Date(timeIntervalSinceNow: Double(options.timeout) / 1000)
        while true {
            var entry = pollfd(fd: fd, events: Int16(events), revents: 0)
            let count = poll(&entry, 1, min(try left(), Int32(max(0, until.timeIntervalSinceNow * 1000).rounded(.up))))
            if count > 0 { return Int32(entry.revents) }
            if count == 0 { throw ClientError.timedOut }
            if errno != EINTR { throw SocketError("poll", errno) }
        }
    }

    /// - Returns: false at the end of the stream.
    private func fill(_ wire: Wire) throws -> Bool {
        if wire.position > 0 {
            wire.buffer.removeFirst(wire.position)
            wire.position = 0
        }
        var part = [UInt8](repeating: 0, count: 32_768)
        while true {
            _ = try ready(wire.fd, Int32(POLLIN))
            let count = recv(wire.fd, &part, part.count, 0)
            if count < 0 && errno == EINTR { continue }
            if count < 0 { throw ClientError.cutShort }
            wire.buffer += part[..<count]
            return count > 0
        }
    }

    /// - Returns: whether all of it was sent.
    private func push(_ wire: Wire, _ bytes: [UInt8]) throws -> Bool {
        var sent = 0
        while sent < bytes.count {
            let events = try ready(wire.fd, Int32(POLLIN | POLLOUT))
            // It answers, or has gone: what follows tells.
            if events & Int32(POLLIN) != 0 { return false }
            let count = bytes[sent...].withUnsafeBytes {
                Sockets.send(wire.fd, $0.baseAddress, $0.count, MSG_NOSIGNAL | MSG_DONTWAIT)
            }
            if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
            if count < 0 { return false }
            sent += count
        }
        return true
    }

    private func dial(_ url: Place) throws -> Int32 {
        var hints = addrinfo()
        hints.ai_socktype = SOCK_STREAM
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(url.host, "\(url.port)", &hints, &list) == 0 else {
            throw TryAgain(why: .cannotConnect(code: 0))
        }
        defer { freeaddrinfo(list) }
        var code: Int32 = 0
        var next = list
        while let info = next?.pointee {
            next = info.ai_next
            let fd = socket(info.ai_family, SOCK_STREAM, 0)
            guard fd >= 0 else {
                code = errno
                continue
            }
            let flags = fcntl(fd, F_GETFL)
            _ = fcntl(fd, F_SETFL, flags | O_NONBLOCK)
            if connect(fd, info.ai_addr, info.ai_addrlen) != 0 {
                code = errno
                if code == EINPROGRESS || code == EINTR {
                    do {
                        _ = try ready(fd, Int32(POLLOUT))
                        var size = socklen_t(4)
                        getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size)
                    } catch { code = ETIMEDOUT }
                }
                if code != 0 {
                    close(fd)
                    continue
                }
            }
            _ = fcntl(fd, F_SETFL, flags)
            return fd
        }
        throw TryAgain(why: .cannotConnect(code: code))
    }

    // MARK: URLs

    private struct Place {
        var host: String
        var port: Int
        var target: String

        var authority: String {
            let name = host.contains(":") ? "[\(host)]" : host
            return port == 80 ? name : "\(name):\(port)"
        }
        var key: String { "\(host) \(port)" }
        var text: String { "http://" + authority + target }
    }

    private func parse(_ text: String) throws -> Place {
        guard text.utf8.allSatisfy({ $0 > 32 && $0 < 127 }), let parts = URLComponents(string: text),
            let scheme = parts.scheme
        else { throw ClientError.badURL }
        guard scheme.lowercased() == "http" else { throw ClientError.unsupportedScheme }
        guard let name = parts.host, !name.isEmpty, parts.user == nil, (0...65_535).contains(parts.port ?? 80) else {
            throw ClientError.badURL
        }
        let host = name.hasPrefix("[") ? String(name.dropFirst().dropLast()) : name
        let path = parts.percentEncodedPath.isEmpty ? "/" : parts.percentEncodedPath
        return Place(
            host: host.lowercased(), port: parts.port ?? 80,
            target: path + (parts.percentEncodedQuery.map { "?" + $0 } ?? ""))
    }

    private func escape(_ text: String) -> String {
        text.utf8.map { byte -> String in
            let letter = Character(Unicode.Scalar(byte))
            if byte < 128, letter.isLetter || letter.isNumber || "*-._".contains(letter) { return String(letter) }
            return byte == 32 ? "+" : String(format: "%%%02X", byte)
        }.joined()
    }
}
