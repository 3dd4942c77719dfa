import Foundation
import Sockets

/// Lesson 08: HTTP/1.1 (RFC 9112 for the bytes, RFC 9110 for their meaning). Text lines for the head, a counted body.
public struct Lesson08: LessonContract {
    public static let slug = "08-http"

    /// A decoder for the requests of one connection: bytes in, events out, no sockets.
    public var makeRequestDecoder: (RequestLimits) -> any RequestDecoder
    /// The names on the way from the root to what a request target asks for: `/a%20b/c?q` gives `["a b", "c"]`, `/` gives
    /// none, `/a/` and `/a` both give `["a"]`. Nil if the target must not be looked up: see `TargetPath` in the exercise.
    public var pathNames: (_ target: String) -> [String]?
    /// Answers GET and HEAD with the files below `root`, many clients at once.
    public var fileServer: (_ host: String, _ port: UInt16, _ root: String) throws -> Void
    /// Keeps what clients PUT and POST, in memory, and gives it back: many clients at once, one store.
    public var storeServer: (_ host: String, _ port: UInt16) throws -> Void
    /// A client that keeps connections open from one request to the next.
    public var makeClient: (ClientOptions) -> any HTTPClient

    public init(
        makeRequestDecoder: @escaping (RequestLimits) -> any RequestDecoder,
        pathNames: @escaping (_ target: String) -> [String]?,
        fileServer: @escaping (_ host: String, _ port: UInt16, _ root: String) throws -> Void,
        storeServer: @escaping (_ host: String, _ port: UInt16) throws -> Void,
        makeClient: @escaping (ClientOptions) -> any HTTPClient
    ) {
        self.makeRequestDecoder = makeRequestDecoder
        self.pathNames = pathNames
        self.fileServer = fileServer
        self.storeServer = storeServer
        self.makeClient = makeClient
    }

    /// How long both servers wait: for a whole head, from the connection or the end of the last request on; for the next
    /// bytes of a body; for a client to take more of an answer. After that they close the connection.
    public static let clientTimeout: Milliseconds = 3000

    /// The longest body that the store takes; a longer one is refused with 413.
    public static let bodyLimit = 1 << 20
    /// The most that the store keeps, all bodies together; what would not fit is refused with 507.
    public static let storeLimit = 64 << 20

    public var entries: [Entry] {
        [
            // The limits, a stream, and how to cut it: see `chunks`. See `decode` for the answer.
            .function("request-decoder") { a in
                .list(decode(with: makeRequestDecoder(try limits(a)), chunks: try chunks(a)))
            },
            // The limits, a pattern, how often it is repeated, and the size of a chunk. The answer: how many requests
            // ended, and the CPU time that the decoder took, in nanoseconds.
            .function("request-decoder-cost") { a in try cost(of: makeRequestDecoder(try limits(a)), a) },
            // A target; the answer is a list of names, or none.
            .function("path-names") { a in
                pathNames(try a.string(0)).map { .list($0.map { .string($0) }) } ?? .none
            },
            // It serves the folder that the program was started in.
            .server("file-server") { host, port in
                try fileServer(host, port, FileManager.default.currentDirectoryPath)
            },
            .server("store-server", storeServer),
            // Options, and a list of requests, sent one after another by one client: see `options` and `clientRequest`.
            // The answer has one element for each: a response (see `value`), or the error as text.
            .function("client") { a in
                var client = makeClient(try options(try a.list(0)))
                return .list(
                    try a.list(1).indices.map { index in
                        let request = try clientRequest(try a.list(1).list(index))
                        var body: [UInt8] = []
                        return answer {
                            try client.send(request) { body += $0 }
                        } body: {
                            .bytes(body)
                        }
                    })
            },
            // The same, for bodies that are too long to hand over: argument 2 is a pattern that the body repeats. In place of
            // the body its length, and the position of the first byte that differs from the pattern, or -1.
            .function("client-download") { a in
                var client = makeClient(try options(try a.list(0)))
                let pattern = try a.bytes(2)
                return .list(
                    try a.list(1).indices.map { index in
                        let request = try clientRequest(try a.list(1).list(index))
                        var body = Repetition(of: pattern)
                        return answer {
                            try client.send(request) { body.compare($0) }
                        } body: {
                            .list([.int(body.count), .int(body.firstDifference ?? -1)])
                        }
                    })
            },
        ]
    }
}

