import Course
import Foundation
import Solution05
import Solution09
import Sockets

func gateway(host: String, port: UInt16, rules: GatewayRules) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    while true {
        var door = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        if poll(&door, 1, -1) < 0 {
            guard errno == EINTR else { throw SocketError("poll", errno) }
            continue
        }
        switch try acceptClient(listener) {
        case .client(let descriptor):
            let thread = Thread { Bridge(descriptor, rules).live() }
            thread.stackSize = 1 << 20
            thread.start()
        case .nobody: break
        case .noRoom: usleep(100_000)
        }
    }
}

/// One end of a session: a descriptor that does not block, and what waits for it.
private struct Shore {
    var descriptor: Int32 = -1
    var output = Output()
    /// Nothing more comes from there.
    var hasEnded = true
    /// Nothing more is said there.
    var isSilent = true

    var isThere: Bool { descriptor >= 0 }

    init() {}

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        hasEnded = false
        isSilent = false
    }

    mutating func flush() {
        while !isSilent && !output.isEmpty {
            let count = output.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if count >= 0 {
                output.removeFirst(count)
            } else if errno == EAGAIN {
                return
            } else if errno != EINTR {
                sink()
            }
        }
    }

    mutating func sink() {
        output = Output()
        isSilent = true
        hasEnded = true
    }

    /// What came; nil if nothing did.
    mutating func receive(_ buffer: inout [UInt8]) -> [UInt8]? {
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count > 0 { return Array(buffer[..<count]) }
        if count == 0 { hasEnded = true } else if errno != EINTR && errno != EAGAIN { sink() }
        return nil
    }

    func entry(_ wantsBytes: Bool) -> pollfd {
        let events = (wantsBytes && !hasEnded ? POLLIN : 0) | (!isSilent && !output.isEmpty ? POLLOUT : 0)
        let isAsked = !hasEnded || events != 0
        return pollfd(fd: isAsked ? descriptor : -1, events: Int16(events), revents: 0)
    }
}

/// A browser, and the connection to the chat server for it. A thread lives it from the request to the last end.
private final class Bridge {
    private let rules: GatewayRules
    private let webSocket = Solution09.reference
    private let framing = Solution05.reference
    private var browser: Shore
    private var server = Shore()
    private var events: any WebSocketDecoder
    private var frames: any MessageDecoder
    private var isDone = false
    private var buffer = [UInt8](repeating: 0, count: 16_384)

    private static let plenty = 65_536

    init(_ descriptor: Int32, _ rules: GatewayRules) {
        self.rules = rules
        browser = Shore(descriptor)
        events = webSocket.makeFrameDecoder(.server, Lesson14.frameLimit)
        frames = framing.makeFrameDecoder(Lesson14.frameLimit)
    }

    func live() {
        if let rest = greet() {
            if let descriptor = dial() {
                server = Shore(descriptor)
                fromBrowser(rest)
                pass()
            } else {
                end(1013)
            }
        }
        if server.isThere && !server.isSilent { takeLeave() }
        disband()
        if server.isThere { close(server.descriptor) }
        close(browser.descriptor)
    }

    // MARK: Before

    /// - Returns: what came behind the request; nil if there is no WebSocket to be had.
    private func greet() -> [UInt8]? {
        let latest = monotonicMilliseconds() + 10_000
        var request: [UInt8] = []
        while !browser.hasEnded {
            let left = latest - monotonicMilliseconds()
            guard left > 0 else {
                browser.sink()
                return nil
            }
            var entry = browser.entry(true)
            guard poll(&entry, 1, Int32(clamping: left)) > 0, let bytes = browser.receive(&buffer) else { continue }
            request += bytes
            guard bytes.contains(10) || request.count >= Lesson09.headLimit else { continue }
            switch webSocket.serverHandshake(request, rules.allowedOrigins) {
            case .incomplete: continue
            case .refused(let status, let response):
                browser.output.append(status == 426 ? rules.page : response)
                return nil
            case .accepted(let response, let length):
                browser.output.append(response)
                browser.flush()
                return Array(request[length...])
            }
        }
        return nil
    }

