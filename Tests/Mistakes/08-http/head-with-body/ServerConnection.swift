// The server's side of one connection, without sockets: bytes in, answers out, in the order of the requests.
import Course

/// What answers requests: the files of a folder, or a store.
protocol Site: AnyObject {
    /// Whether it wants to see bodies. If not they are received, as they must be to find the next request, and dropped.
    var wantsBodies: Bool { get }
    func answer(_ request: RequestHead, body: [UInt8]) -> Reply
}

final class ServerConnection {
    private let site: any Site
    private var decoder = HTTPRequestDecoder(limits: RequestLimits())
    private var request: RequestHead?
    private var body: [UInt8] = []
    /// What all connections may keep of unfinished bodies.
    private let room: BodyRoom

    /// Bytes to send, the first `sent` of which are sent.
    private var output: [UInt8] = []
    private var sent = 0
    /// What comes behind `output`.
    private var file: (file: OpenFile, offset: Int, left: Int)?
    /// Nothing is answered after what is in `output` and `file`.
    private(set) var isClosing = false
    private(set) var hasEnded = false
    /// An answer was begun and cannot be finished: a file that became shorter while it was sent.
    private(set) var isBroken = false
    /// How many requests have been answered.
    private(set) var answered = 0

    /// The most bytes of answers that wait. Who asks and does not read gets no more memory than this.
    private static let most = 65_536
    private static let mostWhenIdle = 16_384

    init(site: any Site, room: BodyRoom) {
        self.site = site
        self.room = room
    }

    deinit { room.giveBack(body.count) }

    // MARK: Bytes in

    func receive(_ bytes: ArraySlice<UInt8>) { decoder.feed(bytes) }

    /// The client has sent its last byte. It may still wait for answers.
    func receiveEnd() { hasEnded = true }

    var wantsBytes: Bool { !isClosing && !hasEnded && !hasOutput }

    enum Stage {
        /// Between two requests, or in a head that is not complete.
        case head
        case body
        case answer
    }

    var stage: Stage { hasOutput ? .answer : decoder.isInBody ? .body : .head }

    // MARK: Answers out

    var hasOutput: Bool { sent < output.count || file != nil }

    /// Lends what is to be sent next; `body` returns how much of it was.
    func send(_ body: (UnsafeRawBufferPointer) -> Int) {
        sent += output.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[sent...])) }
    }

    /// Answers requests that are complete, and reads on in the file that is being sent, as far as there is room.
    ///
    /// - Parameter date: for the Date field.
    func advance(date: String) {
        // Thousands of connections may be idle, each of which has sent something large once.
        if sent == output.count && output.capacity > ServerConnection.mostWhenIdle { output = [] }
        output.removeFirst(min(sent, output.count))
        sent = 0
        fill()
        while !isClosing && file == nil && output.count < ServerConnection.most {
            do {
                guard let event = try decoder.next() else {
                    // Half a request, or none: there will be no more.
                    if hasEnded { isClosing = true }
                    return
                }
                handle(event, date: date)
            } catch {
                // Where the next request would begin is not known.
                refuse((error as? RequestRefused)?.status ?? 400, date: date)
            }
        }
    }

    /// The answer to somebody who is too slow, or cannot be understood: the last one.
    func refuse(_ status: Int, date: String) {
        isClosing = true
        append(.plain(status), to: nil, date: date)
    }

    /// A request has begun to arrive, and is not complete.
    var isInRequest: Bool { decoder.isInHead || decoder.isInBody }

    private func handle(_ event: RequestEvent, date: String) {
        switch event {
        case .head(let head):
            request = head
            // Who says this waits for us before it sends the body (RFC 9110 section 10.1.1). It ends up in front of the
            // answer, and harms nobody who did not wait.
            if head.minorVersion > 0 && head.fields.elements("Expect").contains("100-continue") {
                output += "HTTP/1.1 100 Continue\r\n\r\n".utf8
            }
        case .body(let bytes):
            guard site.wantsBodies else { return }
            guard room.take(bytes.count) else { return refuse(503, date: date) }
            body += bytes
        case .end:
            guard let request else { return }
            let answer = site.answer(request, body: body)
            room.giveBack(body.count)
            body = []
            append(answer, to: request, date: date)
            self.request = nil
            answered += 1
        }
    }

    private func append(_ answer: Reply, to request: RequestHead?, date: String) {
        // HTTP/1.1 keeps the connection unless somebody says close; HTTP/1.0 only if the client says keep-alive, and then
        // it wants to be told (RFC 9112 section 9.3).
        let options = request?.fields.elements("Connection") ?? []
        let isOld = request?.minorVersion == 0
        if options.contains("close") || isOld && !options.contains("keep-alive") { isClosing = true }
        answer.appendHead(to: &output, date: date, connection: isClosing ? "close" : isOld ? "keep-alive" : nil)
        switch answer.content {
        case .none: break
        case .bytes(let bytes): output += bytes
        case .file(let opened, let offset, let count):
            if count > 0 { file = (opened, offset, count) }
            // A small file goes out with its head, in one send. In two, the second would wait until the client has
            // acknowledged the first, and clients like to wait with that (Nagle's algorithm against delayed ACK).
            fill()
        }
    }

    private func fill() {
        guard let (opened, offset, left) = file, output.count < ServerConnection.most else { return }
        guard let piece = opened.read(min(left, ServerConnection.most), from: offset), !piece.isEmpty else {
            // The length has been promised. To end the connection is the only way to say that it was wrong.
            (isBroken, isClosing, file) = (true, true, nil)
            return
        }
        output += piece
        file = piece.count == left ? nil : (opened, offset + piece.count, left - piece.count)
    }
}

/// What all connections together may keep of bodies that are not complete yet.
final class BodyRoom {
    private var left: Int

    init(_ bytes: Int) { left = bytes }

    func take(_ count: Int) -> Bool {
        guard count <= left else { return false }
        left -= count
        return true
    }

    func giveBack(_ count: Int) { left += count }
}
