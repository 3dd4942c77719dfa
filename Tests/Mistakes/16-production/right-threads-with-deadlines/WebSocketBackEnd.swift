import Course
import Foundation
import Solution09
import Sockets

func webSocketBackEnd(host: String, port: UInt16, proxyTimeout: Milliseconds, stop: Int32) throws {
    let beat = max(1, proxyTimeout / 4)
    try serveEach(host: host, port: port, stop: stop) { wire in
        guard let early = greet(wire) else { return wire.finish() }
        if talk(wire, early, beat) { wire.finish() }
    }
}

private func greet(_ wire: Wire) -> [UInt8]? {
    var request: [UInt8] = []
    let limit = monotonic() + 15_000
    while wire.wait(for: POLLIN, until: limit) == .ready {
        switch wire.receiveNow() {
        case .end: return nil
        case .nothing: continue
        case .bytes(let bytes): request += bytes
        }
        switch Solution09.reference.serverHandshake(request, nil) {
        case .incomplete: break
        case .refused(_, let response):
            _ = wire.send(response)
            return nil
        case .accepted(let response, let length):
            return wire.send(response) ? Array(request.suffix(from: length)) : nil
        }
    }
    return nil
}

/// - Returns: whether it ended as it should, so that a gentle close makes sense.
private func talk(_ wire: Wire, _ early: [UInt8], _ beat: Int) -> Bool {
    var decoder = Solution09.reference.makeFrameDecoder(.server, 1 << 20)
    decoder.feed(early)
    var hasSaidGoodbye = false
    var next = monotonic() + beat

    func say(_ opcode: Opcode, _ payload: [UInt8]) -> Bool {
        if hasSaidGoodbye { return true }
        if opcode == .close { hasSaidGoodbye = true }
        return wire.send(Solution09.reference.encodeFrame(opcode, payload, true, nil))
    }
    func bytes(_ code: UInt16) -> [UInt8] { [UInt8(truncatingIfNeeded: code >> 8), UInt8(truncatingIfNeeded: code)] }

    while true {
        do {
            while let event = try decoder.next() {
                switch event {
                case .text(let payload): if !say(.text, payload) { return false }
                case .binary(let payload): if !say(.binary, payload) { return false }
                case .ping(let payload): if !say(.pong, payload) { return false }
                case .pong: continue
                case .close(let code, _): return say(.close, code.map(bytes) ?? [])
                }
            }
        } catch {
            return say(.close, bytes((error as? WebSocketError)?.closeCode ?? 1011))
        }
        // Seen while something was sent, perhaps.
        if wire.cutOff != nil && !say(.close, bytes(1001)) { return false }
        let wake = wire.wait(for: POLLIN, until: hasSaidGoodbye ? nil : next)
        if wake == .cut { return false }
        if wire.cutOff != nil && !say(.close, bytes(1001)) { return false }
        if wake == .ready {
            switch wire.receiveNow() {
            case .bytes(let new): decoder.feed(new)
            case .nothing: break
            case .end: return false
            }
        }
        if monotonic() >= next {
            next = monotonic() + beat
            if !say(.ping, []) { return false }
        }
    }
}
