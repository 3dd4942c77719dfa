import Course
import Sockets

struct Client: HTTPClient {
    let options: ClientOptions
    private var idle: [HTTPURL.Origin: ClientConnection] = [:]

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

    private struct BeforeTheHead: Error {
        var reason: ClientError
    }

    private mutating func exchange(
        _ request: OutgoingRequest, isWanted: (Answer) -> Bool, _ take: ([UInt8]) throws -> Void
    ) throws -> Answer {
        if let kept = idle.removeValue(forKey: request.url.origin), kept.isIdle {
            do {
                return try exchange(request, over: kept, Patience(options), isWanted: isWanted, take)
            } catch is BeforeTheHead where request.isRepeatable {
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
            if let answer = reader.answer, !isWanted(answer) { return answer }
            if reader.answer == nil, case ClientError.cutShort = error { throw BeforeTheHead(reason: .cutShort) }
            throw error
        }
        guard let answer = reader.answer else { throw BeforeTheHead(reason: .cutShort) }
        return answer
    }

    private static let mostIdle = 8

    private mutating func keep(_ connection: ClientConnection) {
        if idle.count >= Client.mostIdle, let other = idle.keys.first { idle[other] = nil }
        idle[connection.origin] = connection
    }
}

extension ClientOptions {
    func isFinal(_ answer: Answer, _ isLast: Bool) -> Bool {
        if redirects > 0 && answer.redirect != nil { return false }
        return isLast || wait(after: answer, 0) == nil
    }

    func wait(after answer: Answer, _ backOff: Milliseconds) -> Milliseconds? {
        guard [429, 500, 502, 503, 504].contains(answer.status) else { return nil }
        guard let asked = answer.retryAfter else { return backOff }
        return asked <= longestWait ? asked : nil
    }

    func wait(after attempt: Int) -> Milliseconds {
        let base = max(0, min(longestWait, backOff << min(attempt - 1, 20)))
        return min(longestWait, base + Int.random(in: 0...base))
    }
}

extension Patience {
    init(_ options: ClientOptions) { self.init(each: options.timeout, total: options.totalTimeout) }
}

extension Answer {
    var redirect: String? {
        guard [301, 302, 303, 307, 308].contains(status) else { return nil }
        return fields["Location"]
    }

    var retryAfter: Milliseconds? {
        guard let text = fields["X-Retry-After"] else { return nil }
        if !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }) {
            return Int(text).map { min($0, Int(Int32.max)) * 1000 } ?? .max
        }
        guard let date = httpDate(text) else { return nil }
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return max(0, (date - Int(now.tv_sec)) * 1000 - Int(now.tv_nsec) / 1_000_000)
    }
}

private func sleep(milliseconds: Milliseconds) {
    var time = timespec(tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000)
    var left = timespec()
    while nanosleep(&time, &left) != 0 && errno == EINTR { time = left }
}
