// Lesson 08: the grader as the server that the student's client talks to. It is written on raw sockets, and shares no code
// with the lesson's own parsers: what it says is byte for byte what a check wants said, be it HTTP or not.
import Course
import GraderKit
import Sockets
import Wire

/// A request that the client is asked to send.
struct Asked {
    var method = "GET"
    var url: String
    var fields: [(String, String)] = []
    /// None, or as `clientRequest` in Course takes it.
    var body = Value.none

    var value: Value {
        .list([.string(method), .string(url), .list(fields.map { .list([.string($0.0), .string($0.1)]) }), body])
    }

    static func form(_ url: String, _ pairs: [(String, String)], method: String = "POST") -> Asked {
        let list = Value.list(pairs.map { .list([.string($0.0), .string($0.1)]) })
        return Asked(method: method, url: url, body: .list([.string("form"), list]))
    }

    static func json(_ url: String, _ text: String) -> Asked {
        Asked(method: "POST", url: url, body: .list([.string("json"), .bytes(Array(text.utf8))]))
    }

    static func bytes(_ url: String, _ bytes: [UInt8], method: String = "POST") -> Asked {
        Asked(method: method, url: url, body: .list([.string("bytes"), .bytes(bytes), .string("text/plain")]))
    }
}

extension ClientOptions {
    /// No wait of these ends while a check waits, and nothing is repeated: what goes wrong is seen where it does.
    static func patient(redirects: Int = 5, attempts: Int = 1, backOff: Milliseconds = 20) -> ClientOptions {
        ClientOptions(
            timeout: 100_000, totalTimeout: 100_000, redirects: redirects, attempts: attempts, backOff: backOff,
            longestWait: 10_000)
    }

    fileprivate var value: Value {
        .list(
            [timeout, totalTimeout, redirects, attempts, backOff, longestWait, headLimit, bodyLimit].map(Value.int))
    }
}

/// What the client gave back for a request.
enum Reply: Equatable {
    case response(status: Int, reason: String, fields: [[String]], url: String, body: [UInt8])
    /// `timedOut`: the error as text.
    case error(String)

    var text: String {
        switch self {
        case .response(let status, let reason, _, _, let body):
            return say(
                "it returned \(status) \(reason) and the body \(quoted(body)), \(body.count) bytes",
                "返回 \(status) \(reason)，消息体 \(quoted(body))，\(body.count) 字节")
        case .error(let name): return say("it threw \(name)", "抛出 \(name)")
        }
    }

    /// It was a good answer, with a status that tells of an error.
    func mistakeOfThrowing(instead status: Int) -> String? {
        self == .error("badResponse") && status >= 400 ? "status-taken-for-an-error" : nil
    }

    var status: Int? { if case .response(let status, _, _, _, _) = self { status } else { nil } }
}

// MARK: - A call of the client

struct Fetching {
    let trial: Trial
    let call: PendingCall
    let listener: StreamListener

    /// The next connection of the client.
    func accept(cause: String? = nil) throws -> ServedConnection {
        do {
            return ServedConnection(try listener.accept(from: call), self)
        } catch var failure as Failure {
            let port = listener.address.port
            let given = call.subject.timeline.calls("connect").compactMap(\.given)
            if given.contains(where: { $0.port == port.byteSwapped && port.byteSwapped != port }) {
                failure.cause = "port-in-host-order"
            } else {
                failure.cause = cause
            }
            throw failure
        }
    }

    /// The next request, on a connection of its own, or nil if the function comes back without one.
    func requestOrReturn() throws -> (ServedConnection, ReceivedRequest)? {
        guard let peer = try listener.accept(orReturnOf: call) else { return nil }
        let connection = ServedConnection(peer, self)
        return (connection, try connection.request())
    }

    /// The next connection, and the request on it.
    func acceptRequest(cause: String? = nil) throws -> (ServedConnection, ReceivedRequest) {
        let connection = try accept(cause: cause)
        return (connection, try connection.request())
    }

    /// A request, answered with this, and then the connection is closed.
    @discardableResult
    func serve(_ answer: String, cause: String? = nil) throws -> ReceivedRequest {
        let (connection, request) = try acceptRequest(cause: cause)
        try connection.answer(answer)
        connection.close()
        return request
    }

