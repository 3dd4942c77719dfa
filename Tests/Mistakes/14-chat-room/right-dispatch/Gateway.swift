import Course
import Solution05
import Solution09
import Sockets

func gateway(host: String, port: UInt16, rules: GatewayRules) throws {
    let loop = try DispatchLoop(host: host, port: port)
    loop.onAccept = { Passage($0, loop, rules).begin() }
    try loop.run()
}

private let enough = 65_536

/// One browser, and its connection to the chat server. It lives as long as one of its two wires has it.
private final class Passage {
    private enum State {
        case asking([UInt8])
        case talking(server: Wire)
        case over
    }

    private let browser: Wire
    private let loop: DispatchLoop
    private let rules: GatewayRules
    private var state = State.asking([])
    private let webSocket = Solution09.reference
    private var events: any WebSocketDecoder
    private var frames: any MessageDecoder

    init(_ browser: Wire, _ loop: DispatchLoop, _ rules: GatewayRules) {
        self.browser = browser
        self.loop = loop
        self.rules = rules
        events = webSocket.makeFrameDecoder(.server, Lesson14.frameLimit)
        frames = Solution05.reference.makeFrameDecoder(Lesson14.frameLimit)
    }

    func begin() {
        browser.onBytes = { [self] in fromBrowser($0) }
        browser.onEnd = { [self] in
            if case .talking(let server) = state { loop.finish(server) }
            state = .over
        }
        browser.onDrained = { [self] in
            if case .talking(let server) = state { loop.resume(server) }
            balance()
        }
        loop.expect(browser, within: 10_000)
    }

    private func fromBrowser(_ bytes: [UInt8]) {
        switch state {
        case .over: return
        case .talking(let server): talk(bytes, server)
        case .asking(let before):
            let request = before + bytes
            switch webSocket.serverHandshake(request, rules.allowedOrigins) {
            case .incomplete: state = .asking(request)
            case .refused(let status, let response):
                state = .over
                loop.send(status == 426 ? rules.page : response, to: browser)
                loop.finish(browser)
            case .accepted(let response, let length):
                loop.expectNothing(browser)
                loop.send(response, to: browser)
                guard let server = reach() else { return end(1013) }
                state = .talking(server: server)
                talk(Array(request[length...]), server)
            }
        }
    }

    private func reach() -> Wire? {
        guard let address = try? SocketAddress(host: rules.serverHost, port: rules.serverPort) else { return nil }
        let descriptor = socket(address.family, SOCK_STREAM, 0)
        guard descriptor >= 0 else { return nil }
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        let result = address.withSockaddr { connect(descriptor, $0, $1) }
        guard result == 0 || errno == EINPROGRESS || errno == EINTR,
            let server = try? loop.add(descriptor, isConnecting: true)
        else {
            close(descriptor)
            return nil
        }
        loop.expect(server, within: 10_000)
        server.onBytes = { [self] in fromServer($0) }
        server.onEnd = { [self, unowned server] in end(server.isConnecting ? 1013 : 1000) }
        server.onDrained = { [self] in balance() }
        return server
    }

    private func talk(_ bytes: [UInt8], _ server: Wire) {
        events.feed(bytes)
        do {
            while let event = try events.next() {
                switch event {
                case .text(let text): loop.send(Solution05.reference.encodeFrame(text), to: server)
                case .ping(let payload): loop.send(webSocket.encodeFrame(.pong, payload, true, nil), to: browser)
                case .pong: continue
                case .binary: return end(1003)
                case .close(let code, _): return end(code)
                }
            }
        } catch let error as WebSocketError {
            return end(error.closeCode)
        } catch {
            return end(1011)
        }
        browser.isPaused = server.out.count >= enough || browser.out.count >= enough
    }

    private func fromServer(_ bytes: [UInt8]) {
        guard case .talking(let server) = state else { return }
        frames.feed(bytes)
        do {
            while let message = try frames.next() {
                loop.send(webSocket.encodeFrame(.text, message, true, nil), to: browser)
            }
        } catch {
            return end(1011)
        }
        server.isPaused = browser.out.count >= enough
    }

    /// The browser is read from again when both sides have taken what there is.
    private func balance() {
        guard case .talking(let server) = state, server.out.isEmpty, browser.out.isEmpty else { return }
        loop.resume(browser)
    }

    private func end(_ code: UInt16?) {
        guard case .over = state else {
            if case .talking(let server) = state { loop.finish(server) }
            state = .over
            let payload = code.map { [UInt8($0 / 256), UInt8($0 % 256)] } ?? []
            loop.send(webSocket.encodeFrame(.close, payload, true, nil), to: browser)
            loop.finish(browser)
            return
        }
    }
}