    private func dial() -> Int32? {
        guard let address = try? SocketAddress(host: rules.serverHost, port: rules.serverPort) else { return nil }
        let descriptor = socket(address.family, SOCK_STREAM, 0)
        guard descriptor >= 0 else { return nil }
        setNonblocking(descriptor)
        if address.withSockaddr({ connect(descriptor, $0, $1) }) == 0 { return descriptor }
        if errno == EINPROGRESS || errno == EINTR {
            let latest = monotonicMilliseconds() + 10_000
            while case let left = latest - monotonicMilliseconds(), left > 0 {
                var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                guard poll(&entry, 1, Int32(clamping: left)) > 0 else { continue }
                var code: Int32 = 0
                var size = socklen_t(MemoryLayout<Int32>.size)
                if getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) == 0 && code == 0 { return descriptor }
                break
            }
        }
        close(descriptor)
        return nil
    }

    // MARK: Meanwhile

    private func pass() {
        while !isDone {
            browser.flush()
            server.flush()
            if browser.isSilent { return }
            if server.isSilent { return end(1000) }
            let listensToBrowser = server.output.count < Bridge.plenty && browser.output.count < 1 << 20
            let listensToServer = browser.output.count < Bridge.plenty
            var entries = [browser.entry(listensToBrowser), server.entry(listensToServer)]
            guard poll(&entries, 2, -1) > 0 else { continue }
            let come = Int16(POLLIN | POLLHUP | POLLERR)
            if entries[1].revents & come != 0 {
                if let bytes = server.receive(&buffer) { fromServer(bytes) }
                if server.hasEnded { return end(1000) }
            }
            if entries[0].revents & come != 0 {
                if let bytes = browser.receive(&buffer) { fromBrowser(bytes) }
                if browser.hasEnded { return }
            }
        }
    }

    private func fromBrowser(_ bytes: [UInt8]) {
        events.feed(bytes)
        do {
            while !isDone, let event = try events.next() {
                switch event {
                case .text(let text): server.output.append(framing.encodeFrame(text))
                case .binary: end(1003)
                case .ping(let payload): browser.output.append(webSocket.encodeFrame(.pong, payload, true, nil))
                case .pong: break
                case .close(let code, _): end(code)
                }
            }
        } catch {
            end((error as? WebSocketError)?.closeCode ?? 1011)
        }
    }

    private func fromServer(_ bytes: [UInt8]) {
        frames.feed(bytes)
        do {
            while let text = try frames.next() { browser.output.append(webSocket.encodeFrame(.text, text, true, nil)) }
        } catch {
            end(1011)
        }
    }

    private func end(_ code: UInt16?) {
        guard !isDone else { return }
        isDone = true
        let payload = code.map { [UInt8($0 >> 8), UInt8($0 & 255)] } ?? []
        browser.output.append(webSocket.encodeFrame(.close, payload, true, nil))
    }

    /// The room shall know at once that its member has left, and not take it for a broken line.
    private func takeLeave() {
        guard !server.hasEnded else { return }
        server.output.append(framing.encodeFrame(encodeMessage(.logout)))
    }

    // MARK: Afterwards

    /// What waits is sent on both sides, then the end; theirs is waited for. What they still say is thrown away.
    private func disband() {
        var deadline = monotonicMilliseconds() + 10_000
        var waiting = -1
        var haveSaidAll = false
        while true {
            for side in [\Bridge.browser, \Bridge.server] {
                self[keyPath: side].flush()
                if !self[keyPath: side].isSilent && self[keyPath: side].output.isEmpty {
                    self[keyPath: side].isSilent = true
                    shutdown(self[keyPath: side].descriptor, SHUT_WR)
                }
            }
            if browser.isSilent && server.isSilent {
                if browser.hasEnded && server.hasEnded { return }
                if !haveSaidAll { deadline = monotonicMilliseconds() + 2_000 }
                haveSaidAll = true
            } else if browser.output.count + server.output.count != waiting {
                waiting = browser.output.count + server.output.count
                deadline = monotonicMilliseconds() + 10_000
            }
            let left = deadline - monotonicMilliseconds()
            guard left > 0 else { return }
            var entries = [browser.entry(true), server.entry(true)]
            guard poll(&entries, 2, Int32(clamping: left)) > 0 else { continue }
            let come = Int16(POLLIN | POLLHUP | POLLERR)
            if entries[0].revents & come != 0 && !browser.hasEnded { _ = browser.receive(&buffer) }
            if entries[1].revents & come != 0 && !server.hasEnded { _ = server.receive(&buffer) }
        }
    }
}