    /// What came of all requests.
    func replies(_ sentence: String? = nil, within seconds: Double = Deadline.patience) throws -> [Reply] {
        guard case .list(let values) = try call.value(within: seconds, expecting: sentence) else {
            throw LabError("a list was expected")
        }
        return try values.map { value in
            if case .string(let error) = value { return .error(error) }
            guard case .list(let parts) = value else { throw LabError("unexpected \(value)") }
            let fields = try parts.list(2).indices.map { index in
                [try parts.list(2).list(index).string(0), try parts.list(2).list(index).string(1)]
            }
            // `client-download` has a list in place of the body: see `expectDownload`.
            let body = if case .bytes(let bytes) = parts[4] { bytes } else { [UInt8]() }
            return .response(
                status: try parts.int(0), reason: try parts.string(1), fields: fields, url: try parts.string(3),
                body: body)
        }
    }

    func reply(_ sentence: String? = nil) throws -> Reply {
        let replies = try replies(sentence)
        guard replies.count == 1 else { throw LabError("one reply was expected") }
        return replies[0]
    }

    /// It returned this status, and this body.
    func expect(_ status: Int, _ body: String = "", cause: String? = nil) throws {
        try expect(try reply(), status, Array(body.utf8), cause: cause)
    }

    func expect(_ reply: Reply, _ status: Int, _ body: [UInt8], cause: String? = nil) throws {
        let expected = say(
            "it returns \(status) and the body \(quoted(body)), \(body.count) bytes",
            "返回 \(status)，消息体 \(quoted(body))，\(body.count) 字节")
        guard case .response(let gotStatus, _, _, _, let gotBody) = reply else {
            throw Failure(expected: expected, got: reply.text, cause: reply.mistakeOfThrowing(instead: status) ?? cause)
        }
        guard gotStatus == status, gotBody == body else {
            throw Failure(
                expected: expected, got: reply.text,
                difference: gotStatus == status ? byteDifference(expected: body, got: gotBody) : [], cause: cause)
        }
    }

    /// It threw this error.
    func expect(error: String, _ when: String, cause: String? = nil) throws {
        let reply: Reply
        do { reply = try self.reply(say("\(when): it throws \(error)", "\(when)：抛出 \(error)")) } catch var failure
            as Failure
        {
            failure.cause = failure.cause ?? cause
            throw failure
        }
        guard reply != .error(error) else { return }
        throw Failure(
            expected: say("\(when): it throws ClientError.\(error)", "\(when)：抛出 ClientError.\(error)"),
            got: reply.text,
            cause: cause)
    }

    /// It connected so many times, and no more.
    func expectConnections(_ count: Int, _ what: String, cause: String? = nil) throws {
        let made = call.subject.timeline.connections(to: listener.address).count
        guard made != count else { return }
        throw Failure(
            expected: what, got: say("\(made) connections", "\(made) 个连接"), cause: cause)
    }
}

extension Timeline {
    /// The first connect of each connection: who asks again what has become of one that had begun makes no other. Each
    /// listener has a port of its own, in whatever form the address was given.
    func connections(to address: SocketAddress) -> [Call] {
        var begun: Set<Int32> = []
        var connects: [Call] = []
        for call in calls {
            if call.name == "close" { begun.remove(call.descriptor) }
            guard call.name == "connect", call.given?.port == address.port else { continue }
            if !begun.contains(call.descriptor) { connects.append(call) }
            if call.failed, [EINPROGRESS, EALREADY, EINTR].contains(call.error) {
                begun.insert(call.descriptor)
            } else {
                begun.remove(call.descriptor)
            }
        }
        return connects
    }
}

extension Trial {
    /// Lets the client send these requests, one after another, to `listener` or wherever their URLs lead.
    ///
    /// - Parameter wanted: how many bytes of each body are taken; then the closure throws.
    func fetch(
        _ asked: [Asked], _ options: ClientOptions = .patient(), at listener: StreamListener, wanted: Int? = nil,
        plan: FaultPlan? = nil, in process: Subject? = nil
    ) throws -> Fetching {
        var arguments: [Value] = [options.value, .list(asked.map(\.value))]
        if let wanted { arguments.append(.int(wanted)) }
        for request in asked { note("\(request.method) \(quoted(Array(request.url.utf8)))") }
        return Fetching(
            trial: self, call: try begin("client", arguments, plan: plan, in: process), listener: listener)
    }

