import Course
import Foundation
import Sockets

/// The longest message that the server takes: 1 MiB.
let largestMessage = 1 << 20

func framedEchoServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    let waiting = ClientQueue()
    // Threads cost memory: made once, and used again.
    for _ in 0..<16 {
        Thread.detachNewThread {
            while true {
                let client = waiting.take()
                EchoConversation(client: client).run()
                close(client)
            }
        }
    }
    while true { waiting.put(try acceptClient(listener)) }
}

private final class ClientQueue: @unchecked Sendable {
    private let condition = NSCondition()
    private var clients: [Int32] = []

    func put(_ client: Int32) {
        condition.lock()
        clients.append(client)
        condition.signal()
        condition.unlock()
    }

    func take() -> Int32 {
        condition.lock()
        defer { condition.unlock() }
        while clients.isEmpty { condition.wait() }
        return clients.removeFirst()
    }
}

private struct EchoConversation {
    let client: Int32

    /// Until the client has ended its stream, has gone, or has broken the rules.
    func run() {
        var decoder = FrameDecoder(limit: largestMessage)
        do {
            while let chunk = try receiveChunk() {
                decoder.feed(chunk)
                while let message = try decoder.next() { try sendAll(client, encodeFrame(message: message)) }
            }
        } catch {
            // Only this client is concerned: its connection is closed.
        }
    }

    private func receiveChunk() throws -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var count = -1
        repeat { count = recv(client, &buffer, buffer.count, 0) } while count < 0 && errno == EINTR
        try check("recv", count)
        return count == 0 ? nil : Array(buffer[0..<count])
    }
}
