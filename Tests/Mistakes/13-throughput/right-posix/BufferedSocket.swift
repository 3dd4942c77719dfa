import Course
import Sockets

final class BufferedSocket: BufferedStream {
    private let socket: Int32
    private let capacity: Int
    // Received and not asked for: storage[head..<tail].
    private var storage: [UInt8]
    private var head = 0
    private var tail = 0
    private var out: [UInt8] = []

    init(socket: Int32, capacity: Int) {
        self.socket = socket
        self.capacity = capacity
        storage = [UInt8](repeating: 0, count: 2 * capacity)
    }

    func readLine() throws -> [UInt8]? {
        var looked = 0
        while true {
            let length = storage.withUnsafeBytes { bytes -> Int? in
                guard tail > head + looked else { return nil }
                let begin = bytes.baseAddress! + head
                guard let found = memchr(begin + looked, 10, tail - head - looked) else { return nil }
                return UnsafeRawPointer(found) - begin
            }
            if (length ?? tail - head) > capacity { throw FramingError.tooLong(limit: capacity) }
            if let length {
                defer { head += 1 }
                return take(length)
            }
            looked = tail - head
            if try !receive() { return looked == 0 ? nil : take(looked) }
        }
    }

    func readExactly(_ count: Int) throws -> [UInt8] {
        while tail - head < count {
            if try !receive() { throw StreamError.ended(received: tail - head) }
        }
        return take(count)
    }

    private func take(_ count: Int) -> [UInt8] {
        head += count
        return Array(storage[head - count..<head])
    }

    private func receive() throws -> Bool {
        if storage.count - tail < capacity {
            storage.removeFirst(head)
            (head, tail) = (0, tail - head)
            storage += [UInt8](repeating: 0, count: tail + capacity)
        }
        while true {
            let count = storage.withUnsafeMutableBytes { read(socket, $0.baseAddress! + tail, capacity) }
            if count < 0 && errno == EINTR { continue }
            tail += try check("read", count)
            return count != 0
        }
    }

    func write(_ bytes: [UInt8]) throws {
        out.append(contentsOf: bytes)
        guard out.count >= capacity else { return }
        try flush()
    }

    func flush() throws {
        var gone = 0
        defer { out.removeSubrange(..<gone) }
        while gone < out.count {
            let count = out.withUnsafeMutableBytes { bytes -> Int in
                var vector = iovec(iov_base: bytes.baseAddress! + gone, iov_len: bytes.count - gone)
                return withUnsafeMutablePointer(to: &vector) {
                    var message = msghdr()
                    message.msg_iov = $0
                    message.msg_iovlen = 1
                    return sendmsg(socket, &message, MSG_NOSIGNAL)
                }
            }
            if count >= 0 { gone += count } else if errno != EINTR { throw SocketError("sendmsg", errno) }
        }
    }
}
