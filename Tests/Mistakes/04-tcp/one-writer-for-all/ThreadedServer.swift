import Course
import Dispatch
import Foundation
import Sockets

/// A thread waits for each client; what is to be sent goes to a queue, so that the reading threads have only one task.
func threadedServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    let writer = DispatchQueue(label: "answers")
    while true {
        let conversation = Conversation(try acceptClient(listener), writer)
        Thread.detachNewThread { conversation.listen() }
    }
}

private final class Conversation: @unchecked Sendable {
    private let connection: Int32
    private let writer: DispatchQueue
    /// Looked at and changed on the writer's queue only.
    private var isBroken = false

    init(_ connection: Int32, _ writer: DispatchQueue) {
        self.connection = connection
        self.writer = writer
    }

    func listen() {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = recv(connection, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { break }
            let answer = buffer[..<count].map { $0 >= 97 && $0 <= 122 ? $0 - 32 : $0 }
            writer.async { self.say(answer) }
        }
        // Behind the last answer.
        writer.async { close(self.connection) }
    }

    private func say(_ answer: [UInt8]) {
        guard !isBroken else { return }
        do { try sendAll(connection, answer) } catch {
            isBroken = true
            // Wakes the thread that reads.
            shutdown(connection, SHUT_RDWR)
        }
    }
}
