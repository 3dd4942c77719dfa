import Course
import Sockets

final class BufferedSocket: BufferedStream {
    private let socket: Int32
    private let capacity: Int
    private var received: [UInt8] = []
    private var start = 0
    private var gathered: [UInt8] = []

    init(socket: Int32, capacity: Int) {
        self.socket = socket
        self.capacity = capacity
    }

    func readLine() throws -> [UInt8]? {
        var searched = 0
        while true {
            if let newline = received[(start + searched)...].firstIndex(of: UInt8(ascii: "\n")) {
                guard newline - start <= capacity else { throw FramingError.tooLong(limit: capacity) }
                let line = take(newline - start)
                start += 1
                return line
            }
            searched = received.count - start
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

    private func fill() throws -> Bool {
        received.removeFirst(start)
        start = 0
        let held = received.count
        received += [UInt8](repeating: 0, count: capacity)
        var count = -1
        defer { received.removeLast(capacity - max(count, 0)) }
        repeat {
            count = received[held...].withUnsafeMutableBytes { recv(socket, $0.baseAddress, $0.count, 0) }
        } while count <= 0 && errno == EINTR
        return try check("recv", count) > 0
    }

    func write(_ bytes: [UInt8]) throws {
        gathered += bytes
        if gathered.count >= capacity { try flush() }
    }

    func flush() throws {
        var sent = 0
        defer { gathered.removeFirst(sent) }
        while sent < gathered.count {
            let count = gathered[sent...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if count < 0 && errno == EINTR { continue }
            sent += try check("send", count)
        }
    }
}
