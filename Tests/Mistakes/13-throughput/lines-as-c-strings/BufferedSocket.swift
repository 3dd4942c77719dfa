import Course
import Sockets

final class BufferedSocket: BufferedStream {
    private let socket: Int32
    private let capacity: Int
    /// Grows when it has to; behind the last byte there is always a 0.
    private var text: UnsafeMutablePointer<CChar>
    private var space: Int
    private var length = 0
    private var out: [UInt8] = []

    init(socket: Int32, capacity: Int) {
        self.socket = socket
        self.capacity = capacity
        space = 2 * capacity + 1
        text = .allocate(capacity: space)
        text[0] = 0
    }

    deinit { text.deallocate() }

    func readLine() throws -> [UInt8]? {
        while true {
            if let newline = strchr(text, 0x0A) {
                let size = newline - text
                if size > capacity { throw FramingError.tooLong(limit: capacity) }
                let line = copyOfFirst(size)
                drop(size + 1)
                return line
            }
            if length > capacity { throw FramingError.tooLong(limit: capacity) }
            if try more() { continue }
            if length == 0 { return nil }
            let rest = copyOfFirst(length)
            drop(length)
            return rest
        }
    }

    func readExactly(_ count: Int) throws -> [UInt8] {
        while length < count {
            if try !more() { throw StreamError.ended(received: length) }
        }
        let bytes = copyOfFirst(count)
        drop(count)
        return bytes
    }

    private func copyOfFirst(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(bitPattern: text[$0]) }
    }

    private func drop(_ count: Int) {
        length -= count
        memmove(text, text + count, length + 1)
    }

    private func more() throws -> Bool {
        if space < length + capacity + 1 {
            let larger = UnsafeMutablePointer<CChar>.allocate(capacity: 2 * (length + capacity) + 1)
            memcpy(larger, text, length + 1)
            text.deallocate()
            text = larger
            space = 2 * (length + capacity) + 1
        }
        var count: Int
        repeat { count = recv(socket, text + length, capacity, 0) } while count == -1 && errno == EINTR
        let reason = errno
        if count > 0 { length += count }
        text[length] = 0
        guard count >= 0 else { throw SocketError("recv", reason) }
        return count > 0
    }

    func write(_ bytes: [UInt8]) throws {
        out += bytes
        if out.count >= capacity { try flush() }
    }

    func flush() throws {
        while !out.isEmpty {
            let count = send(socket, out, out.count, MSG_NOSIGNAL)
            if count > 0 { out.removeFirst(count) }
            if count == -1 && errno != EINTR { throw SocketError("send", errno) }
        }
    }
}