// MARK: Requests, as a server sees them

/// Bytes in, events out, no sockets: it keeps what does not make an event yet.
///
///     decoder.feed(bytes)                          // whatever one recv gave
///     while let event = try decoder.next() { … }
///
/// One request is `.head`, then any number of `.body`, then `.end`; after it the next request begins.
public protocol RequestDecoder {
    /// - Parameter bytes: the next bytes of the connection, cut anywhere; perhaps none.
    mutating func feed(_ bytes: [UInt8])

    /// - Returns: the next event, or nil if more bytes are needed for it, which is no error.
    /// - Throws: `RequestRefused`; where the next request begins is not known after that, and the decoder is not asked again.
    mutating func next() throws -> RequestEvent?
}

public enum RequestEvent: Equatable, Sendable {
    /// All of the head was here, and is as it should be.
    case head(RequestHead)
    /// A piece of the body, without its chunk sizes; never empty. Where a body is cut into pieces is up to the decoder.
    case body([UInt8])
    /// The request is complete. Trailer fields were checked as other fields are, and dropped.
    case end
}

public struct RequestHead: Equatable, Sendable {
    /// `GET`; case matters. Any token: whether it is known is not the decoder's question.
    public var method: String
    /// As it was sent: `/index.html?a=1`, `http://host/index.html`, `*` (OPTIONS only), `host:port` (CONNECT only).
    public var target: String
    /// 0 for HTTP/1.0, 1 for HTTP/1.1, and what was sent for later ones of version 1.
    public var minorVersion: Int
    /// In the order in which they came. Names as they were sent; values without white space around them.
    public var fields: [HTTPField]

    public init(method: String, target: String, minorVersion: Int, fields: [HTTPField]) {
        self.method = method
        self.target = target
        self.minorVersion = minorVersion
        self.fields = fields
    }
}

/// One line of a head: `Host: localhost`.
public struct HTTPField: Equatable, Sendable {
    /// Case does not matter in it.
    public var name: String
    /// Decoded as UTF-8; nearly always ASCII.
    public var value: String

    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// What a decoder takes at most. Each refusal is due as soon as it is known: one byte over the limit, not when the
/// line is complete.
public struct RequestLimits: Equatable, Sendable {
    /// Bytes of the request line, without its CR LF: over it, 414.
    public var line: Int
    /// Bytes of all field lines together, with their CR LFs: over it, 431. Trailers have as much again.
    public var head: Int
    /// Number of field lines: over it, 431.
    public var fields: Int
    /// Bytes of the body: over it, 413, from `Content-Length` or a chunk's size alone.
    public var body: Int

    public init(line: Int = 8192, head: Int = 16_384, fields: Int = 100, body: Int = Lesson08.bodyLimit) {
        self.line = line
        self.head = head
        self.fields = fields
        self.body = body
    }
}

/// What a server answers to a request that it does not accept, before it closes the connection.
///
///   - 400: the bytes are not HTTP, or can be read in two ways;
///   - 413, 414, 431: over a limit;
///   - 501: a transfer coding other than `chunked`;
///   - 505: a version other than HTTP/1.
public struct RequestRefused: Error, Equatable, Sendable {
    public var status: Int

    public init(status: Int) { self.status = status }
}

// MARK: A client

/// Sends requests one after another.
public protocol HTTPClient {
    /// - Parameter body: gets the body of the final response (not of a redirect that is followed, nor of an answer that is
    ///   retried) as it arrives, piece by piece. If it throws, so does `send`, and the connection is closed.
    /// - Returns: the final response: all of its body has arrived. Any status is an answer, not an error.
    /// - Throws: `ClientError`.
    mutating func send(_ request: ClientRequest, body: ([UInt8]) throws -> Void) throws -> ClientResponse
}

public struct ClientRequest: Equatable, Sendable {
    public var method: String
    /// `http://host[:port][/path][?query]`; the host a name, an IPv4 address, or an IPv6 address in brackets. What stands
    /// behind `#` is not sent.
    public var url: String
    /// Besides those that the client sends of its own accord (Host, Content-Length, Content-Type); a field given here
    /// takes the place of one of those.
    public var fields: [HTTPField]
    public var body: ClientBody

