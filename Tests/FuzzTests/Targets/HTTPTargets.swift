// Lesson 08: requests, responses, targets, URLs, dates, ranges.
import Course

@testable import Solution08

extension FuzzTarget {
    static let request = FuzzTarget(
        "request",
        seeds: [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /a?b HTTP/1.1\r\nHost: localhost:8000\r\nContent-Length: 5\r\n\r\nhelloGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
            "PUT /x HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nTrailer: t\r\n\r\n",
            "GET http://host/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n",
            "CONNECT host:443 HTTP/1.1\r\nHost: host:443\r\n\r\n",
            "\r\nGET / HTTP/2.0\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n12345",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 3\r\n\r\nffffffffffffffffff\r\n",
        ]
    ) { stream in
        for limits in [RequestLimits(), smallLimits] { try checkRequest(stream, limits) }
    }

    static let response = FuzzTarget(
        "response",
        seeds: [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 \r\n\r\n",
            "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00\r\n\r\nrest",
            "HTTP/1.0 200 OK\r\n\r\nuntil the end", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
            "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        ]
    ) { stream in
        for method in ["GET", "HEAD", "CONNECT"] {
            for limits in [RequestLimits(), smallLimits] { try checkResponse(stream, to: method, limits) }
        }
    }

    static let path = FuzzTarget(
        "path",
        seeds: ["/a/b%20c/?q=1", "/../%2e%2e/%252e", "http://host/a?b", "/%00/%2f/%5c\\", "//a//./b", "/%C3%A4/%ff"]
    ) { bytes in
        let target = String(decoding: bytes, as: UTF8.self)
        guard let names = Solution08.reference.pathNames(target) else { return }
        for name in names {
            try expect(
                !name.isEmpty && name != "." && name != ".." && !name.utf8.contains { $0 == 0 || $0 == 0x2F },
                "\(target.debugDescription) leads to \(name.debugDescription)")
        }
    }

    static let url = FuzzTarget(
        "url",
        seeds: [
            "http://host/a/b?c\n../d", "http://[::1]:8080\n//other:81/x", "http://a:/\n?q",
            "HTTP://HOST:65536/\nhttp:/x",
            "http://a/b/c/\n./../../../x/..#f", "http://a\n\u{e4} b", "http://user@host/\nftp://x",
        ]
    ) { bytes in
        let parts = bytes.split(separator: 10, maxSplits: 1, omittingEmptySubsequences: false)
        guard let base = try? HTTPURL(String(decoding: parts[0], as: UTF8.self)) else { return }
        try checkURL(base)
        guard parts.count == 2, let next = try? base.resolved(String(decoding: parts[1], as: UTF8.self)) else { return }
        try checkURL(next)
    }

    static let dateAndRange = FuzzTarget(
        "date-and-range",
        seeds: [
            "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "bytes=0-99",
            "bytes=100-", "bytes=-18446744073709551616", "bytes=5-2", "BYTES=0-0,1-2",
        ]
    ) { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        if let seconds = httpDate(text), (0..<253_402_300_800).contains(seconds) {
            let again = httpDate(httpDate(seconds))
            try expect(again == seconds, "\(text.debugDescription): \(seconds) became \(again ?? -1)")
        }
        for size in [0, 1, 1000, .max] {
            guard case .part(let part) = parseRange(text, size: size) else { continue }
            try expect(!part.isEmpty && part.upperBound <= size, "\(text.debugDescription) of \(size) bytes is \(part)")
        }
    }
}

private let smallLimits = RequestLimits(line: 32, head: 64, fields: 3, body: 8)

private func checkRequest(_ stream: [UInt8], _ limits: RequestLimits) throws {
    try expectSameHoweverCut(stream) { pieces in
        var decoder = HTTPRequestDecoder(limits: limits)
        var decoded = Decoded<RequestEvent>()
        var body = 0
        do {
            for piece in pieces {
                decoder.feed(piece)
                while let event = try decoder.next() {
                    switch event {
                    case .head(let head):
                        body = 0
                        try expect(head.target.utf8.allSatisfy { $0 > 32 && $0 < 127 }, "target: \(head.target)")
                        try expect(
                            head.target.utf8.count + head.method.utf8.count < limits.line, "a line over the limit")
                        try check(head.fields, limits)
                    case .body(let bytes):
                        try expect(!bytes.isEmpty, "an empty piece of a body")
                        body += bytes.count
                        try expect(body <= limits.body, "\(body) bytes of body, \(limits.body) allowed")
                    case .end: break
                    }
                    // Where a body is cut into pieces is up to the decoder.
                    if case .body(let bytes) = event, case .body(let before)? = decoded.events.last {
                        decoded.events[decoded.events.count - 1] = .body(before + bytes)
                    } else {
                        decoded.events.append(event)
                    }
                }
            }
        } catch let refused as RequestRefused { decoded.error = "\(refused.status)" }
        // Of a body that is refused, how much was given out before depends on the cut.
        if decoded.error != nil, case .body? = decoded.events.last { decoded.events.removeLast() }
        return decoded
    }
}

private func checkResponse(_ stream: [UInt8], to method: String, _ limits: RequestLimits) throws {
    try expectSameHoweverCut(stream) { pieces in
        var decoder = ResponseDecoder(to: method, limits: limits)
        var decoded = Decoded<ResponseEvent>()
        do {
            for piece in pieces {
                decoder.feed(piece)
                while let event = try decoder.next() {
                    if case .head(_, _, _, let fields) = event { try check(fields, limits) }
                    if case .body(let bytes) = event, case .body(let before)? = decoded.events.last {
                        decoded.events[decoded.events.count - 1] = .body(before + bytes)
                    } else {
                        decoded.events.append(event)
                    }
                }
            }
        } catch let error as Solution08.MessageError { decoded.error = "\(error)" }
        if decoded.error != nil, case .body? = decoded.events.last { decoded.events.removeLast() }
        return decoded
    }
}

/// What would end a line where it is written out again must not be in a field.
private func check(_ fields: [HTTPField], _ limits: RequestLimits) throws {
    try expect(fields.count <= limits.fields, "\(fields.count) fields, \(limits.fields) allowed")
    for field in fields {
        try expect(
            !field.name.isEmpty && field.name.utf8.allSatisfy(isTokenByte), "name: \(field.name.debugDescription)")
        try expect(
            field.value.utf8.allSatisfy { $0 >= 32 && $0 != 127 || $0 == 9 }, "value: \(field.value.debugDescription)")
    }
}

private func checkURL(_ url: HTTPURL) throws {
    try expect(!url.origin.host.isEmpty, "no host: \(url)")
    try expect(url.target.hasPrefix("/"), "the target is \(url.target)")
    try expect(
        (url.target + url.host).utf8.allSatisfy { $0 > 32 && $0 < 127 && $0 != 0x23 }, "not fit for a line: \(url)")
    let again = try? HTTPURL(url.text)
    try expect(again == url, "\(url.text) is not what it was: \(url), \(again.map { "\($0)" } ?? "refused")")
}
