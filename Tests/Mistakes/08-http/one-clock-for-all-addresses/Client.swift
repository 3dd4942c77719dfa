import Course
import Sockets

struct Client: HTTPClient {
    let options: ClientOptions
    private let pool = Pool()

    init(options: ClientOptions) {
        self.options = options
    }

    mutating func send(_ request: ClientRequest, body: ([UInt8]) throws -> Void) throws -> ClientResponse {
        var visit = try OutgoingRequest(request)
        for hop in 0... {
            let answer = try Attempts(options: options, pool: pool, request: visit).run(body)
            guard options.redirects > 0, let location = answer.location else {
                return ClientResponse(
                    status: answer.status, reason: answer.reason, fields: answer.fields, url: visit.url.text)
            }
            if hop == options.redirects { break }
            visit = try visit.redirected(answer.status, to: location)
        }
        throw ClientError.tooManyRedirects
    }
}

/// Connections without work.
private final class Pool {
    private var waiting: [Channel] = []

    func take(_ origin: HTTPURL.Origin) -> Channel? {
        guard let index = waiting.lastIndex(where: { $0.origin == origin }) else { return nil }
        let channel = waiting.remove(at: index)
        return channel.isStillGood ? channel : nil
    }

    func put(_ channel: Channel) {
        waiting.append(channel)
        if waiting.count > 8 { waiting.removeFirst() }
    }
}

/// All attempts at one request to one place.
private struct Attempts {
    let options: ClientOptions
    let pool: Pool
    let request: OutgoingRequest

    private struct Lost: Error {
        let reason: ClientError
    }

    func run(_ body: ([UInt8]) throws -> Void) throws -> Answer {
        var number = 0
        var base = options.backOff
        while true {
            number += 1
            let isLast = number >= options.attempts || !request.isRepeatable
            let limited = max(0, min(base, options.longestWait))
            var time = min(options.longestWait, limited + Int.random(in: 0...limited))
            do {
                let answer = try one({ answer in isLast || delay(answer, time) == nil }, body)
                guard !isLast, let asked = delay(answer, time) else { return answer }
                time = asked
            } catch let lost as Lost {
                if isLast { throw lost.reason }
            }
            sleepFor(time)
            base = min(base * 2, options.longestWait)
        }
    }

    /// How long this answer asks us to wait before we come again; nil if it is to be taken.
    private func delay(_ answer: Answer, _ backOff: Int) -> Int? {
        guard [429, 500, 502, 503, 504].contains(answer.status) else { return nil }
        guard let text = answer.fields["Retry-After"] else { return backOff }
        var wanted = backOff
        if !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }) {
            wanted = Int(text).flatMap { $0 < Int.max / 1000 ? $0 * 1000 : nil } ?? .max
        } else if let date = httpDate(text) {
            var clock = timespec()
            clock_gettime(CLOCK_REALTIME, &clock)
            wanted = max(0, (date - Int(clock.tv_sec)) * 1000 - Int(clock.tv_nsec) / 1_000_000)
        }
        return wanted > options.longestWait ? nil : wanted
    }

    private func one(_ isLastWord: (Answer) -> Bool, _ body: ([UInt8]) throws -> Void) throws -> Answer {
        func isWanted(_ answer: Answer) -> Bool {
            isLastWord(answer) && (options.redirects == 0 || answer.location == nil)
        }
        if let kept = pool.take(request.url.origin) {
            do {
                return try talk(kept, Deadline(options.totalTimeout), isWanted, body)
            } catch is Lost where request.isRepeatable {
                // Its end came while we wrote. That is no attempt.
            }
        }
        let deadline = Deadline(options.totalTimeout)
        let fresh: Channel
        do {
            fresh = try Channel(to: request.url.origin, within: options.timeout, deadline)
        } catch ClientError.cannotConnect(let code) {
            throw Lost(reason: .cannotConnect(code: code))
        }
        return try talk(fresh, deadline, isWanted, body)
    }

    private func talk(
        _ channel: Channel, _ deadline: Deadline, _ isWanted: (Answer) -> Bool, _ body: ([UInt8]) throws -> Void
    ) throws -> Answer {
        var reader = AnswerReader(to: request.method, options)
        var unsent = request.bytes[...]
        do {
            var isOpen = true
            while isOpen {
                let event = try channel.next(&unsent, options.timeout, deadline)
                guard case .received(let bytes) = event else { continue }
                isOpen = try reader.read(bytes) { answer, piece, count in
                    if isWanted(answer) {
                        try body(piece)
                        return true
                    }
                    return count < 60_000
                }
            }
        } catch {
            if let answer = reader.answer {
                if isWanted(answer) { throw error }
                return answer
            }
            if case ClientError.cutShort = error { throw Lost(reason: .cutShort) }
            throw error
        }
        guard let answer = reader.answer else { throw Lost(reason: .cutShort) }
        if unsent.isEmpty && reader.leavesConnectionUsable { pool.put(channel) }
        return answer
    }
}

extension Answer {
    /// Where a redirect leads.
    fileprivate var location: String? {
        [301, 302, 303, 307, 308].contains(status) ? fields["Location"] : nil
    }
}

