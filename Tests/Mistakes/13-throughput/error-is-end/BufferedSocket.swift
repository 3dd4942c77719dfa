import Course
import Foundation
import Sockets

final class BufferedSocket: BufferedStream {
    private let socket: Int32
    private let capacity: Int
    private var input = Data()
    private var scanned = 0
    private var output = Data()
    private var atEnd = false

    init(socket: Int32, capacity: Int) {
        self.socket = socket
        self.capacity = capacity
    }

    /// One read; false at the end.
    private func fill() throws -> Bool {
        if atEnd { return false }
        let room = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 1)
        defer { room.deallocate() }
        while true {
            let got = read(socket, room, capacity)
            if got > 0 {
                input.append(room.assumingMemoryBound(to: UInt8.self), count: got)
                return true
            }
            if got == 0 {
                atEnd = true
                return false
            }
            if errno != EINTR { return false }
        }
    }

    private func take(_ count: Int) -> [UInt8] {
        let head = [UInt8](input.prefix(count))
        input.removeFirst(count)
        scanned = 0
        return head
    }

    func readLine() throws -> [UInt8]? {
        repeat {
            let start = input.startIndex + scanned
            if let newline = input[start...].firstIndex(of: 10) {
                let length = newline - input.startIndex
                if length > capacity { throw FramingError.tooLong(limit: capacity) }
                let line = take(length)
                input.removeFirst()
                return line
            }
            scanned = input.count
            if input.count > capacity { throw FramingError.tooLong(limit: capacity) }
        } while try fill()
        return input.isEmpty ? nil : take(input.count)
    }

    func readExactly(_ count: Int) throws -> [UInt8] {
        while input.count < count {
            guard try fill() else { throw StreamError.ended(received: input.count) }
        }
        return take(count)
    }

    func write(_ bytes: [UInt8]) throws {
        output.append(contentsOf: bytes)
        if output.count >= capacity { try flush() }
    }

    func flush() throws {
        while !output.isEmpty {
            let taken = output.withUnsafeMutableBytes { raw -> Int in
                var vector = iovec(iov_base: raw.baseAddress, iov_len: raw.count)
                return withUnsafeMutablePointer(to: &vector) {
                    var message = msghdr()
                    message.msg_iov = $0
                    message.msg_iovlen = 1
                    return sendmsg(socket, &message, MSG_NOSIGNAL)
                }
            }
            if taken >= 0 {
                output.removeFirst(taken)
            } else if errno != EINTR {
                throw SocketError("sendmsg", errno)
            }
        }
    }
}
