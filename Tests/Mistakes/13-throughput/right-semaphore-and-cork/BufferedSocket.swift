import Course
import Foundation
import Sockets

/// Polls before it receives, keeps what it has in Data, and sends a full buffer in pieces of its capacity.
final class BufferedSocket: BufferedStream {
    private let socket: Int32
    private let capacity: Int
    private var input = Data()
    private var output = Data()
    private var ended = false

    init(socket: Int32, capacity: Int) {
        self.socket = socket
        self.capacity = capacity
    }

    private func more() throws {
        var interest = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        while poll(&interest, 1, -1) < 0 && errno == EINTR {}
        var room = [UInt8](repeating: 0, count: capacity)
        let got = recv(socket, &room, room.count, 0)
        if got < 0 && errno == EINTR { return }
        if got < 0 { throw SocketError("recv", errno) }
        if got == 0 { ended = true }
        input.append(contentsOf: room[0..<got])
    }

    func readLine() throws -> [UInt8]? {
        while true {
            if let end = input.firstIndex(of: 10) {
                let line = [UInt8](input[input.startIndex..<end])
                if line.count > capacity { throw FramingError.tooLong(limit: capacity) }
                input = Data(input[(end + 1)...])
                return line
            }
            if input.count > capacity { throw FramingError.tooLong(limit: capacity) }
            if ended {
                let rest = [UInt8](input)
                input = Data()
                return rest.isEmpty ? nil : rest
            }
            try more()
        }
    }

    func readExactly(_ count: Int) throws -> [UInt8] {
        while input.count < count {
            if ended { throw StreamError.ended(received: input.count) }
            try more()
        }
        let part = [UInt8](input.prefix(count))
        input = Data(input.dropFirst(count))
        return part
    }

    private func sendOnce(_ most: Int) throws {
        let part = [UInt8](output.prefix(most))
        let count = send(socket, part, part.count, MSG_NOSIGNAL)
        if count < 0 {
            if errno == EINTR { return }
            throw SocketError("send", errno)
        }
        output = Data(output.dropFirst(count))
    }

    func write(_ bytes: [UInt8]) throws {
        output.append(contentsOf: bytes)
        while output.count >= capacity { try sendOnce(max(capacity, output.count)) }
    }

    func flush() throws {
        while !output.isEmpty { try sendOnce(output.count) }
    }
}