    public init(method: String = "GET", url: String, fields: [HTTPField] = [], body: ClientBody = .none) {
        self.method = method
        self.url = url
        self.fields = fields
        self.body = body
    }
}

public enum ClientBody: Equatable, Sendable {
    case none
    /// Names and values, sent as `application/x-www-form-urlencoded`: UTF-8, letters, digits and `*-._` as they are, a
    /// space as `+`, every other byte as %XX.
    case form([HTTPField])
    /// Sent as `application/json`.
    case json([UInt8])
    /// Sent as it is, with this Content-Type.
    case bytes([UInt8], type: String)
}

public struct ClientResponse: Equatable, Sendable {
    public var status: Int
    public var reason: String
    /// In the order in which they came; values without white space around them.
    public var fields: [HTTPField]
    /// Where it came from: the request's URL, or the last redirect's, absolute.
    public var url: String

    public init(status: Int, reason: String, fields: [HTTPField], url: String) {
        self.status = status
        self.reason = reason
        self.fields = fields
        self.url = url
    }
}

public struct ClientOptions: Equatable, Sendable {
    /// The longest wait for a connection, and then for each next byte of the response, and for room to send.
    public var timeout: Milliseconds
    /// The longest time for one attempt as a whole, from the connection to the last byte of the body.
    public var totalTimeout: Milliseconds
    /// How many redirects are followed; one more is an error. 0: a redirect is an answer like any other.
    public var redirects: Int
    /// How many times a request is sent at most, the first included, if it may be repeated (GET, HEAD, OPTIONS, PUT,
    /// DELETE) and the answer is 429, 500, 502, 503 or 504, or the connection failed. The last answer is the answer.
    public var attempts: Int
    /// The wait before the second attempt; twice as long before each next one, with up to as much again at random.
    /// `Retry-After`, if the answer has one, counts instead, up to `longestWait`.
    public var backOff: Milliseconds
    /// A `Retry-After` over this is not waited for: the answer is the answer.
    public var longestWait: Milliseconds
    /// Bytes of the status line and all field lines of a response (and of its trailers).
    public var headLimit: Int
    /// Bytes of the body of a response.
    public var bodyLimit: Int

