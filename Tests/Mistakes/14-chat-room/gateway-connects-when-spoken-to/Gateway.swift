import Course
import Solution05
import Solution09
import Sockets

func gateway(host: String, port: UInt16, rules: GatewayRules) throws {
    let loop = try EventLoop(host: host, port: port)
    loop.onAccept = { channel in
        let interpreter = Interpreter(loop, channel, rules)
        channel.onBytes = { interpreter.heard($0) }
        channel.onEnd = { interpreter.browserLeft() }
        channel.onDrained = { interpreter.listenToServer() }
        // So long may the handshake take.
        loop.expect(channel, within: patience)
    }
    try loop.run()
}

private let patience: Milliseconds = 10_000
/// More than this must not wait for one side before the other one is no longer listened to.
private let plenty = 65_536

/// Translates for one browser.
private final class Interpreter {
    private enum Stage {
        case handshake([UInt8])
        case talking
        case over
    }

    private let loop: EventLoop
    private let browser: Channel
    private let rules: GatewayRules
    private var stage = Stage.handshake([])
    /// The browser's own connection to the chat server.
    private var server: Channel?
    private var incoming = Solution09.reference.makeFrameDecoder(.server, Lesson14.frameLimit)
    private var outgoing = Solution05.reference.makeFrameDecoder(Lesson14.frameLimit)

    init(_ loop: EventLoop, _ browser: Channel, _ rules: GatewayRules) {
        self.loop = loop
        self.browser = browser
        self.rules = rules
    }

    // MARK: From the browser

    func heard(_ bytes: [UInt8]) {
        switch stage {
        case .over: return
        case .talking: translate(bytes)
        case .handshake(let before):
            let request = before + bytes
            stage = .handshake(request)
            switch Solution09.reference.serverHandshake(request, rules.allowedOrigins) {
            case .incomplete: break
            case .refused(let status, let response):
                stage = .over
                loop.send(status == 426 ? rules.page : response, to: browser)
                loop.finish(browser)
            case .accepted(let response, let length):
                stage = .talking
                loop.expectNothing(browser)
                loop.send(response, to: browser)
                translate(Array(request.dropFirst(length)))
            }
        }
    }

    private func translate(_ bytes: [UInt8]) {
        incoming.feed(bytes)
        do {
            while case .talking = stage, let event = try incoming.next() {
                switch event {
                case .text(let text):
                    guard let server = server ?? callServer() else { return end(1013) }
                    loop.send(Solution05.reference.encodeFrame(text), to: server)
                case .binary: end(1003)
                case .ping(let payload):
                    loop.send(Solution09.reference.encodeFrame(.pong, payload, true, nil), to: browser)
                case .pong: break
                case .close(let code, _): end(code)
                }
            }
        } catch let error as WebSocketError {
            return end(error.closeCode)
        } catch {
            return end(1011)
        }
        if let server, server.output.count >= plenty {
            browser.wantsBytes = false
            loop.touch(browser)
        }
    }

    func browserLeft() {
        stage = .over
        if let server { loop.finish(server) }
    }

    // MARK: From the chat server

    /// - Returns: nil if it cannot be reached, as far as is known at once.
    private func callServer() -> Channel? {
        guard let address = try? SocketAddress(host: rules.serverHost, port: rules.serverPort) else { return nil }
        let descriptor = socket(address.family, SOCK_STREAM, 0)
        guard descriptor >= 0 else { return nil }
        setNonblocking(descriptor)
        if address.withSockaddr({ connect(descriptor, $0, $1) }) != 0 && errno != EINPROGRESS && errno != EINTR {
            close(descriptor)
            return nil
        }
        let server = loop.add(descriptor, isConnecting: true)
        self.server = server
        loop.expect(server, within: patience)
        server.onConnected = { [loop] in loop.expectNothing(server) }
        server.onBytes = { self.passOn($0) }
        server.onEnd = { self.end(server.isConnecting ? 1013 : 1000) }
        server.onDrained = { self.listenToBrowser() }
        return server
    }

    private func passOn(_ bytes: [UInt8]) {
        outgoing.feed(bytes)
        do {
            while let message = try outgoing.next() {
                loop.send(Solution09.reference.encodeFrame(.text, message, true, nil), to: browser)
            }
        } catch { return end(1011) }
        if browser.output.count >= plenty, let server {
            server.wantsBytes = false
            loop.touch(server)
        }
    }

    // MARK: Both

    func listenToServer() {
        guard let server, !server.wantsBytes else { return }
        server.wantsBytes = true
        loop.touch(server)
    }

    private func listenToBrowser() {
        guard !browser.wantsBytes else { return }
        browser.wantsBytes = true
        loop.touch(browser)
    }

    private func end(_ code: UInt16?) {
        guard case .talking = stage else { return }
        stage = .over
        var payload: [UInt8] = []
        if let code { payload = [UInt8(code / 256), UInt8(code % 256)] }
        loop.send(Solution09.reference.encodeFrame(.close, payload, true, nil), to: browser)
        loop.finish(browser)
        if let server { loop.finish(server) }
    }
}
