import Course
import Sockets

/// A stream as a list of binaries, newest last; what is taken is cut out of them.
private struct Binaries {
    private var list: [ArraySlice<UInt8>] = []
    private var taken = 0
    private(set) var count = 0

    var pieces: ArraySlice<ArraySlice<UInt8>> { list[taken...] }

    mutating func append(_ bytes: ArraySlice<UInt8>) {
        guard !bytes.isEmpty else { return }
        // Small ones are put together, so that a thousand small writes do not make a thousand vectors.
        if list.count > taken, list[list.count - 1].count + bytes.count <= 4096 {
            list[list.count - 1] += bytes
        } else {
            list.append(bytes)
        }
        count += bytes.count
    }

    mutating func drop(_ number: Int) {
        var left = number
        while left > 0 {
            let step = min(left, list[taken].count)
            list[taken] = list[taken].dropFirst(step)
            left -= step
            if list[taken].isEmpty {
                list[taken] = []
                taken += 1
            }
        }
        count -= number
        if taken > 64 || taken == list.count {
            list.removeFirst(taken)
            taken = 0
        }
    }

    func first(_ number: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(number)
        for piece in pieces {
            if bytes.count == number { break }
            bytes += piece.prefix(number - bytes.count)
        }
        return bytes
    }

    func distance(to byte: UInt8) -> Int? {
        var before = 0
        for piece in pieces {
            if let place = piece.firstIndex(of: byte) { return before + place - piece.startIndex }
            before += piece.count
        }
        return nil
    }
}

final class BufferedSocket: BufferedStream {
    private let socket: Int32
    private let capacity: Int
    private var arrived = Binaries()
    private var leaving = Binaries()

    init(socket: Int32, capacity: Int) {
        self.socket = socket
        self.capacity = capacity
    }

    func readLine() throws -> [UInt8]? {
        if let length = arrived.distance(to: UInt8(ascii: "\n")) {
            guard length <= capacity else { throw FramingError.tooLong(limit: capacity) }
            let line = arrived.first(length)
            arrived.drop(length + 1)
            return line
        }
        guard arrived.count <= capacity else { throw FramingError.tooLong(limit: capacity) }
        if try receive() { return try readLine() }
        guard arrived.count > 0 else { return nil }
        return take(arrived.count)
    }

    func readExactly(_ count: Int) throws -> [UInt8] {
        while arrived.count < count {
            guard try receive() else { throw StreamError.ended(received: arrived.count) }
        }
        return take(count)
    }

    private func take(_ count: Int) -> [UInt8] {
        let bytes = arrived.first(count)
        arrived.drop(count)
        return bytes
    }

    /// - Returns: false at the end.
    private func receive() throws -> Bool {
        var result = 0
        var code: Int32 = 0
        let chunk = [UInt8](unsafeUninitializedCapacity: capacity) { room, filled in
            var vector = iovec(iov_base: room.baseAddress, iov_len: capacity)
            repeat {
                result = withUnsafeMutablePointer(to: &vector) {
                    var message = msghdr()
                    message.msg_iov = $0
                    message.msg_iovlen = 1
                    return recvmsg(socket, &message, 0)
                }
                code = errno
            } while result < 0 && code == EINTR
            filled = max(0, result)
        }
        guard result >= 0 else { throw SocketError("recvmsg", code) }
        arrived.append(chunk[...])
        return result > 0
    }

    func write(_ bytes: [UInt8]) throws {
        leaving.append(bytes[...])
        if leaving.count >= capacity { try flush() }
    }

    func flush() throws {
        while leaving.count > 0 {
            let batch = leaving.pieces.prefix(1024).map { Array($0) }
            let count = withVectors(of: batch[...]) { vectors in
                vectors.withUnsafeMutableBufferPointer {
                    var message = msghdr()
                    message.msg_iov = $0.baseAddress
                    message.msg_iovlen = .init($0.count)
                    return sendmsg(socket, &message, MSG_NOSIGNAL)
                }
            }
            if count >= 0 {
                leaving.drop(count)
            } else if errno != EINTR {
                throw SocketError("sendmsg", errno)
            }
        }
    }
}
