import Course

/// The server's side of one connection, without a socket: bytes in, messages and bytes out. It shakes hands, answers pings
/// and closes, and tells a peer that breaks the protocol so; what to say to a message is left to others.
struct Connection {
    enum State {
        /// The request is not complete.
        case handshake
        case open
        /// We have said close, and wait for the peer's.
        case closing
        /// Nothing more is read, nothing more is said: when the output is sent, it is over.
        case finished
    }

    private(set) var state = State.handshake
    private(set) var output = Output()
    private let allowedOrigins: [String]?
    private let page: [UInt8]?
    private var request: [UInt8] = []
    private var decoder: FrameDecoder

    /// - Parameter page: the answer to a request that asks for no WebSocket; nil: 426.
    init(allowedOrigins: [String]? = nil, messageLimit: Int = Lesson09.messageLimit, page: [UInt8]? = nil) {
        self.allowedOrigins = allowedOrigins
        self.page = page
        decoder = FrameDecoder(role: .server, limit: messageLimit)
    }

    /// Takes what came from the peer. Then ask for events until there are none.
    mutating func feed(_ bytes: [UInt8]) {
        guard state == .handshake else { return decoder.feed(bytes) }
        request += bytes
        // Where no line ends, no request does. A request that comes byte by byte is looked at once a line.
        guard bytes.contains(UInt8(ascii: "\n")) || request.count >= Lesson09.headLimit else { return }
        switch serverHandshake(request, allowedOrigins: allowedOrigins) {
        case .incomplete: break
        case .accepted(let response, let length):
            output.append(response)
            state = .open
            // Who does not wait for our answer has sent frames already.
            decoder.feed(Array(request[length...]))
            request = []
        case .refused(let status, let response):
            if status == 426, let page {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: \(page.count)\r\n\r\n"
                output.append(Array(head.utf8) + page)
            } else {
                output.append(response)
            }
            state = .finished
            request = []
        }
    }

    /// - Returns: the next message or pong, which is all that others need to know; or nil.
    mutating func nextEvent() -> WebSocketEvent? {
        while state == .open || state == .closing {
            do {
                guard let event = try decoder.next() else { return nil }
                switch event {
                case .text, .binary, .pong:
                    // Who has said close says nothing more: there is no answer to give.
                    if state == .open { return event }
                case .ping(let payload): send(.pong, payload)
                case .close(let code, _):
                    if state == .open { sendClose(code, "") }
                    state = .finished
                }
            } catch {
                if state == .open { sendClose(for: error) }
                state = .finished
            }
        }
        return nil
    }

    mutating func send(_ opcode: Opcode, _ payload: [UInt8]) {
        guard state == .open else { return }
        output.append(encodeFrame(opcode, payload))
    }

    /// The same for a frame that is encoded already: one for many.
    mutating func send(frame: [UInt8]) {
        guard state == .open else { return }
        output.append(frame)
    }

    /// Says close, and goes on receiving until the peer says so, too.
    mutating func close(code: UInt16, reason: String) {
        guard state == .open else { return }
        sendClose(code, reason)
        state = .closing
    }

    /// No more comes from the peer. What was said is still sent: it may be half-closed, and reading.
    mutating func peerHasEnded() { state = .finished }

    mutating func hasSent(_ count: Int) { output.removeFirst(count) }

    private mutating func sendClose(for error: any Error) {
        switch error as? WebSocketError {
        case .protocolError(let why)?: sendClose(1002, why)
        case .invalidText?: sendClose(1007, "this is not UTF-8")
        case .tooLong(let limit)?: sendClose(1009, "at most \(limit) bytes a message")
        case nil: sendClose(1011, "")
        }
    }

    private mutating func sendClose(_ code: UInt16?, _ reason: String) {
        guard let code else { return output.append(encodeFrame(.close, [])) }
        // At most 125 bytes, and no half character at their end.
        var reason = reason
        while reason.utf8.count > 123 { reason.removeLast() }
        output.append(encodeFrame(.close, [UInt8(code >> 8), UInt8(code & 0xFF)] + Array(reason.utf8)))
    }
}

/// Bytes that wait for the kernel to take them.
struct Output {
    private var bytes: [UInt8] = []
    /// So many of them are sent. Removing them each time would move all others each time.
    private var sent = 0

    var count: Int { bytes.count - sent }
    var isEmpty: Bool { count == 0 }

    mutating func append(_ more: [UInt8]) {
        if isEmpty {
            // A long answer is not copied once more.
            (bytes, sent) = (more, 0)
        } else {
            bytes += more
        }
    }

    mutating func removeFirst(_ count: Int) {
        sent += count
        if isEmpty {
            (bytes, sent) = ([], 0)
        } else if sent > bytes.count / 2 {
            bytes.removeFirst(sent)
            sent = 0
        }
    }

    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[sent...])) }
    }
}
