import Course
import Foundation
import Solution09
import Sockets

func webSocketBackEnd(host: String, port: UInt16, proxyTimeout: Milliseconds, stop: Int32) throws {
    let interval = Double(max(1, proxyTimeout)) / 3000
    try Supervisor().run(host: host, port: port, stop: stop) { peer in
        guard let early = accept(peer) else { return peer.leaveGently() }
        var socket = WebSocket(peer, interval)
        if socket.converse(early) { peer.leaveGently() }
    }
}

/// - Returns: what came behind the request; nil if there is no handshake.
private func accept(_ peer: Peer) -> [UInt8]? {
    var request: [UInt8] = []
    while case .bytes(let bytes) = peer.next(seesStop: true, clientFirst: true) {
        request += bytes
        switch Solution09.reference.serverHandshake(request, nil) {
        case .incomplete: continue
        case .accepted(let response, let length): return peer.write(response) ? Array(request[length...]) : nil
        case .refused(_, let response):
            _ = peer.write(response)
            return nil
        }
    }
    return nil
}

private struct WebSocket {
    private let peer: Peer
    private let interval: TimeInterval
    private var decoder = Solution09.reference.makeFrameDecoder(.server, 1 << 20)
    private var hasSaidGoodbye = false
    private var nextPing: Date

    init(_ peer: Peer, _ interval: TimeInterval) {
        (self.peer, self.interval) = (peer, interval)
        nextPing = Date(timeIntervalSinceNow: interval)
    }

    private func say(_ opcode: Opcode, _ payload: [UInt8]) -> Bool {
        hasSaidGoodbye || peer.write(Solution09.reference.encodeFrame(opcode, payload, true, nil))
    }

    private mutating func sayGoodbye(_ code: UInt16?) -> Bool {
        let payload = code.map { [UInt8($0 >> 8), UInt8($0 & 0xFF)] } ?? []
        defer { hasSaidGoodbye = true }
        return say(.close, payload)
    }

    /// - Returns: whether there is still somebody to be polite to.
    mutating func converse(_ early: [UInt8]) -> Bool {
        decoder.feed(early)
        while true {
            do {
                while let event = try decoder.next() {
                    let isHeard: Bool
                    switch event {
                    case .text(let bytes): isHeard = say(.text, bytes)
                    case .binary(let bytes): isHeard = say(.binary, bytes)
                    case .ping(let bytes): isHeard = say(.pong, bytes)
                    case .pong: isHeard = true
                    case .close(let code, _): return sayGoodbye(code)
                    }
                    if !isHeard { return false }
                }
            } catch {
                return sayGoodbye((error as? WebSocketError)?.closeCode ?? 1011)
            }
            if !hasSaidGoodbye && Date() >= nextPing {
                nextPing = Date(timeIntervalSinceNow: interval)
                if !say(.ping, []) { return false }
            }
            // A stop is seen first here: the client may be talking without end.
            switch peer.next(seesStop: true, clientFirst: false, until: hasSaidGoodbye ? nil : nextPing) {
            case .bytes(let bytes): decoder.feed(bytes)
            case .stop: if !sayGoodbye(1001) { return false }
            case .ended: return false
            case .late: break
            }
        }
    }
}
