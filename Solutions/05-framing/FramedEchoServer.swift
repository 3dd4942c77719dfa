import Course
import Foundation
import Sockets

/// The longest message that the server takes: 1 MiB.
let largestMessage = 1 << 20

func framedEchoServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    while true {
        let client = try acceptClient(listener)
        // A thread a client: one that stops in the middle of a frame holds up only itself.
        Thread.detachNewThread {
            // The one place where this client's socket is closed, whatever happened.
            defer { close(client) }
            do { try echoFrames(client) } catch {
                // It left, or broke the rules. Either way only this client is done. If the frame was too long, bytes
                // of it may lie unread, so that close(2) resets the connection: that is meant.
            }
        }
    }
}

/// Returns when the client has ended its stream. Half a frame before that is nothing: it is dropped.
private func echoFrames(_ client: Int32) throws {
    var decoder = FrameDecoder(limit: largestMessage)
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = recv(client, &chunk, chunk.count, 0)
        if count < 0 && errno == EINTR { continue }
        if try check("recv", count) == 0 { return }
        decoder.feed(Array(chunk[..<count]))
        while let message = try decoder.next() {
            // Length and message in one send: two would be two packets, and the second may wait for the answer to
            // the first (lesson 10).
            try sendAll(client, encodeFrame(message: message))
        }
    }
}
