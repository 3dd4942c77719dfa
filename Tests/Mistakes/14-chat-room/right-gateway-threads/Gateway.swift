import Course
import Foundation
import Solution05
import Solution09
import Sockets

/// Two threads a browser, one for each direction. Who cannot pass on what it has does not receive: that is all of the
/// back-pressure.
func gateway(host: String, port: UInt16, rules: GatewayRules) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    while true {
        _ = try ready(listener, POLLIN, by: nil)
        switch try acceptClient(listener) {
        case .client(let socket):
            Thread.detachNewThread {
                serve(Pipe(socket), rules)
                close(socket)
            }
        case .nobody: continue
        case .noRoom: poll(nil, 0, 50)
        }
    }
}

/// - Returns: false if the time is over before.
private func ready(_ socket: Int32, _ events: Int32, by deadline: Milliseconds?) throws -> Bool {
    var asked = pollfd(fd: socket, events: Int16(events), revents: 0)
    while true {
        let left = deadline.map { max(0, $0 - monotonicMilliseconds()) } ?? -1
        let count = poll(&asked, 1, Int32(clamping: left))
        if count < 0 && errno == EINTR { continue }
        return try check("poll", count) > 0
    }
}

/// A socket that does not block, used as if it did.
private struct Pipe {
    let socket: Int32

    init(_ socket: Int32) { self.socket = socket }

    /// - Returns: no bytes at the end of the stream.
    func receive(by deadline: Milliseconds? = nil) throws -> [UInt8] {
        var room = [UInt8](repeating: 0, count: 16_384)
        while true {
            guard try ready(socket, POLLIN, by: deadline) else { throw SocketError("recv", ETIMEDOUT) }
            if let count = try take(&room) { return Array(room[..<count]) }
        }
    }

    /// - Returns: nil if there is nothing now.
    func take(_ room: inout [UInt8]) throws -> Int? {
        let count = recv(socket, &room, room.count, 0)
        if count < 0 && (errno == EAGAIN || errno == EINTR) { return nil }
        return try check("recv", count)
    }

    func send(_ bytes: [UInt8], by deadline: Milliseconds? = nil) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Sockets.send(socket, $0.baseAddress! + sent, $0.count - sent, MSG_NOSIGNAL)
            }
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                guard try ready(socket, POLLOUT, by: deadline) else { throw SocketError("send", ETIMEDOUT) }
            } else if errno != EINTR {
                throw SocketError("send", errno)
            }
        }
    }

    /// Ends our side, and throws away what still comes until the other one has ended its own.
    func end(within patience: Milliseconds) {
        shutdown(socket, SHUT_WR)
        let deadline = monotonicMilliseconds() + patience
        // A browser that goes on talking is not listened to for longer, either.
        while monotonicMilliseconds() < deadline {
            guard let bytes = try? receive(by: deadline), !bytes.isEmpty else { return }
        }
    }
}

/// A browser, from its request to its end.
private func serve(_ browser: Pipe, _ rules: GatewayRules) {
    defer { browser.end(within: 2000) }
    let deadline = monotonicMilliseconds() + 10_000
    do {
        guard let rest = try shakeHands(browser, rules, deadline) else { return }
        guard let socket = try? connectToServer(rules, by: monotonicMilliseconds() + 10_000) else {
            return try browser.send(closeFrame(1013), by: monotonicMilliseconds() + 2000)
        }
        defer { close(socket) }
        Session(browser, Pipe(socket)).run(rest)
    } catch {
        // It is gone.
    }
}

/// - Returns: what came behind the request; nil if the browser was refused.
private func shakeHands(_ browser: Pipe, _ rules: GatewayRules, _ deadline: Milliseconds) throws -> [UInt8]? {
    var request: [UInt8] = []
    while true {
        let piece = try browser.receive(by: deadline)
        if piece.isEmpty { return nil }
        request += piece
        // No line ends in it, so no request does.
        guard piece.contains(10) || request.count >= Lesson09.headLimit else { continue }
        switch Solution09.reference.serverHandshake(request, rules.allowedOrigins) {
        case .incomplete: continue
        case .refused(let status, let response):
            try browser.send(status == 426 ? rules.page : response, by: deadline)
            return nil
        case .accepted(let response, let length):
            try browser.send(response, by: deadline)
            return Array(request[length...])
        }
    }
}

private func connectToServer(_ rules: GatewayRules, by deadline: Milliseconds) throws -> Int32 {
    let address = try SocketAddress(host: rules.serverHost, port: rules.serverPort)
    let socket = try check("socket", Sockets.socket(address.family, SOCK_STREAM, 0))
    do {
        setNonblocking(socket)
        if address.withSockaddr({ connect(socket, $0, $1) }) == 0 { return socket }
        guard errno == EINPROGRESS || errno == EINTR else { throw SocketError("connect", errno) }
        guard try ready(socket, POLLOUT, by: deadline) else { throw SocketError("connect", ETIMEDOUT) }
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        try check("getsockopt", getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &size))
        guard code == 0 else { throw SocketError("connect", code) }
        return socket
    } catch {
        close(socket)
        throw error
    }
}

