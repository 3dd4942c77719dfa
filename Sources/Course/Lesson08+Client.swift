// Lesson 08, the client's side: what it is asked for, what it gives back, and when it throws.
import Sockets

/// Sends requests one after another.
public protocol HTTPClient {
    /// - Parameter body: gets the body of the final response (not of a redirect that is followed, nor of an answer that is
    ///   retried) as it arrives, piece by piece. If it throws, so does `send`, and the connection is closed.
    /// - Returns: the final response: all of its body has arrived. Any status is an answer, not an error.
    /// - Throws: `ClientError`.
    mutating func send(_ request: ClientRequest, body: ([UInt8]) throws -> Void) throws -> ClientResponse
}

public struct ClientRequest: Equatable, Sendable {
    /// `GET`; case matters.
    public var method: String
    /// `http://host[:port][/path][?query]`; the host a name, an IPv4 address, or an IPv6 address in brackets. What stands
    /// behind `#` is not sent.
    public var url: String
    /// Besides those that the client sends of its own accord. A Host or Content-Type given here takes the place of the
    /// client's own; Content-Length, Transfer-Encoding and Connection are the client's business alone.
    public var fields: [HTTPField]
    public var body: ClientBody

    public init(method: String = "GET", url: String, fields: [HTTPField] = [], body: ClientBody = .none) {
        self.method = method
        self.url = url
        self.fields = fields
        self.body = body
    }
}

/// Goes out with its Content-Length, in one piece.
public enum ClientBody: Equatable, Sendable {
    /// Without a Content-Length, too, except that POST, PUT and PATCH say 0.
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
    /// As it was sent, perhaps empty.
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
    /// The longest wait for a connection to one address; then for each next byte of the response, and for room to send.
    public var timeout: Milliseconds
    /// The longest time for one attempt as a whole, from the connection to the last byte of the body.
    public var totalTimeout: Milliseconds
    /// How many redirects are followed; one more is an error. 0: a redirect is an answer like any other.
    public var redirects: Int
    /// How many times a request is sent to one URL at most, the first included, if it may be repeated (GET, HEAD, OPTIONS,
    /// PUT, DELETE) and the answer is 429, 500, 502, 503 or 504, or the connection could not be made or broke before the
    /// head of the answer was there. The last answer is the answer. A wait that was too long is not repeated.
    ///
    /// That a connection which was kept from before is closed is no failure of an attempt: the request goes out on a new
    /// one at once, if it may be repeated, or if nothing of it was sent.
    public var attempts: Int
    /// The wait before the second attempt; twice as long before each next one, with up to as much again at random, and
    /// never over `longestWait`. `Retry-After`, if the answer has one, counts instead.
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
    /// The request's URL, or a redirect's, is none: no host, a space, a control character, a port over 65,535, a password.
    case badURL
    /// `https` (which needs TLS), and every other scheme but `http`.
    case unsupportedScheme
    /// A method or field name that is no token, a control character in a value, or a field that is the client's business.
    case badField
    /// The name is not known, or nobody accepts a connection there; `code` is the last address's errno (`ETIMEDOUT` after
    /// `timeout`), or 0 for the name.
    case cannotConnect(code: Int32)
    /// `timeout` or `totalTimeout`, once there was a connection.
    case timedOut
    /// The connection ended, or was reset, before the response was complete.
    case cutShort
    /// The response is not HTTP/1, or can be read in two ways.
    case badResponse
    /// Over `headLimit` or `bodyLimit`: from a length alone, or one byte over the limit.
    case tooLong
    /// Over `redirects`.
    case tooManyRedirects
}

// MARK: How the graders ask

extension Lesson08 {
    var clientEntries: [Entry] {
        [
            // Options, and a list of requests, sent one after another by one client: see `options` and `clientRequest`.
            // Argument 2, if it is there: how many bytes of each body are wanted; more, and the closure throws. The answer
            // has one element for each request: a response (see `answer`), or the error as text.
            .function("client") { a in
                var client = makeClient(try options(try a.list(0)))
                let wanted = a.count > 2 ? try a.int(2) : .max
                return .list(
                    try a.list(1).indices.map { index in
                        let request = try clientRequest(try a.list(1).list(index))
                        var body: [UInt8] = []
                        return answer {
                            try client.send(request) { piece in
                                body += piece
                                if body.count > wanted { throw EnoughError.enough }
                            }
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

/// Who asked wants no more.
private enum EnoughError: Error { case enough }

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
