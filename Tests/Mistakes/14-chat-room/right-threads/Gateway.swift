import Course
import Foundation
import Solution05
import Solution09
import Sockets

/// Two threads a browser, one for each direction, with calls that block: who does not take what we have for it is not
/// read for by itself.
func gateway(host: String, port: UInt16, rules: GatewayRules) throws {
    let listener = try listening(host: host, port: port)
    defer { Sockets.close(listener) }
    while true {
        let browser = try nextClient(listener)
        startThread { Session(browser, rules).run() }
    }
}

private let patience: TimeInterval = 2

private final class Session: @unchecked Sendable {
    private let browser: Int32
    private var server: Int32 = -1
    private let rules: GatewayRules
    private let webSocket = Solution09.reference
    /// For what is written to the browser: both threads do.
    private let writing = NSLock()
    /// Under the lock: the close frame is out, or there is nobody to write to.
    private var isClosed = false
    private let browserIsDone = DispatchSemaphore(value: 0)
    private let serverIsDone = DispatchSemaphore(value: 0)

    init(_ browser: Int32, _ rules: GatewayRules) {
        self.browser = browser
        self.rules = rules
    }

    func run() {
        defer { Sockets.close(browser) }
        guard let first = shakeHands() else { return }
        do { server = try reach() } catch {
            closeBrowser(1013)
            return drainBrowser()
        }
        startThread { self.fromServer() }
        let code = fromBrowser(first)
        // The chat server hears the end behind the last words.
        shutdown(server, Int32(SHUT_WR))
        if let code {
            closeBrowser(code)
        } else if writing.lock(before: Date() + patience) {
            isClosed = true
            writing.unlock()
        } else {
            // The other thread waits in send for a browser that has ended, and does not read.
            shutdown(browser, Int32(SHUT_RDWR))
        }
        shutdown(browser, Int32(SHUT_WR))
        drainBrowser()
        browserIsDone.signal()
        if serverIsDone.wait(timeout: .now() + patience) == .timedOut {
            shutdown(server, Int32(SHUT_RDWR))
            shutdown(browser, Int32(SHUT_RDWR))
            serverIsDone.wait()
        }
        Sockets.close(server)
    }

    // MARK: Handshake

    /// - Returns: what came behind the request; nil if there is no WebSocket.
    private func shakeHands() -> [UInt8]? {
        var request: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        let deadline = now() + 10_000
        while true {
            if wait(browser, for: Int32(POLLIN), until: deadline) == 0 { return nil }
            let count = receiveSome(browser, &buffer)
            if count <= 0 { return nil }
            request += buffer[..<count]
            switch webSocket.serverHandshake(request, rules.allowedOrigins) {
            case .incomplete: continue
            case .accepted(let response, let length):
                return sendWhole(browser, response) ? Array(request[length...]) : nil
            case .refused(let status, let response):
                if sendWhole(browser, status == 426 ? rules.page : response) {
                    shutdown(browser, Int32(SHUT_WR))
                    drainBrowser()
                }
                return nil
            }
        }
    }

    private func reach() throws -> Int32 {
        let address = try SocketAddress(host: rules.serverHost, port: rules.serverPort)
        let descriptor = try check("socket", socket(address.family, SOCK_STREAM, 0))
        var code: Int32 = 0
        if address.withSockaddr({ connect(descriptor, $0, $1) }) != 0 { code = errno }
        if code == EINTR {
            _ = wait(descriptor, for: Int32(POLLOUT), until: nil)
            var size = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size)
        }
        guard code == 0 else {
            Sockets.close(descriptor)
            throw SocketError("connect", code)
        }
        return descriptor
    }

    // MARK: There

    /// - Returns: the code of the close frame that the browser should get; nil for none.
    private func fromBrowser(_ first: [UInt8]) -> UInt16?? {
        var events = webSocket.makeFrameDecoder(.server, Lesson14.frameLimit)
        var buffer = [UInt8](repeating: 0, count: 16_384)
        events.feed(first)
        while true {
            do {
                while let event = try events.next() {
                    switch event {
                    case .text(let text):
                        // If the chat server is gone the other thread says so, behind its last words.
                        _ = sendWhole(server, prefixed(text))
                    case .binary: return .some(1003)
                    case .ping(let payload):
                        guard toBrowser(webSocket.encodeFrame(.pong, payload, true, nil)) else { return .none }
                    case .pong: break
                    case .close(let code, _): return .some(code)
                    }
                }
            } catch {
                return .some((error as? WebSocketError)?.closeCode ?? 1011)
            }
            let count = receiveSome(browser, &buffer)
            if count <= 0 { return .none }
            events.feed(Array(buffer[..<count]))
        }
    }

    // MARK: Back

    private func fromServer() {
        var frames = Solution05.reference.makeFrameDecoder(Lesson14.frameLimit)
        var buffer = [UInt8](repeating: 0, count: 16_384)
        var code: UInt16 = 1000
        receiving: while true {
            let count = receiveSome(server, &buffer)
            if count <= 0 { break }
            frames.feed(Array(buffer[..<count]))
            do {
                while let message = try frames.next() {
                    guard toBrowser(webSocket.encodeFrame(.text, message, true, nil)) else {
                        // It is not there to be told. What the server still says is thrown away until it ends.
                        throwAway(&buffer)
                        break receiving
                    }
                }
            } catch {
                code = 1011
                break
            }
        }
        // Its end is ours; the other thread may be waiting to send to it.
        shutdown(server, Int32(SHUT_RDWR))
        closeBrowser(code)
        if browserIsDone.wait(timeout: .now() + patience) == .timedOut { shutdown(browser, Int32(SHUT_RDWR)) }
        serverIsDone.signal()
    }

    private func throwAway(_ buffer: inout [UInt8]) {
        let deadline = now() + 2000
        while wait(server, for: Int32(POLLIN), until: deadline) != 0, receiveSome(server, &buffer) > 0 {}
    }

    // MARK: The browser

    /// False: it gets nothing any more.
    private func toBrowser(_ bytes: [UInt8]) -> Bool {
        writing.withLock {
            if isClosed { return false }
            if sendWhole(browser, bytes) { return true }
            isClosed = true
            // The other thread may wait for it.
            shutdown(browser, Int32(SHUT_RDWR))
            return false
        }
    }

    /// Once, from whichever side. Not waited for long: who does not read does not get it.
    private func closeBrowser(_ code: UInt16?) {
        guard writing.lock(before: Date() + patience) else {
            shutdown(browser, Int32(SHUT_RDWR))
            return
        }
        defer { writing.unlock() }
        guard !isClosed else { return }
        isClosed = true
        var limit = timeval(tv_sec: 2, tv_usec: 0)
        setsockopt(browser, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let payload = code.map { [UInt8($0 >> 8), UInt8($0 & 0xFF)] } ?? []
        _ = sendWhole(browser, webSocket.encodeFrame(.close, payload, true, nil))
        shutdown(browser, Int32(SHUT_WR))
    }

    private func drainBrowser() {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        let deadline = now() + 2000
        while wait(browser, for: Int32(POLLIN), until: deadline) != 0, receiveSome(browser, &buffer) > 0 {}
    }
}

private func prefixed(_ message: [UInt8]) -> [UInt8] {
    withUnsafeBytes(of: UInt32(message.count).bigEndian) { Array($0) } + message
}
