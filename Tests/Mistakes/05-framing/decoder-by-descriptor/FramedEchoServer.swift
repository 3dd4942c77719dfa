import Course
import Foundation
import Sockets

/// The longest message that the server takes: 1 MiB.
let largestMessage = 1 << 20

/// What the server knows about one client.
private final class Session {
    var decoder = FrameDecoder(limit: largestMessage)
    var chunk = [UInt8](repeating: 0, count: 32_768)
}

/// Everybody's session. Threads look up their own here, under the lock.
private final class Sessions: @unchecked Sendable {
    private let lock = NSLock()
    private var all: [Int32: Session] = [:]

    func session(of client: Int32) -> Session {
        lock.lock()
        defer { lock.unlock() }
        if let known = all[client] { return known }
        let new = Session()
        all[client] = new
        return new
    }
}

func framedEchoServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    let sessions = Sessions()
    while true {
        let client = try acceptClient(listener)
        Thread.detachNewThread {
            let session = sessions.session(of: client)
            while answer(client, session) {}
            close(client)
        }
    }
}

/// One receive and all its answers.
/// - Returns: false when there is nothing more to be had from this client.
private func answer(_ client: Int32, _ session: Session) -> Bool {
    let count = session.chunk.withUnsafeMutableBytes { recv(client, $0.baseAddress, $0.count, 0) }
    if count < 0 { return errno == EINTR }
    if count == 0 { return false }
    session.decoder.feed(Array(session.chunk.prefix(count)))
    do {
        while let message = try session.decoder.next() {
            try sendAll(client, encodeFrame(message: message))
        }
        return true
    } catch {
        return false
    }
}
