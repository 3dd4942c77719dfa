import Course
import Sockets

/// The rule for both directions: a byte leaves its buffer when it has been delivered, and not before.
final class BufferedSocket: BufferedStream {
    private let socket: Int32
    private let capacity: Int
    /// What recv gave and nobody has asked for yet begins at `start`.
    private var received: [UInt8] = []
    private var start = 0
    /// What was written and not sent yet.
    private var gathered: [UInt8] = []

    init(socket: Int32, capacity: Int) {
        self.socket = socket
        self.capacity = capacity
    }

    // MARK: Reading

    func readLine() throws -> [UInt8]? {
        // No newline among so many bytes: they are not looked at again when more have come.
        var searched = 0
        while true {
            if let newline = received[(start + searched)...].firstIndex(of: UInt8(ascii: "\n")) {
                let line = take(newline - start)
                start += 1
                return line
            }
            searched = received.count - start
            // Without this, a peer that sends no newline gets all our memory.
            guard searched <= capacity else { throw FramingError.tooLong(limit: capacity) }
            guard try fill() else { return searched == 0 ? nil : take(searched) }
        }
    }

    func readExactly(_ count: Int) throws -> [UInt8] {
        while received.count - start < count {
            guard try fill() else { throw StreamError.ended(received: received.count - start) }
        }
        return take(count)
    }

    private func take(_ count: Int) -> [UInt8] {
        defer { start += count }
        return Array(received[start..<start + count])
    }

    /// One recv, with much room: it gives what is there, and waits only if that is nothing. What the buffer held is still
    /// there if it fails.
    ///
    /// - Returns: false at the end of the stream.
    private func fill() throws -> Bool {
        // What has been taken is dropped here, once for each recv, and not once for each line.
        received.removeFirst(start)
        start = 0
        let held = received.count
        received += [UInt8](repeating: 0, count: capacity)
        var count = -1
        defer { received.removeLast(capacity - max(count, 0)) }
        repeat {
            count = received[held...].withUnsafeMutableBytes { recv(socket, $0.baseAddress, $0.count, 0) }
        } while count < 0 && errno == EINTR
        return try check("recv", count) > 0
    }

    // MARK: Writing

    func write(_ bytes: [UInt8]) throws {
        gathered += bytes
        if gathered.count >= capacity { try flush() }
    }

    func flush() throws {
        var sent = 0
        // Also if send throws: what went is gone, the rest stays for the next flush.
        defer { gathered.removeFirst(sent) }
        while sent < gathered.count {
            let count = gathered[sent...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if count < 0 && errno == EINTR { continue }
            sent += try check("send", count)
        }
    }
}
