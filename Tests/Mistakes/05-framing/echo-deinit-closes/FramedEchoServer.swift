import Course
import Foundation
import Sockets

/// The longest message that the server takes: 1 MiB.
let largestMessage = 1 << 20

func framedEchoServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    while true {
        let descriptor = try acceptClient(listener)
        Thread.detachNewThread {
            let session = Session(descriptor)
            session.run()
            // Nobody has the session any more: its deinit closes the socket, whatever happened.
        }
    }
}

/// One client. It owns the socket.
private final class Session {
    private let descriptor: Int32
    private var decoder = FrameDecoder(limit: largestMessage)
    private var chunk = [UInt8](repeating: 0, count: 16_384)
    /// What is done with each message.
    private var answer: ([UInt8]) throws -> Void = { _ in }

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        answer = { message in
            try sendAll(self.descriptor, encodeFrame(message: message))
        }
    }

    deinit {
        close(descriptor)
    }

    func run() {
        do {
            while let bytes = try receive() {
                decoder.feed(bytes)
                while let message = try decoder.next() { try answer(message) }
            }
        } catch {
            // It left, or its frame was too long. That is the end of this client only.
        }
    }

    /// nil: the stream has ended.
    private func receive() throws -> [UInt8]? {
        var count: Int
        repeat { count = recv(descriptor, &chunk, chunk.count, 0) } while count == -1 && errno == EINTR
        try check("recv", count)
        return count == 0 ? nil : Array(chunk[..<count])
    }
}
