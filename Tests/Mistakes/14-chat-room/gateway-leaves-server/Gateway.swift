import Course
import Solution05
import Solution09
import Sockets

func gateway(host: String, port: UInt16, rules: GatewayRules) throws {
    let gateway = Gateway(try EventLoop(host: host, port: port), rules)
    try gateway.run()
}

/// WebSocket in front, frames of the chat protocol behind; what is in them is none of its business.
private final class Gateway {
    private let loop: EventLoop
    private let rules: GatewayRules
    private let framing = Solution05.reference
    private let webSocket = Solution09.reference

    /// How long a browser may take over its handshake, and we to reach the chat server.
    private static let patience: Milliseconds = 10_000
    /// Who has so much to take is not read for: whoever sends to it has to wait. Behind us that is the chat server,
    /// which knows what to do with a member that does not read.
    private static let mostWaiting = 65_536

    /// One browser and its connection to the chat server.
    private final class Session {
        let browser: Channel
        var request: [UInt8] = []
        /// Nil until the handshake is done.
        var server: Channel?
        var events: any WebSocketDecoder
        var frames: any MessageDecoder

        init(_ browser: Channel, _ events: any WebSocketDecoder, _ frames: any MessageDecoder) {
            self.browser = browser
            self.events = events
            self.frames = frames
        }
    }

    init(_ loop: EventLoop, _ rules: GatewayRules) {
        self.loop = loop
        self.rules = rules
        loop.onAccept = { [unowned self] browser in accept(browser) }
    }

    func run() throws -> Never { try loop.run() }

    private func accept(_ browser: Channel) {
        let session = Session(
            browser, webSocket.makeFrameDecoder(.server, Lesson14.frameLimit),
            framing.makeFrameDecoder(Lesson14.frameLimit))
        browser.onBytes = { [unowned self] in receiveRequest($0, session) }
        loop.expect(browser, within: Gateway.patience)
    }

    // MARK: The handshake

    private func receiveRequest(_ bytes: [UInt8], _ session: Session) {
        session.request += bytes
        // Where no line ends, no request does.
        guard bytes.contains(UInt8(ascii: "\n")) || session.request.count >= Lesson09.headLimit else { return }
        switch webSocket.serverHandshake(session.request, rules.allowedOrigins) {
        case .incomplete: return
        case .refused(let status, let response):
            loop.send(status == 426 ? rules.page : response, to: session.browser)
            loop.finish(session.browser)
        case .accepted(let response, let length):
            loop.send(response, to: session.browser)
            loop.expectNothing(session.browser)
            let rest = Array(session.request[length...])
            session.request = []
            open(session)
            if session.server != nil { receive(rest, from: session) }
        }
    }

    /// The connection behind the WebSocket. Not waited for: other browsers would wait, too.
    private func open(_ session: Session) {
        let descriptor: Int32
        do { descriptor = try beginConnect() } catch { return close(session, 1013) }
        let server = loop.add(descriptor, isConnecting: true)
        session.server = server
        loop.expect(server, within: Gateway.patience)
        session.browser.onBytes = { [unowned self] in receive($0, from: session) }
        session.browser.onEnd = { [unowned self] in loop.finish(server) }
        session.browser.onDrained = { [unowned self] in resume(server) }
        server.onBytes = { [unowned self] in pass($0, to: session) }
        server.onEnd = { [unowned self] in close(session, server.isConnecting ? 1013 : 1000) }
        server.onDrained = { [unowned self] in resume(session.browser) }
        server.onConnected = { [unowned self] in loop.expectNothing(server) }
    }

    private func beginConnect() throws -> Int32 {
        let address = try SocketAddress(host: rules.serverHost, port: rules.serverPort)
        let descriptor = try check("socket", socket(address.family, SOCK_STREAM, 0))
        setNonblocking(descriptor)
        if address.withSockaddr({ connect(descriptor, $0, $1) }) == 0 || errno == EINPROGRESS || errno == EINTR {
            return descriptor
        }
        let code = errno
        Sockets.close(descriptor)
        throw SocketError("connect", code)
    }

    // MARK: There and back

    private func receive(_ bytes: [UInt8], from session: Session) {
        guard let server = session.server else { return }
        session.events.feed(bytes)
        do {
            while let event = try session.events.next() {
                switch event {
                case .text(let message): loop.send(framing.encodeFrame(message), to: server)
                // JSON is text.
                case .binary:
                    loop.send(webSocket.encodeFrame(.close, [3, 235], true, nil), to: session.browser)
                    return loop.finish(session.browser)
                case .ping(let payload):
                    loop.send(webSocket.encodeFrame(.pong, payload, true, nil), to: session.browser)
                case .pong: break
                case .close(let code, _): return close(session, code)
                }
            }
        } catch {
            return close(session, (error as? WebSocketError)?.closeCode ?? 1011)
        }
        if server.output.count >= Gateway.mostWaiting { pause(session.browser) }
    }

    private func pass(_ bytes: [UInt8], to session: Session) {
        session.frames.feed(bytes)
        do {
            while let message = try session.frames.next() {
                loop.send(webSocket.encodeFrame(.text, message, true, nil), to: session.browser)
            }
        } catch {
            return close(session, 1011)
        }
        if session.browser.output.count >= Gateway.mostWaiting, let server = session.server { pause(server) }
    }

    private func pause(_ channel: Channel) {
        channel.wantsBytes = false
        loop.touch(channel)
    }

    private func resume(_ channel: Channel) {
        guard !channel.wantsBytes else { return }
        channel.wantsBytes = true
        loop.touch(channel)
    }

    /// Says close to the browser, and takes leave of the chat server. What the browser still says is thrown away, its
    /// own close frame for one.
    private func close(_ session: Session, _ code: UInt16?) {
        let payload = code.map { [UInt8($0 >> 8), UInt8($0 & 0xFF)] } ?? []
        loop.send(webSocket.encodeFrame(.close, payload, true, nil), to: session.browser)
        loop.finish(session.browser)
        if let server = session.server { loop.finish(server) }
    }
}
