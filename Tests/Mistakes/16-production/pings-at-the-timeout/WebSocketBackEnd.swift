import Course
import Foundation
import Solution09
import Sockets

func webSocketBackEnd(host: String, port: UInt16, proxyTimeout: Milliseconds, stop: Int32) throws {
    try Connections.run(host: host, port: port, stop: stop) { client in
        // A third of what the proxy waits: one ping may be late, or lost with a busy machine, and the next is in time.
        serve(client, interval: max(1, proxyTimeout), stop: stop)
    }
}

private func serve(_ client: Int32, interval: Milliseconds, stop: Int32) {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    guard let first = shakeHands(client, stop, &buffer) else { return finish(client, &buffer) }
    var decoder = Solution09.reference.makeFrameDecoder(.server, 1 << 20)
    decoder.feed(first)
    func sendFrame(_ opcode: Opcode, _ payload: [UInt8]) -> Bool {
        sendAll(client, Solution09.reference.encodeFrame(opcode, payload, true, nil))
    }

    var isClosing = false
    var nextPing = monotonicMilliseconds() + interval
    var pings: UInt32 = 0
    while true {
        do {
            while let event = try decoder.next() {
                switch event {
                // After our close frame we say nothing more (RFC 6455 section 5.5.1); we only wait for the other's.
                case .text(let bytes): guard isClosing || sendFrame(.text, bytes) else { return }
                case .binary(let bytes): guard isClosing || sendFrame(.binary, bytes) else { return }
                case .ping(let bytes): guard isClosing || sendFrame(.pong, bytes) else { return }
                case .pong: break
                case .close(let code, _):
                    if !isClosing { _ = sendFrame(.close, code.map(closePayload) ?? []) }
                    return finish(client, &buffer)
                }
            }
            let readable = try waitFor(
                client, or: isClosing ? -1 : stop, timeout: isClosing ? -1 : max(0, nextPing - monotonicMilliseconds()))
            if readable.descriptor {
                let bytes = receive(client, &buffer)
                if bytes.isEmpty { return }
                decoder.feed(Array(bytes))
            }
            if readable.stop {
                // Going away (RFC 6455 section 7.4.1): a page that is told so may connect again, to another of us.
                isClosing = true
                guard sendFrame(.close, closePayload(1001)) else { return }
            }
        } catch {
            if !isClosing { _ = sendFrame(.close, closePayload((error as? WebSocketError)?.closeCode ?? 1011)) }
            return finish(client, &buffer)
        }
        // Not only after a silence of ours: a client that talks all the time hears echoes, but a message that takes long to
        // arrive is silence on the way back.
        if !isClosing && monotonicMilliseconds() >= nextPing {
            nextPing = monotonicMilliseconds() + interval
            pings += 1
            guard sendFrame(.ping, Array("\(pings)".utf8)) else { return }
        }
    }
}

/// - Returns: what the client has sent behind its request, or nil if there will be no WebSocket.
private func shakeHands(_ client: Int32, _ stop: Int32, _ buffer: inout [UInt8]) -> [UInt8]? {
    var received: [UInt8] = []
    while true {
        guard let readable = try? waitFor(client, or: stop, timeout: 10_000), readable.descriptor else { return nil }
        let bytes = receive(client, &buffer)
        if bytes.isEmpty { return nil }
        received += bytes
        switch Solution09.reference.serverHandshake(received, nil) {
        case .incomplete: continue
        case .accepted(let response, let length):
            return sendAll(client, response) ? Array(received[length...]) : nil
        case .refused(_, let response):
            _ = sendAll(client, response)
            return nil
        }
    }
}

private func closePayload(_ code: UInt16) -> [UInt8] { [UInt8(code >> 8), UInt8(code & 0xFF)] }

/// A clock that nobody sets: differences are time.
private func monotonicMilliseconds() -> Milliseconds {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}
