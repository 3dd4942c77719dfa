import Course
import Foundation
import Solution09
import Sockets

func webSocketBackEnd(host: String, port: UInt16, proxyTimeout: Milliseconds, stop: Int32) throws {
    try Connections.run(host: host, port: port, stop: stop) { client in
        let socket = WebSocket(client, stop)
        guard socket.open() else { return socket.end() }
        // The heart beats in a thread of its own.
        let beat = Heart(every: max(1, proxyTimeout / 3)) { socket.send(.ping, []) }
        let isGentle = socket.echo()
        if !isGentle { shutdown(client, SHUT_RDWR) }
        beat.rest()
        if isGentle { socket.end() }
    }
}

private final class Heart: @unchecked Sendable {
    private let ask = DispatchSemaphore(value: 0)
    private let done = DispatchSemaphore(value: 0)

    init(every pause: Milliseconds, beat: @escaping @Sendable () -> Bool) {
        Thread.detachNewThread { [ask, done] in
            while ask.wait(timeout: .now() + .milliseconds(pause)) == .timedOut, beat() {}
            done.signal()
        }
    }

    func rest() {
        ask.signal()
        done.wait()
    }
}

private final class WebSocket: @unchecked Sendable {
    private let client: Int32
    private let stop: Int32
    private let lock = NSLock()
    private var hasClosed = false  // under `lock`
    private var decoder = Solution09.reference.makeFrameDecoder(.server, 1 << 20)
    private var buffer = [UInt8](repeating: 0, count: 16_384)

    init(_ client: Int32, _ stop: Int32) { (self.client, self.stop) = (client, stop) }

    /// Whole frames, and none behind a close frame.
    func send(_ opcode: Opcode, _ payload: [UInt8]) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        if hasClosed { return true }
        hasClosed = opcode == .close
        return sendAll(client, Solution09.reference.encodeFrame(opcode, payload, true, nil))
    }

    private func sendClose(_ code: UInt16) -> Bool { send(.close, withUnsafeBytes(of: code.bigEndian) { Array($0) }) }

    func end() { finish(client, &buffer) }

    func open() -> Bool {
        var request: [UInt8] = []
        while true {
            guard let ready = try? waitFor(client, or: stop, timeout: 20_000), ready.descriptor else { return false }
            let bytes = receive(client, &buffer)
            if bytes.isEmpty { return false }
            request += bytes
            switch Solution09.reference.serverHandshake(request, nil) {
            case .incomplete: continue
            case .refused(_, let response):
                _ = sendAll(client, response)
                return false
            case .accepted(let response, let length):
                decoder.feed(Array(request[length...]))
                return sendAll(client, response)
            }
        }
    }

    /// - Returns: whether both sides have said goodbye; else the connection is broken.
    func echo() -> Bool {
        var isGoing = false
        while true {
            do {
                while let event = try decoder.next() {
                    switch event {
                    // A message is a message: what came goes back.
                    case .text(let message), .binary(let message):
                        if !send(.text, message) { return false }
                    case .ping(let payload):
                        if !send(.pong, payload) { return false }
                    case .pong: continue
                    case .close(let code, _):
                        if let code { return sendClose(code) }
                        return send(.close, [])
                    }
                }
            } catch {
                return sendClose((error as? WebSocketError)?.closeCode ?? 1011)
            }
            guard let ready = try? waitFor(client, or: isGoing ? -1 : stop) else { return false }
            if ready.descriptor {
                let bytes = receive(client, &buffer)
                if bytes.isEmpty { return false }
                decoder.feed(Array(bytes))
            }
            if ready.stop {
                isGoing = true
                if !sendClose(1001) { return false }
            }
        }
    }
}