    /// The same for a body that repeats `pattern`, and is too long to hand over.
    func download(
        _ asked: Asked, _ options: ClientOptions = .patient(), at listener: StreamListener, pattern: [UInt8],
        in process: Subject
    ) throws -> Fetching {
        let arguments: [Value] = [options.value, .list([asked.value]), .bytes(pattern)]
        return Fetching(
            trial: self, call: try begin("client-download", arguments, in: process), listener: listener)
    }
}

extension StreamListener {
    /// `127.0.0.1:43210`, `[::1]:43210`: what a Host field says.
    var authority: String { "\(address)" }

    func url(_ target: String = "/") -> String { "http://" + authority + target }
}

extension StreamPeer {
    /// A few bytes and the end of the stream in one segment: who has seen the ones could have seen the other.
    func sendAndEnd(_ bytes: [UInt8]) throws {
        let count = Sockets.send(descriptor, bytes, bytes.count, MSG_NOSIGNAL | Int32(MSG_MORE))
        if count < 0 {
            // A connection that is broken says so there; an interrupted call has sent nothing.
            try send(bytes)
        } else if count != bytes.count {
            throw LabError("\(bytes.count) bytes do not fit into an empty buffer")
        }
        halfClose()
    }
}

// MARK: - The server's end of a connection

struct ReceivedRequest {
    var method: String
    var target: String
    var fields: [(name: String, value: String)]
    var body: [UInt8]

    func values(_ name: String) -> [String] {
        fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
    }
    func has(_ name: String) -> Bool { !values(name).isEmpty }
}

final class ServedConnection {
    let peer: StreamPeer
    private let fetching: Fetching
    private var buffer: [UInt8] = []

    init(_ peer: StreamPeer, _ fetching: Fetching) {
        self.peer = peer
        self.fetching = fetching
    }

    func answer(_ text: String) throws { try peer.send(text) }
    func answer(_ bytes: [UInt8]) throws { try peer.send(bytes) }
    func close() { peer.close() }

    func answerAndEnd(_ text: String) throws { try peer.sendAndEnd(Array(text.utf8)) }

    /// The client has done with it: it ends, or is reset.
    func expectClosed(_ when: String) throws {
        let expected = say("\(when): it closes \(peer.name)", "\(when)：关闭\(peer.name)")
        while true {
            switch try peer.receive(1024, until: Deadline(), expected: expected) {
            case .end, .broken: return
            case .bytes: continue
            case .late:
                throw Failure(
                    expected: expected, got: say("it is still open", "它仍然开着"), cause: "sockets-left-open")
            }
        }
    }

    /// A whole request, as RFC 9112 has it; what is not so is said.
    ///
    /// - Parameter host: the Host field.
    func request(host: String? = nil) throws -> ReceivedRequest {
        let request = try head(host: host ?? fetching.listener.authority)
        return try withBody(request)
    }

    /// Only the head: the body may be on its way.
    func head(host: String) throws -> ReceivedRequest {
        let sentence = say("a request head on \(peer.name)", "在\(peer.name)上收到请求头")
        let deadline = Deadline()
        let end = Array("\r\n\r\n".utf8)
        while true {
            if let bare = bareLineFeed() {
                throw Failure(
                    expected: say("each line of the head ends with CR LF", "请求头的每一行以 CR LF 结束"),
                    got: quoted(bare, most: 60), cause: "bare-line-feed")
            }
            if let position = buffer.firstRange(of: end) {
                let head = Array(buffer[..<position.lowerBound])
                buffer.removeFirst(position.upperBound)
                return try parsed(head, host: host)
            }
            try receiveMore(sentence, deadline)
        }
    }

