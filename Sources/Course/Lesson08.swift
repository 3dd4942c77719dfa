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

    /// How long both servers wait for a whole head, from the connection or from the end of the last answer on, however it
    /// trickles in; and for the next bytes of a body. Then they close the connection (408 is allowed before, where a request
    /// has begun).
    public static let clientTimeout: Milliseconds = 3000
    /// How long they wait for a client to take more of an answer. Longer: a client that reads slowly but steadily takes
    /// tens of kilobytes at once, then nothing for a while, as seen by `send`.
    public static let answerTimeout: Milliseconds = 10_000

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
        ] + clientEntries
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
func value(_ fields: [HTTPField]) -> Value {
    .list(fields.map { .list([.string($0.name), .string($0.value)]) })
}

private func cost(of decoder: any RequestDecoder, _ arguments: [Value]) throws -> Value {
    let (pattern, times, size) = (try arguments.bytes(1), try arguments.int(2), try arguments.int(3))
    let chunks = cut(repeatElement(pattern, count: times).flatMap { $0 }, size)
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
