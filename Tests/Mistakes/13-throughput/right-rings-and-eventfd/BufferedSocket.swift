import Course
import Sockets

/// A ring of bytes that grows. `head` and `tail` only count upwards; the mask says where they are.
private final class Ring {
    private var memory: UnsafeMutableRawBufferPointer
    private var head = 0
    private var tail = 0

    init(_ size: Int) {
        var power = 16
        while power < size { power *= 2 }
        memory = .allocate(byteCount: power, alignment: 16)
    }

    deinit { memory.deallocate() }

    var count: Int { tail - head }

    subscript(index: Int) -> UInt8 { memory[(head + index) & (memory.count - 1)] }

    /// One or two stretches of memory for `length` bytes from `position` on.
    private func stretches(from position: Int, _ length: Int) -> [iovec] {
        let start = position & (memory.count - 1)
        let first = min(length, memory.count - start)
        let base = memory.baseAddress!
        var result = [iovec(iov_base: base + start, iov_len: first)]
        if first < length { result.append(iovec(iov_base: base, iov_len: length - first)) }
        return result
    }

    func filled() -> [iovec] { stretches(from: head, count) }

    /// Room behind what there is.
    func vacant(_ length: Int) -> [iovec] {
        if memory.count - count < length { grow(to: count + length) }
        return stretches(from: tail, length)
    }

    private func grow(to size: Int) {
        let larger = Ring(size)
        larger.append(bytes(count))
        swap(&memory, &larger.memory)
        (head, tail) = (0, count)
    }

    func produced(_ length: Int) { tail += length }
    func consumed(_ length: Int) { head += length }

    func append(_ bytes: [UInt8]) {
        if bytes.isEmpty { return }
        var done = 0
        for stretch in vacant(bytes.count) {
            UnsafeMutableRawBufferPointer(start: stretch.iov_base, count: stretch.iov_len)
                .copyBytes(from: bytes[done..<done + stretch.iov_len])
            done += stretch.iov_len
        }
        produced(done)
    }

    /// Without taking them.
    func bytes(_ length: Int) -> [UInt8] {
        if length == 0 { return [] }
        return stretches(from: head, length).reduce(into: []) { result, stretch in
            result += UnsafeRawBufferPointer(start: stretch.iov_base, count: stretch.iov_len)
        }
    }

    func take(_ length: Int) -> [UInt8] {
        defer { consumed(length) }
        return bytes(length)
    }
}

/// Runs recvmsg or sendmsg until a signal lets it finish.
private func scattered(_ name: String, _ vectors: [iovec], _ call: (inout msghdr) -> Int) throws -> Int {
    var vectors = vectors
    return try vectors.withUnsafeMutableBufferPointer { list in
        while true {
            var message = msghdr()
            message.msg_iov = list.baseAddress
            message.msg_iovlen = .init(list.count)
            let count = call(&message)
            let code = errno
            if count >= 0 { return count }
            if code != EINTR { throw SocketError(name, code) }
        }
    }
}

final class BufferedSocket: BufferedStream {
    private let socket: Int32
    private let capacity: Int
    private let input: Ring
    private let output: Ring

    init(socket: Int32, capacity: Int) {
        self.socket = socket
        self.capacity = capacity
        input = Ring(2 * capacity)
        output = Ring(capacity)
    }

    func readLine() throws -> [UInt8]? {
        var index = 0
        while true {
            while index < input.count {
                if input[index] == 0x0a {
                    let line = input.take(index)
                    input.consumed(1)
                    return line
                }
                index += 1
                if index > capacity { throw FramingError.tooLong(limit: capacity) }
            }
            if try receive() == 0 { return input.count == 0 ? nil : input.take(input.count) }
        }
    }

    func readExactly(_ count: Int) throws -> [UInt8] {
        while input.count < count {
            if try receive() == 0 { throw StreamError.ended(received: input.count) }
        }
        return input.take(count)
    }

    private func receive() throws -> Int {
        let count = try scattered("recvmsg", input.vacant(capacity)) { recvmsg(socket, &$0, 0) }
        input.produced(count)
        return count
    }

    func write(_ bytes: [UInt8]) throws {
        output.append(bytes)
        if output.count >= capacity { try flush() }
    }

    func flush() throws {
        while output.count > 0 {
            output.consumed(try scattered("sendmsg", output.filled()) { sendmsg(socket, &$0, MSG_NOSIGNAL) })
        }
    }
}