    private func withBody(_ request: ReceivedRequest) throws -> ReceivedRequest {
        var request = request
        let lengths = request.values("content-length")
        if lengths.isEmpty {
            if ["POST", "PUT", "PATCH"].contains(request.method) {
                throw Failure(
                    expected: say(
                        "\(request.method) says how long its body is: Content-Length",
                        "\(request.method) 用 Content-Length 说明消息体长度"),
                    got: say("no Content-Length", "没有 Content-Length"), cause: "request-without-length")
            }
        } else {
            guard lengths.count == 1, let length = Int(lengths[0]) else {
                throw Failure(
                    expected: say("one Content-Length, a number", "一个 Content-Length，是数字"),
                    got: lengths.joined(separator: ", "))
            }
            let sentence = say("\(length) bytes of body on \(peer.name)", "在\(peer.name)上收到 \(length) 字节消息体")
            let deadline = Deadline()
            while buffer.count < length {
                do { try receiveMore(sentence, deadline) } catch var failure as Failure {
                    failure.cause = "length-is-not-the-body"
                    failure.got += say("; \(buffer.count) bytes came", "；只来了 \(buffer.count) 字节")
                    throw failure
                }
            }
            request.body = Array(buffer.prefix(length))
            buffer.removeFirst(length)
        }
        guard buffer.isEmpty else {
            throw Failure(
                expected: say("nothing behind the request", "请求之后什么也没有"), got: quoted(buffer, most: 60),
                cause: "bytes-behind-the-request")
        }
        return request
    }

    private func receiveMore(_ sentence: String, _ deadline: Deadline) throws {
        switch try peer.receive(1 << 16, until: deadline, expected: sentence) {
        case .bytes(let bytes): buffer += bytes
        case .late:
            throw Failure(
                expected: sentence,
                got: buffer.isEmpty
                    ? say("nothing", "什么也没有")
                    : say("only \(quoted(buffer, most: 60))", "只有 \(quoted(buffer, most: 60))"))
        case .end, .broken:
            // The client has given up: why, it says itself in a moment.
            let outcome = (try? fetching.call.outcome(within: 0.5))?.text
            throw Failure(
                expected: sentence,
                got: say("it was closed", "连接被关闭")
                    + (outcome.map { say("; the client \($0)", "；客户端\($0)") } ?? ""))
        }
    }

    /// The first line that ends with LF alone.
    private func bareLineFeed() -> [UInt8]? {
        let head = buffer.firstRange(of: Array("\r\n\r\n".utf8)).map { buffer[..<$0.lowerBound] } ?? buffer[...]
        guard let position = head.indices.first(where: { head[$0] == 10 && ($0 == 0 || head[$0 - 1] != 13) }) else {
            return nil
        }
        return Array(head[...position])
    }

    private func parsed(_ head: [UInt8], host: String) throws -> ReceivedRequest {
        let lines = String(decoding: head, as: UTF8.self).components("\r\n")
        let words = lines[0].split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        guard words.count == 3, words[2] == "HTTP/1.1", !words[0].isEmpty, words[1].hasPrefix("/") else {
            throw Failure(
                expected: say(
                    "a request line: method, path, HTTP/1.1, one space between them", "请求行：方法、路径、HTTP/1.1，之间各一个空格"),
                got: quoted(Array(lines[0].utf8), most: 60), cause: "bad-request-line")
        }
        var request = ReceivedRequest(method: words[0], target: words[1], fields: [], body: [])
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":"), colon > line.startIndex,
                !line[..<colon].contains(where: { $0 == " " || $0 == "\t" })
            else {
                throw Failure(
                    expected: say("a field line: name, colon, value", "字段行：名字、冒号、值"),
                    got: quoted(Array(line.utf8), most: 60))
            }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            request.fields.append((String(line[..<colon]), String(value)))
        }
        let hosts = request.values("host")
        guard hosts == [host] else {
            let name = host.split(separator: ":").first.map(String.init)
            throw Failure(
                expected: "Host: \(host)",
                got: hosts.isEmpty ? say("no Host", "没有 Host") : hosts.joined(separator: ", "),
                cause: hosts.isEmpty ? "missing-host" : hosts == [name ?? ""] ? "host-without-port" : "wrong-host")
        }
        fetching.trial.note("\(peer.name): \(lines[0])")
        return request
    }
}

extension String {
    fileprivate func components(_ separator: String) -> [String] {
        var parts: [String] = []
        var rest = self[...]
        while let range = rest.firstRange(of: separator) {
            parts.append(String(rest[..<range.lowerBound]))
            rest = rest[range.upperBound...]
        }
        return parts + [String(rest)]
    }
}