// MARK: - Clocks

private func monotonic() -> Int {
    var clock = timespec()
    clock_gettime(CLOCK_MONOTONIC, &clock)
    return Int(clock.tv_sec) * 1000 + Int(clock.tv_nsec) / 1_000_000
}

private func sleepFor(_ time: Int) {
    let end = Deadline(time)
    while end.left > 0 { poll(nil, 0, Int32(clamping: end.left)) }
}

private struct Deadline {
    private let moment: Int

    init(_ time: Int) { moment = monotonic() + min(time, 1 << 50) }

    var left: Int { max(0, moment - monotonic()) }

    func earlier(_ other: Deadline) -> Deadline { moment < other.moment ? self : other }

    /// - Returns: what is ready; 0 if nothing was until then.
    func wait(_ descriptor: Int32, _ events: Int32) throws -> Int32 {
        while true {
            var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            switch poll(&entry, 1, Int32(clamping: left)) {
            case 0: return 0
            case 1...: return Int32(entry.revents)
            default: if errno != EINTR { throw SocketError("poll", errno) }
            }
        }
    }
}

// MARK: - Channels

private final class Channel {
    let origin: HTTPURL.Origin
    private let descriptor: Int32
    private var takesMore = true
    private var room = [UInt8](repeating: 0, count: 65_536)

    deinit { close(descriptor) }

    /// Tries the addresses of the host, the best first, for `time` at most.
    init(to origin: HTTPURL.Origin, within time: Int, _ whole: Deadline) throws {
        self.origin = origin
        let patience = Deadline(time)
        var code: Int32 = 0
        for address in try Channel.addresses(origin) {
            guard patience.left > 0 else { break }
            switch try Channel.open(address, patience.earlier(whole)) {
            case .success(let open):
                descriptor = open
                return
            case .failure(let error):
                code = error.code
            }
        }
        if code == ETIMEDOUT && whole.left == 0 { throw ClientError.timedOut }
        throw ClientError.cannotConnect(code: code)
    }

    private static func addresses(_ origin: HTTPURL.Origin) throws -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = SOCK_STREAM
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(origin.host, "\(origin.port)", &hints, &list) == 0 else {
            throw ClientError.cannotConnect(code: 0)
        }
        defer { freeaddrinfo(list) }
        var found: [SocketAddress] = []
        var entry = list
        while let here = entry?.pointee {
            let bytes = [UInt8](UnsafeRawBufferPointer(start: here.ai_addr, count: Int(here.ai_addrlen)))
            if let address = SocketAddress(bytes: bytes) { found.append(address) }
            entry = here.ai_next
        }
        return found
    }

    private static func open(_ address: SocketAddress, _ deadline: Deadline) throws -> Result<Int32, SocketError> {
        let descriptor = socket(address.family, SOCK_STREAM, 0)
        if descriptor < 0 { return .failure(SocketError("socket", errno)) }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        let code: Int32
        do {
            code = try finish(
                descriptor, address.withSockaddr { connect(descriptor, $0, $1) == 0 ? 0 : errno }, deadline)
        } catch {
            close(descriptor)
            throw error
        }
        if code == 0 { return .success(descriptor) }
        close(descriptor)
        return .failure(SocketError("connect", code))
    }

    private static func finish(_ descriptor: Int32, _ code: Int32, _ deadline: Deadline) throws -> Int32 {
        guard code == EINPROGRESS || code == EINTR else { return code }
        guard try deadline.wait(descriptor, Int32(POLLOUT)) != 0 else { return ETIMEDOUT }
        var outcome: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &outcome, &size) == 0 else { return errno }
        return outcome
    }

    var isStillGood: Bool {
        var byte: UInt8 = 0
        var result: Int
        repeat { result = recv(descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) } while result < 0 && errno == EINTR
        return result < 0 && errno == EAGAIN
    }

    enum Event {
        case sent
        /// nil: the stream has ended.
        case received([UInt8]?)
    }

    /// One wait, for whatever comes first: room to send, or bytes.
    func next(_ unsent: inout ArraySlice<UInt8>, _ each: Int, _ whole: Deadline) throws -> Event {
        let isSending = takesMore && !unsent.isEmpty
        let deadline = Deadline(each).earlier(whole)
        let ready = try deadline.wait(descriptor, Int32(isSending ? POLLIN | POLLOUT : POLLIN))
        if ready == 0 { throw ClientError.timedOut }
        if isSending && ready & Int32(POLLOUT) != 0 {
            let count = unsent.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count >= 0 {
                unsent = unsent.dropFirst(count)
            } else if errno == EPIPE || errno == ECONNRESET {
                takesMore = false
            } else if errno != EINTR && errno != EAGAIN {
                throw ClientError.cutShort
            }
        }
        if ready & ~Int32(POLLOUT) == 0 { return .sent }
        let count = recv(descriptor, &room, room.count, 0)
        if count >= 0 { return .received(count == 0 ? nil : Array(room[..<count])) }
        if errno == EINTR || errno == EAGAIN { return .sent }
        throw ClientError.cutShort
    }
}
