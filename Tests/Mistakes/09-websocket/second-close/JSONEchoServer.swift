import Course
import Foundation
import Sockets

func jsonEchoServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    var isListening = false
    defer { if !isListening { close(listener) } }
    var yes: Int32 = 1
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size)))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))
    isListening = true

    while true {
        let client = accept(listener, nil, nil)
        if client >= 0 {
            Thread.detachNewThread {
                var dialogue = Dialogue(client)
                dialogue.run()
                close(client)
            }
        } else if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno) {
            usleep(20_000)
        }
    }
}

/// A connection with a thread of its own: calls wait.
private struct Dialogue {
    private let client: Int32
    private var decoder = FrameDecoder(role: .server, limit: Lesson09.messageLimit)

    init(_ client: Int32) { self.client = client }

    mutating func run() {
        guard let first = shakeHands() else { return }
        decoder.feed(first)
        while let isOpen = answerWhatIsHere(), isOpen {
            guard let bytes = receive() else { return }
            decoder.feed(bytes)
        }
    }

    /// - Returns: what came behind the request; nil: there will be no dialogue.
    private func shakeHands() -> [UInt8]? {
        var request: [UInt8] = []
        while let bytes = receive() {
            request += bytes
            switch serverHandshake(request, allowedOrigins: nil) {
            case .incomplete: continue
            case .refused(_, let response):
                if send(response) { leave() }
                return nil
            case .accepted(let response, let length):
                return send(response) ? Array(request.dropFirst(length)) : nil
            }
        }
        return nil
    }

    /// - Returns: false when all is said; nil when nobody hears it.
    private mutating func answerWhatIsHere() -> Bool? {
        var answers: [UInt8] = []
        var isOpen = true
        do {
            while isOpen, let event = try decoder.next() {
                switch event {
                case .text(let bytes): answers += encodeFrame(.text, reply(to: bytes))
                case .binary: answers += closing(1003)
                case .ping(let bytes): answers += encodeFrame(.pong, bytes)
                case .pong: break
                case .close(let code, _):
                    answers += closing(code)
                    isOpen = false
                }
            }
        } catch {
            answers += closing((error as? WebSocketError)?.closeCode ?? 1011)
            isOpen = false
        }
        guard send(answers) else { return nil }
        if !isOpen { leave() }
        return isOpen
    }

    private func closing(_ code: UInt16?) -> [UInt8] {
        guard let code else { return encodeFrame(.close, []) }
        return encodeFrame(.close, [UInt8(code / 256), UInt8(code % 256)])
    }

    private func receive() -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 32_768)
        while true {
            let count = recv(client, &buffer, buffer.count, 0)
            if count > 0 { return Array(buffer[..<count]) }
            if count == 0 || errno != EINTR { return nil }
        }
    }

    private func send(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Sockets.send(client, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if count < 0 && errno != EINTR { return false }
            rest = rest.dropFirst(max(0, count))
        }
        return true
    }

    /// The last frame must not be lost in a reset.
    private func leave() {
        shutdown(client, Int32(SHUT_WR))
        let end = monotonicMilliseconds() + 2000
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let left = end - monotonicMilliseconds()
            var entry = pollfd(fd: client, events: Int16(POLLIN), revents: 0)
            let count = left > 0 ? poll(&entry, 1, Int32(left)) : 0
            if count == 0 { return }
            if count < 0 && errno == EINTR { continue }
            let got = recv(client, &buffer, buffer.count, MSG_DONTWAIT)
            if got == 0 || got < 0 && errno != EINTR && errno != EAGAIN { return }
        }
    }
}

private func reply(to text: [UInt8]) -> [UInt8] {
    func error(_ why: String) -> [UInt8] { Array("{\"type\": \"error\", \"message\": \"\(why)\"}".utf8) }

    guard let value = try? JSONSerialization.jsonObject(with: Data(text), options: .fragmentsAllowed),
        let question = value as? [String: Any]
    else { return error("a JSON object is wanted") }
    var data = ""
    if let given = question["data"] {
        guard let string = given as? String else { return error("data has to be a string") }
        data = string
    }
    var answer: [String: Any] = ["type": "echo", "data": data.uppercased()]
    answer["timestamp"] = question["timestamp"] ?? NSNull()
    guard JSONSerialization.isValidJSONObject(answer), let bytes = try? JSONSerialization.data(withJSONObject: answer)
    else { return error("this timestamp cannot be written") }
    return Array(bytes)
}
