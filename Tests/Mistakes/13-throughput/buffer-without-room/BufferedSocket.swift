import Course
import Sockets

/// Memory for a line and its newline, made once. `begin..<end` is what recv gave and nobody has taken yet.
private final class Window {
    let memory: UnsafeMutablePointer<UInt8>
    let size: Int
    var begin = 0
    var end = 0

    init(size: Int) {
        self.size = size
        memory = .allocate(capacity: size)
    }

    deinit { memory.deallocate() }

    var count: Int { end - begin }

    func moveToFront() {
        if begin > 0 {
            memmove(memory, memory + begin, count)
            end -= begin
            begin = 0
        }
    }

    func newline() -> Int? {
        guard count > 0, let found = memchr(memory + begin, 0x0A, count) else { return nil }
        return found.assumingMemoryBound(to: UInt8.self) - (memory + begin)
    }

    func pull(_ length: Int) -> [UInt8] {
        defer { begin += length }
        return Array(UnsafeBufferPointer(start: memory + begin, count: length))
    }
}

final class BufferedSocket: BufferedStream {
    private let socket: Int32
    private let capacity: Int
    private let window: Window
    private var outgoing: [UInt8] = []

    init(socket: Int32, capacity: Int) {
        self.socket = socket
        self.capacity = capacity
        window = Window(size: capacity + 1)
        outgoing.reserveCapacity(capacity)
    }

    func readLine() throws -> [UInt8]? {
        while true {
            if let length = window.newline() {
                let line = window.pull(length)
                window.begin += 1
                return line
            }
            if window.count > capacity { throw FramingError.tooLong(limit: capacity) }
            if try refill() == 0 { return window.count == 0 ? nil : window.pull(window.count) }
        }
    }

    func readExactly(_ count: Int) throws -> [UInt8] {
        while window.count < count {
            if try refill() == 0 { throw StreamError.ended(received: window.count) }
        }
        return window.pull(count)
    }

    private func refill() throws -> Int {
        window.moveToFront()
        while true {
            let count = recv(socket, window.memory + window.end, window.size - window.end, 0)
            if count < 0 {
                if errno == EINTR { continue }
                throw SocketError("recv", errno)
            }
            window.end += count
            return count
        }
    }

    func write(_ bytes: [UInt8]) throws {
        outgoing.append(contentsOf: bytes)
        if outgoing.count >= capacity { try flush() }
    }

    func flush() throws {
        var gone = 0
        defer { outgoing.removeSubrange(0..<gone) }
        try outgoing.withUnsafeBytes { all in
            while gone < all.count {
                let count = send(socket, all.baseAddress! + gone, all.count - gone, MSG_NOSIGNAL)
                if count >= 0 {
                    gone += count
                } else if errno != EINTR {
                    throw SocketError("send", errno)
                }
            }
        }
    }
}
