import Course
import Solution09
import Sockets

func webSocketBackEnd(host: String, port: UInt16, proxyTimeout: Milliseconds, stop: Int32) throws {
    let interval = max(proxyTimeout / 3, 1)
    try Loop(stop: stop) { loop, fd, _ in WebSession(fd: fd, loop: loop, interval: interval) }.run(
        host: host, port: port)
}

private final class WebSession: Session {
    private let interval: Int
    private var request: [UInt8] = []
    private var decoder: (any WebSocketDecoder)?
    private var saidClose = false
    private var alarm: Int

    init(fd: Int32, loop: Loop, interval: Int) {
        self.interval = interval
        alarm = clock() + 10_000
        super.init(fd: fd, loop: loop)
    }

    override var mayLeave: Bool { decoder == nil }
    override var nextTick: Int? { phase == .talking && !saidClose ? alarm : nil }

    override func tick() {
        guard decoder != nil else { return leave() }
        alarm = clock() + interval
        // While bytes wait the client is not reading, or the line is busy anyway.
        if hasSaidAll { frame(.ping, Array("alive".utf8)) }
    }

    override func stopped() { if decoder != nil { sayClose(1001) } }

    override func input(_ bytes: [UInt8]) {
        if decoder != nil {
            decoder?.feed(bytes)
        } else {
            request += bytes
            switch Solution09.reference.serverHandshake(request, nil) {
            case .incomplete: return
            case .refused(_, let response):
                say(response)
                return leave()
            case .accepted(let response, let length):
                say(response)
                decoder = Solution09.reference.makeFrameDecoder(.server, 1 << 20)
                decoder?.feed(Array(request.dropFirst(length)))
                request = []
                alarm = clock() + interval
                if loop.isStopping { sayClose(1001) }
            }
        }
        do {
            while phase == .talking, let event = try decoder?.next() {
                switch event {
                case .text(let payload): frame(.text, payload)
                case .binary(let payload): frame(.binary, payload)
                case .ping(let payload): frame(.pong, payload)
                case .pong: break
                case .close(let code, _):
                    sayClose(code)
                    leave()
                }
            }
        } catch {
            sayClose((error as? WebSocketError)?.closeCode ?? 1011)
            leave()
        }
    }

    private func frame(_ opcode: Opcode, _ payload: [UInt8]) {
        guard !saidClose else { return }
        say(Solution09.reference.encodeFrame(opcode, payload, true, nil))
    }

    private func sayClose(_ code: UInt16?) {
        frame(.close, code.map { [UInt8($0 >> 8), UInt8($0 & 255)] } ?? [])
        saidClose = true
    }
}
