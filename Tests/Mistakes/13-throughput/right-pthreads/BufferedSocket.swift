import Course
import Sockets

/// Raw memory for the input, in which it moves along; what is written goes when the next bytes would not fit in.
final class BufferedSocket: BufferedStream {
    private let socket: Int32
    private let capacity: Int
    private var room: UnsafeMutablePointer<UInt8>
    private var size: Int
    private var from = 0
    private var to = 0
    private var pending: [UInt8] = []

    init(socket: Int32, capacity: Int) {
        self.socket = socket
        self.capacity = capacity
        size = 2 * capacity + 1
        room = .allocate(capacity: size)
    }

    deinit { room.deallocate() }

    private func fetch() throws -> Bool {
        if from > 0 {
            memmove(room, room + from, to - from)
            to -= from
            from = 0
        }
        while true {
            let n = recv(socket, room + to, size - to, 0)
            if n > 0 { to += n }
            if n >= 0 { return n > 0 }
            guard errno == EINTR else { throw SocketError("recv", errno) }
        }
    }

    func readLine() throws -> [UInt8]? {
        repeat {
            if let found = memchr(room + from, 10, to - from) {
                let length = found.assumingMemoryBound(to: UInt8.self) - (room + from)
                guard length <= capacity else { throw FramingError.tooLong(limit: capacity) }
                defer { from += length + 1 }
                return Array(UnsafeBufferPointer(start: room + from, count: length))
            }
            guard to - from <= capacity else { throw FramingError.tooLong(limit: capacity) }
        } while try fetch()
        guard to > from else { return nil }
        defer { from = to }
        return Array(UnsafeBufferPointer(start: room + from, count: to - from))
    }

    func readExactly(_ count: Int) throws -> [UInt8] {
        if count > size {
            let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
            memcpy(larger, room + from, to - from)
            (from, to) = (0, to - from)
            room.deallocate()
            (room, size) = (larger, count)
        }
        while to - from < count {
            guard try fetch() else { throw StreamError.ended(received: to - from) }
        }
        defer { from += count }
        return Array(UnsafeBufferPointer(start: room + from, count: count))
    }

    func write(_ bytes: [UInt8]) throws {
        let fits = pending.count + bytes.count < capacity
        pending.append(contentsOf: bytes)
        if !fits { try flush() }
    }

    func flush() throws {
        while !pending.isEmpty {
            let n = send(socket, pending, pending.count, MSG_NOSIGNAL)
            if n >= 0 {
                pending.removeSubrange(0..<n)
            } else if errno != EINTR {
                throw SocketError("send", errno)
            }
        }
    }
}
