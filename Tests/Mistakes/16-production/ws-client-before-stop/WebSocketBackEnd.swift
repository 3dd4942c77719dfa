import Course
import Foundation
import Solution09
import Sockets

func webSocketBackEnd(host: String, port: UInt16, proxyTimeout: Milliseconds, stop: Int32) throws {
    let interval = Duration.milliseconds(max(proxyTimeout / 3, 1))
    try Connections.run(host: host, port: port, stop: stop) { client in
        var buffer = [UInt8](repeating: 0, count: 16_384)
        if let early = acceptWebSocket(client, stop, &buffer) {
            guard converse(client, early, interval, stop, &buffer) else { return }
        }
        finish(client, &buffer)
    }
}

/// - Returns: what came behind the request
private func acceptWebSocket(_ client: Int32, _ stop: Int32, _ buffer: inout [UInt8]) -> [UInt8]? {
    var received: [UInt8] = []
    let deadline = ContinuousClock.now + .seconds(10)
    while true {
        let left = Int((deadline - .now) / .milliseconds(1))
        guard left > 0, let ready = try? waitFor(client, or: stop, timeout: left), ready.descriptor else { return nil }
        let bytes = receive(client, &buffer)
        guard !bytes.isEmpty else { return nil }
        received.append(contentsOf: bytes)
        switch Solution09.reference.serverHandshake(received, nil) {
        case .accepted(let response, let length):
            return sendAll(client, response) ? Array(received.dropFirst(length)) : nil
        case .refused(_, let response):
            _ = sendAll(client, response)
            return nil
        case .incomplete:
            continue
        }
    }
}

/// - Returns: false if the connection is broken or ended, so that there is nothing to be closed gently.
private func converse(
    _ client: Int32, _ early: [UInt8], _ interval: Duration, _ stop: Int32, _ buffer: inout [UInt8]
) -> Bool {
    var decoder = Solution09.reference.makeFrameDecoder(.server, 1 << 20)
    decoder.feed(early)
    var isLeaving = false
    var pingAt = ContinuousClock.now + interval

    func tell(_ opcode: Opcode, _ payload: [UInt8]) throws {
        guard !isLeaving else { return }
        if !sendAll(client, Solution09.reference.encodeFrame(opcode, payload, true, nil)) { throw Gone() }
    }

    do {
        while true {
            while let event = try decoder.next() {
                switch event {
                case .text(let text): try tell(.text, text)
                case .binary(let bytes): try tell(.binary, bytes)
                case .ping(let payload): try tell(.pong, payload)
                case .pong: continue
                case .close(let code, _):
                    try tell(.close, code.map { [UInt8($0 >> 8), UInt8($0 & 255)] } ?? [])
                    return true
                }
            }

            var timeout = -1
            if !isLeaving {
                if pingAt <= .now {
                    try tell(.ping, [])
                    pingAt = .now + interval
                }
                timeout = max(1, Int((pingAt - .now) / .milliseconds(1)))
            }

            let ready = try waitFor(client, or: isLeaving ? -1 : stop, timeout: timeout)
            if ready.descriptor {
                let bytes = receive(client, &buffer)
                if bytes.isEmpty { return false }
                decoder.feed(Array(bytes))
            } else if ready.stop {
                // 1001: going away. From now on only the client's close frame is of interest.
                try tell(.close, [0x03, 0xE9])
                isLeaving = true
            }
        }
    } catch let error as WebSocketError {
        try? tell(.close, [UInt8(error.closeCode >> 8), UInt8(error.closeCode & 255)])
        return true
    } catch {
        return false
    }
}

private struct Gone: Error {}