private func closeFrame(_ code: UInt16?) -> [UInt8] {
    let payload = code.map { [UInt8($0 >> 8), UInt8($0 & 0xFF)] } ?? []
    return Solution09.reference.encodeFrame(.close, payload, true, nil)
}

private final class Session: @unchecked Sendable {
    private let browser: Pipe
    private let server: Pipe
    private var events = Solution09.reference.makeFrameDecoder(.server, Lesson14.frameLimit)
    /// For what goes to the browser: both threads have something to say to it.
    private let mouth = NSLock()
    /// The close frame was sent: nothing may follow it.
    private var hasClosed = false
    private let serverIsDone = DispatchSemaphore(value: 0)

    init(_ browser: Pipe, _ server: Pipe) {
        self.browser = browser
        self.server = server
    }

    /// Both directions have ended when it returns.
    func run(_ rest: [UInt8]) {
        Thread.detachNewThread { [self] in
            passToBrowser()
            // Wakes the other thread, wherever it waits: the chat server has nothing more to say.
            shutdown(server.socket, SHUT_RDWR)
            serverIsDone.signal()
        }
        let farewell = passToServer(rest)
        // Behind its last words.
        shutdown(server.socket, SHUT_WR)
        if let farewell { sayClose(farewell, by: monotonicMilliseconds() + 2000) }
        // The chat server now ends its side, too, and the other thread with it. Or else it is made to.
        if serverIsDone.wait(timeout: .now() + .seconds(5)) == .timedOut {
            shutdown(server.socket, SHUT_RDWR)
            shutdown(browser.socket, SHUT_RDWR)
            serverIsDone.wait()
        }
    }

    /// - Returns: the payload of the close frame that is due, nil if none is: the browser has ended, or the server.
    private func passToServer(_ rest: [UInt8]) -> [UInt8]? {
        var bytes = rest
        var room = [UInt8](repeating: 0, count: 16_384)
        while true {
            do {
                events.feed(bytes)
                while let event = try events.next() {
                    switch event {
                    case .text(let message): try server.send(Solution05.reference.encodeFrame(message))
                    case .binary: return closeFrame(1003)
                    case .ping(let payload):
                        try say(Solution09.reference.encodeFrame(.pong, payload, true, nil))
                    case .pong: break
                    case .close(let code, _): return closeFrame(code)
                    }
                }
                guard try waitForBrowser() else { return nil }
                guard let count = try browser.take(&room) else {
                    bytes = []
                    continue
                }
                if count == 0 { return nil }
                bytes = Array(room[..<count])
            } catch let error as WebSocketError {
                return closeFrame(error.closeCode)
            } catch {
                return nil
            }
        }
    }

    /// - Returns: false if the chat server has ended, and all that it said has been passed on.
    private func waitForBrowser() throws -> Bool {
        // Nothing is asked of the second one: that both its sides have ended is told unasked.
        var asked = [
            pollfd(fd: browser.socket, events: Int16(POLLIN), revents: 0),
            pollfd(fd: server.socket, events: 0, revents: 0),
        ]
        while true {
            let count = poll(&asked, 2, -1)
            if count < 0 && errno == EINTR { continue }
            try check("poll", count)
            return asked[1].revents == 0
        }
    }

    private func passToBrowser() {
        var frames = Solution05.reference.makeFrameDecoder(Lesson14.frameLimit)
        var code: UInt16 = 1000
        do {
            while true {
                let bytes = try server.receive()
                if bytes.isEmpty { break }
                frames.feed(bytes)
                while let message = try frames.next() {
                    try say(Solution09.reference.encodeFrame(.text, message, true, nil))
                }
            }
        } catch is FramingError {
            code = 1011
        } catch {
            // One of both is gone.
        }
        sayClose(closeFrame(code), by: monotonicMilliseconds() + 5000)
    }

    private func say(_ frame: [UInt8]) throws {
        mouth.lock()
        defer { mouth.unlock() }
        if !hasClosed { try browser.send(frame) }
    }

    /// The first one counts.
    private func sayClose(_ frame: [UInt8], by deadline: Milliseconds) {
        // Who does not read our words does not read this one: whoever speaks now may do so for long.
        guard mouth.lock(before: Date(timeIntervalSinceNow: 2)) else { return }
        defer { mouth.unlock() }
        guard !hasClosed else { return }
        hasClosed = true
        try? browser.send(frame, by: deadline)
    }
}
