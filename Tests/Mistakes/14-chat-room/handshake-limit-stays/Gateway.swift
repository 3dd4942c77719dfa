import Course
import Foundation
import Solution05
import Solution09
import Sockets

func gateway(host: String, port: UInt16, rules: GatewayRules) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(listener) }
    var on: Int32 = 1
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, 512))
    while true {
        let browser = accept(listener, nil, nil)
        if browser >= 0 {
            Thread.detachNewThread { Session(browser, rules).run() }
        } else if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno) {
            poll(nil, 0, 50)
        }
    }
}

/// One thread reads from the browser, another from the chat server.
private final class Session: @unchecked Sendable {
    private let browser: Int32
    private let rules: GatewayRules
    private let webSocket = Solution09.reference
    private var server: Int32 = -1
    private let speaking = NSLock()
    private var hasClosed = false
    /// It says nothing more, and did not say close: nothing is said to it, either.
    private var browserHasEnded = false
    private let done = DispatchSemaphore(value: 0)

    init(_ browser: Int32, _ rules: GatewayRules) { (self.browser, self.rules) = (browser, rules) }

    func run() {
        defer { end(browser) }
        guard let rest = shakeHands() else { return }
        guard let connected = connect() else { return say(close: 1013) }
        server = connected
        Thread.detachNewThread { [self] in
            fromServer()
            done.signal()
        }
        fromBrowser(rest)
        shutdown(server, Int32(SHUT_WR))
        // A thread that waits in send for this browser ends with the connection.
        if done.wait(timeout: .now() + 1) == .timedOut {
            shutdown(server, Int32(SHUT_RDWR))
            shutdown(browser, Int32(SHUT_RDWR))
            done.wait()
        }
        close(server)
    }

    private func receive(_ socket: Int32) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = recv(socket, &buffer, buffer.count, 0)
            if count > 0 { return Array(buffer[..<count]) }
            if count == 0 || errno != EINTR { return nil }
        }
    }

    @discardableResult
    private func sendAll(_ socket: Int32, _ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if count > 0 { sent += count } else if errno != EINTR { return false }
        }
        return true
    }

    private func shakeHands() -> [UInt8]? {
        // Who does not finish its request is not waited for.
        var patience = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(browser, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var request: [UInt8] = []
        while let bytes = receive(browser) {
            request += bytes
            switch webSocket.serverHandshake(request, rules.allowedOrigins) {
            case .incomplete: continue
            case .accepted(let response, let length):
                return sendAll(browser, response) ? Array(request[length...]) : nil
            case .refused(let status, let response):
                sendAll(browser, status == 426 ? rules.page : response)
                return nil
            }
        }
        return nil
    }

    private func connect() -> Int32? {
        guard let address = try? SocketAddress(host: rules.serverHost, port: rules.serverPort) else { return nil }
        let socket = Sockets.socket(address.family, SOCK_STREAM, 0)
        if socket < 0 { return nil }
        if address.withSockaddr({ Sockets.connect(socket, $0, $1) }) == 0 { return socket }
        close(socket)
        return nil
    }

    private func fromBrowser(_ first: [UInt8]) {
        var decoder = webSocket.makeFrameDecoder(.server, Lesson14.frameLimit)
        var bytes: [UInt8]? = first
        while let part = bytes {
            decoder.feed(part)
            do {
                while let event = try decoder.next() {
                    switch event {
                    case .text(let text): sendAll(server, Solution05.reference.encodeFrame(text))
                    case .binary: return say(close: 1003)
                    case .ping(let payload): say(webSocket.encodeFrame(.pong, payload, true, nil))
                    case .pong: break
                    case .close(let code, _): return say(close: code)
                    }
                }
            } catch {
                return say(close: (error as? WebSocketError)?.closeCode)
            }
            bytes = receive(browser)
        }
        browserHasEnded = true
    }

    private func fromServer() {
        var decoder = Solution05.reference.makeFrameDecoder(Lesson14.frameLimit)
        while let bytes = receive(server) {
            decoder.feed(bytes)
            while let message = try? decoder.next() { say(webSocket.encodeFrame(.text, message, true, nil)) }
        }
        say(close: 1000)
        shutdown(browser, Int32(SHUT_WR))
    }

    private func say(_ frame: [UInt8]) { speaking.withLock { _ = hasClosed ? true : sendAll(browser, frame) } }

    private func say(close code: UInt16?) {
        speaking.withLock {
            if hasClosed || browserHasEnded { return }
            hasClosed = true
            sendAll(
                browser, webSocket.encodeFrame(.close, code.map { [UInt8($0 >> 8), UInt8($0 & 255)] } ?? [], true, nil))
        }
    }

    /// Not at once: what the browser still says would be answered by a reset.
    private func end(_ socket: Int32) {
        shutdown(socket, Int32(SHUT_WR))
        var time = timeval(tv_sec: 2, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        var rest = [UInt8](repeating: 0, count: 4096)
        while recv(socket, &rest, rest.count, 0) > 0 {}
        close(socket)
    }
}
