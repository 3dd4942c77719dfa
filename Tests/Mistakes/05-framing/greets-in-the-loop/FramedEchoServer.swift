import Course
import Foundation
import Sockets

let largestMessage = 1 << 20

func framedEchoServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    while true {
        let client = try acceptClient(listener)
        var first: UInt8 = 0
        guard recv(client, &first, 1, MSG_PEEK) == 1 else { throw StreamError.ended(received: 0) }
        Thread.detachNewThread {
            defer { close(client) }
            do { try echoFrames(client) } catch {
            }
        }
    }
}

private func echoFrames(_ client: Int32) throws {
    var decoder = FrameDecoder(limit: largestMessage)
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = recv(client, &chunk, chunk.count, 0)
        if count < 0 && errno == EINTR { continue }
        if try check("recv", count) == 0 { return }
        decoder.feed(Array(chunk[..<count]))
        while let message = try decoder.next() {
            try sendAll(client, encodeFrame(message: message))
        }
    }
}