    public init(
        timeout: Milliseconds = 10_000, totalTimeout: Milliseconds = 60_000, redirects: Int = 5, attempts: Int = 3,
        backOff: Milliseconds = 500, longestWait: Milliseconds = 10_000, headLimit: Int = 65_536, bodyLimit: Int = .max
    ) {
        self.timeout = timeout
        self.totalTimeout = totalTimeout
        self.redirects = redirects
        self.attempts = attempts
        self.backOff = backOff
        self.longestWait = longestWait
        self.headLimit = headLimit
        self.bodyLimit = bodyLimit
    }
}

public enum ClientError: Error, Equatable, Sendable {
    /// It is no URL, or cannot be sent (a space, a control character, a CR LF in a field).
    case badURL
    /// `https` and every other scheme but `http`.
    case unsupportedScheme
    /// The name is not known, or nobody accepts a connection there; `code` is the last errno, or 0 for the name.
    case cannotConnect(code: Int32)
    case timedOut
    /// The connection ended, or was reset, before the response was complete.
    case cutShort
    /// The response is not HTTP, or can be read in two ways.
    case badResponse
    /// Over `headLimit` or `bodyLimit`.
    case tooLong
    /// Over `redirects`.
    case tooManyRedirects
}

// MARK: How the graders ask

/// Argument 0: line, head, fields, body.
private func limits(_ arguments: [Value]) throws -> RequestLimits {
    let numbers = try arguments.list(0)
    return RequestLimits(
        line: try numbers.int(0), head: try numbers.int(1), fields: try numbers.int(2), body: try numbers.int(3))
}

/// Feeds the chunks one by one; the answer is, for each chunk, the list of events that it completed (see `value`). A
/// refusal ends the answer with its status, another error with its text. So does a decoder that gives far more events
/// than there were bytes: `endless`.
private func decode(with decoder: any RequestDecoder, chunks: [[UInt8]]) -> [Value] {
    var decoder = decoder
    var answers: [Value] = []
    var eventsLeft = 16
    for chunk in chunks {
        decoder.feed(chunk)
        eventsLeft += 2 * chunk.count
        var events: [Value] = []
        do {
            while let event = try decoder.next() {
                events.append(value(event))
                eventsLeft -= 1
                if eventsLeft < 0 { return answers + [.list(events), .string("endless")] }
            }
            answers.append(.list(events))
        } catch let refused as RequestRefused {
            return answers + [.list(events), .int(refused.status)]
        } catch {
            return answers + [.list(events), .string("\(error)")]
        }
    }
    return answers
}

/// `["head", method, target, minorVersion, fields]`, `["body", bytes]`, or `["end"]`.
private func value(_ event: RequestEvent) -> Value {
    switch event {
    case .head(let head):
        return .list([
            .string("head"), .string(head.method), .string(head.target), .int(head.minorVersion), value(head.fields),
        ])
    case .body(let bytes): return .list([.string("body"), .bytes(bytes)])
    case .end: return .list([.string("end")])
    }
}

/// A list of `[name, value]`.
private func value(_ fields: [HTTPField]) -> Value {
    .list(fields.map { .list([.string($0.name), .string($0.value)]) })
}

private func cost(of decoder: any RequestDecoder, _ arguments: [Value]) throws -> Value {
    let (pattern, times, size) = (try arguments.bytes(1), try arguments.int(2), try arguments.int(3))
    let chunks = cut(Array(repeatElement(pattern, count: times).joined()), size)
    var decoder = decoder
    var requests = 0
    var eventsLeft = 16 + 2 * pattern.count * times
    let start = threadCPUTime()
    for chunk in chunks {
        decoder.feed(chunk)
        while eventsLeft > 0, let event = try decoder.next() {
            eventsLeft -= 1
            if event == .end { requests += 1 }
        }
    }
    return .list([.int(requests), .unsigned(threadCPUTime() - start)])
}

/// timeout, totalTimeout, redirects, attempts, backOff, longestWait, headLimit, bodyLimit.
private func options(_ a: [Value]) throws -> ClientOptions {
    ClientOptions(
        timeout: try a.int(0), totalTimeout: try a.int(1), redirects: try a.int(2), attempts: try a.int(3),
        backOff: try a.int(4), longestWait: try a.int(5), headLimit: try a.int(6), bodyLimit: try a.int(7))
}

/// `[method, url, fields, body]`; a body is none, `["form", fields]`, `["json", bytes]`, or `["bytes", bytes, type]`.
private func clientRequest(_ a: [Value]) throws -> ClientRequest {
    ClientRequest(
        method: try a.string(0), url: try a.string(1), fields: try fields(try a.list(2)), body: try clientBody(a))
}

private func clientBody(_ a: [Value]) throws -> ClientBody {
    guard a.count > 3, a[3] != .none else { return .none }
    let body = try a.list(3)
    switch try body.string(0) {
    case "form": return .form(try fields(try body.list(1)))
    case "json": return .json(try body.bytes(1))
    case "bytes": return .bytes(try body.bytes(1), type: try body.string(2))
    case let kind: throw ArgumentError(description: "no body is called \(kind)")
    }
}

private func fields(_ a: [Value]) throws -> [HTTPField] {
    try a.indices.map { HTTPField(try a.list($0).string(0), try a.list($0).string(1)) }
}

/// `[status, reason, fields, url, body]`, or the error as text.
private func answer(_ send: () throws -> ClientResponse, body: () -> Value) -> Value {
    do {
        let response = try send()
        return .list([
            .int(response.status), .string(response.reason), value(response.fields), .string(response.url), body(),
        ])
    } catch {
        return .string("\(error)")
    }
}

/// Compares a long content, piece by piece, with a pattern that it should repeat.
private struct Repetition {
    private let pattern: [UInt8]
    private(set) var count = 0
    private(set) var firstDifference: Int?

    init(of pattern: [UInt8]) { self.pattern = pattern }

    mutating func compare(_ piece: [UInt8]) {
        var start = 0
        while start < piece.count && firstDifference == nil && !pattern.isEmpty {
            let offset = (count + start) % pattern.count
            let length = min(piece.count - start, pattern.count - offset)
            let isSame = piece.withUnsafeBytes { piece in
                pattern.withUnsafeBytes { memcmp(piece.baseAddress! + start, $0.baseAddress! + offset, length) == 0 }
            }
            if !isSame {
                let within = (0..<length).first { piece[start + $0] != pattern[offset + $0] } ?? 0
                firstDifference = count + start + within
            }
            start += length
        }
        count += piece.count
    }
}
