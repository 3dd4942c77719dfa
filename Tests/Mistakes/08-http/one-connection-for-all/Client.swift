// The client: which request is sent next. Redirects and repetitions are decided here, from the head of an answer alone;
// ClientConnection moves the bytes, ResponseDecoder reads them, OutgoingRequest writes them.
import Course
import Sockets

struct Client: HTTPClient {
    let options: ClientOptions
    /// The connection that waits for a next request.
    private var idle: ClientConnection?

    init(options: ClientOptions) {
        self.options = options
    }

    mutating func send(_ request: ClientRequest, body: ([UInt8]) throws -> Void) throws -> ClientResponse {
        var outgoing = try OutgoingRequest(request)
        var redirectsLeft = options.redirects
        while true {
            let answer = try persevere(outgoing, body)
            guard options.redirects > 0, let location = answer.redirect else {
                return ClientResponse(
                    status: answer.status, reason: answer.reason, fields: answer.fields, url: outgoing.url.text)
            }
            guard redirectsLeft > 0 else { throw ClientError.tooManyRedirects }
            redirectsLeft -= 1
            outgoing = try outgoing.redirected(answer.status, to: location)
        }
    }

    // MARK: Repeating

    /// The same request until there is an answer that is worth having, or there were enough attempts.
    private mutating func persevere(
        _ request: OutgoingRequest, _ body: ([UInt8]) throws -> Void
    ) throws -> Answer {
        var attempt = 1
        while true {
            let isLast = !request.isRepeatable || attempt >= options.attempts
            var wait = options.wait(after: attempt)
            do {
                let answer = try exchange(request, isWanted: { [options] in options.isFinal($0, isLast) }, body)
                guard !isLast, let asked = options.wait(after: answer, wait) else { return answer }
                wait = asked
            } catch let failure as BeforeTheHead {
                if isLast { throw failure.reason }
            }
            sleep(milliseconds: wait)
            attempt += 1
        }
    }

    // MARK: One exchange

    /// The connection failed, and nothing of an answer was seen: the request may be sent again, if it may be repeated.
    private struct BeforeTheHead: Error {
        var reason: ClientError
    }

    /// - Parameter isWanted: whether the body of an answer with this head is for the taker; otherwise it is nobody's.
    private mutating func exchange(
        _ request: OutgoingRequest, isWanted: (Answer) -> Bool, _ take: ([UInt8]) throws -> Void
    ) throws -> Answer {
        if let kept = idle, kept.isIdle {
            idle = nil
            do {
                return try exchange(request, over: kept, Patience(options), isWanted: isWanted, take)
            } catch is BeforeTheHead where request.isRepeatable {
                // The server closed it at the moment when the request was sent. That says nothing about the server, so it
                // does not count as an attempt. What must not be done twice may have been done, so that fails.
            }
        }
        let patience = Patience(options)
        let connection: ClientConnection
        do { connection = try ClientConnection(to: request.url.origin, patience) } catch let error as ClientError {
            if case .cannotConnect = error { throw BeforeTheHead(reason: error) }
            throw error
        }
        return try exchange(request, over: connection, patience, isWanted: isWanted, take)
    }

    /// A body that nobody wants is read to its end if it is short, so that the connection can be used again.
    private static let mostUnwanted = 65_536

    private mutating func exchange(
        _ request: OutgoingRequest, over connection: ClientConnection, _ patience: Patience,
        isWanted: (Answer) -> Bool, _ take: ([UInt8]) throws -> Void
    ) throws -> Answer {
        var reader = AnswerReader(to: request.method, options)
        do {
            let isSentWhole = try connection.exchange(request.bytes, patience) { received in
                try reader.read(received) { answer, piece, count in
                    guard isWanted(answer) else { return count <= Client.mostUnwanted }
                    try take(piece)
                    return true
                }
            }
            if isSentWhole && reader.leavesConnectionUsable { keep(connection) }
        } catch let error {
            // An answer that goes elsewhere has said all with its head: what becomes of its body does not matter.
            if let answer = reader.answer, !isWanted(answer) { return answer }
            if reader.answer == nil, case ClientError.cutShort = error { throw BeforeTheHead(reason: .cutShort) }
            throw error
        }
        guard let answer = reader.answer else { throw BeforeTheHead(reason: .cutShort) }
        return answer
    }

    private mutating func keep(_ connection: ClientConnection) {
        idle = connection
    }
}

// MARK: - When to go on

extension ClientOptions {
    /// The body of an answer that is not the last one is nobody's.
    func isFinal(_ answer: Answer, _ isLast: Bool) -> Bool {
        if redirects > 0 && answer.redirect != nil { return false }
        return isLast || wait(after: answer, 0) == nil
    }

    /// How long to wait before this answer is asked for again; nil if it is to be taken as it is.
    func wait(after answer: Answer, _ backOff: Milliseconds) -> Milliseconds? {
        guard [429, 500, 502, 503, 504].contains(answer.status) else { return nil }
        guard let asked = answer.retryAfter else { return backOff }
        return asked <= longestWait ? asked : nil
    }

    /// Twice as long each time, so that a server which is overloaded gets some rest; with chance in it, so that a thousand
    /// clients that failed together do not come back together.
    func wait(after attempt: Int) -> Milliseconds {
        let base = max(0, min(longestWait, backOff << min(attempt - 1, 20)))
        return min(longestWait, base + Int.random(in: 0...base))
    }
}

extension Patience {
    init(_ options: ClientOptions) { self.init(each: options.timeout, total: options.totalTimeout) }
}

extension Answer {
    /// Where the answer sends the client, if it does.
    var redirect: String? {
        guard [301, 302, 303, 307, 308].contains(status) else { return nil }
        return fields["Location"]
    }

    /// Milliseconds from now, from seconds or a date (RFC 9110 section 10.2.3).
    var retryAfter: Milliseconds? {
        guard let text = fields["Retry-After"] else { return nil }
        if !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }) {
            return Int(text).map { min($0, Int(Int32.max)) * 1000 } ?? .max
        }
        guard let date = httpDate(text) else { return nil }
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return max(0, (date - Int(now.tv_sec)) * 1000 - Int(now.tv_nsec) / 1_000_000)
    }
}

/// nanosleep(2): all of it, however many signals come.
private func sleep(milliseconds: Milliseconds) {
    var time = timespec(tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000)
    var left = timespec()
    while nanosleep(&time, &left) != 0 && errno == EINTR { time = left }
}
