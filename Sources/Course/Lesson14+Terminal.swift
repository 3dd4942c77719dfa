// Lesson 14: the client at work between a keyboard and a screen, which are pipes: what `lab run chat-room` shows.
import Foundation
import Sockets

extension Lesson14 {
    /// Logs in, says each line of the keyboard, and writes each message to the screen: a `Value` as JSON on a line of its
    /// own. The first is `["name", …]`: the name under which it is in the room. Returns when the server has ended.
    ///
    /// - Parameter names: which are tried, one after another.
    /// - Parameter keyboard: is closed at its end.
    /// - Parameter screen: is closed.
    func talk(_ host: String, _ port: UInt16, as names: [String], keyboard: Int32, screen: Int32) throws {
        defer { close(screen) }
        let client = try openClient(host, port)
        defer { client.close() }
        let name = try logIn(client, as: names)
        try show(.list([.string("name"), .string(name)]), on: screen)
        // The client sends in one thread, and receives in the other.
        nonisolated(unsafe) let talking = client
        Thread.detachNewThread {
            defer { close(keyboard) }
            var lines = LineReader(descriptor: keyboard)
            while let line = lines.next() {
                // A connection that is broken ends the other thread, which says so.
                do { try talking.chat(line) } catch { return }
            }
        }
        while let message = try client.receive() { try show(message.value, on: screen) }
    }

    private func logIn(_ client: any ChatClient, as names: [String]) throws -> String {
        for name in names {
            do {
                try client.login(name)
                return name
            } catch ChatProblem.nameTaken { continue }
        }
        throw ChatProblem.nameTaken
    }

    private func show(_ value: Value, on screen: Int32) throws {
        var bytes = Array(try JSONEncoder().encode(value)) + [UInt8(ascii: "\n")]
        while !bytes.isEmpty {
            let count = write(screen, bytes, bytes.count)
            if count < 0 && errno == EINTR { continue }
            bytes.removeFirst(try check("write", count))
        }
    }
}

/// Lines of a pipe.
private struct LineReader {
    let descriptor: Int32
    private var rest: [UInt8] = []

    init(descriptor: Int32) { self.descriptor = descriptor }

    /// - Returns: nil at the end.
    mutating func next() -> String? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            if let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                defer { rest.removeFirst(end + 1) }
                return String(decoding: rest[..<end], as: UTF8.self)
            }
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return nil }
            rest += buffer[..<count]
        }
    }
}
