import Course
import Sockets

final class BufferedSocket: BufferedStream {
    let socket: Int32
    let capacity: Int
    var line: [UInt8] = []
    var gathered: [UInt8] = []

    init(socket: Int32, capacity: Int) {
        self.socket = socket
        self.capacity = capacity
    }

    func readByte() throws -> UInt8? {
        var byte: UInt8 = 0
        while true {
            let count = recv(socket, &byte, 1, 0)
            if count < 0 && errno == EINTR { continue }
            return try check("recv", count) == 0 ? nil : byte
        }
    }

    func readLine() throws -> [UInt8]? {
        while let byte = try readByte() {
            if byte == 10 {
                defer { line = [] }
                return line
            }
            line.append(byte)
            if line.count > capacity { throw FramingError.tooLong(limit: capacity) }
        }
        defer { line = [] }
        return line.isEmpty ? nil : line
    }

    func readExactly(_ count: Int) throws -> [UInt8] {
        while line.count < count {
            guard let byte = try readByte() else { throw StreamError.ended(received: line.count) }
            line.append(byte)
        }
        defer { line = [] }
        return line
    }

    func write(_ bytes: [UInt8]) throws {
        gathered += bytes
        if gathered.count >= capacity { try flush() }
    }

    func flush() throws {
        while !gathered.isEmpty {
            let count = send(socket, gathered, gathered.count, MSG_NOSIGNAL)
            if count < 0 && errno == EINTR { continue }
            gathered.removeFirst(try check("send", count))
        }
    }
}
