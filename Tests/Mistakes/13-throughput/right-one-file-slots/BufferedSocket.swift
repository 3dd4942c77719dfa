import Course
import Foundation
import Sockets

private func persevering(_ name: String, _ call: () -> Int) throws -> Int {
    while true {
        let result = call()
        if result >= 0 { return result }
        if errno != EINTR { throw SocketError(name, errno) }
    }
}

// MARK: buffered-socket

final class BufferedSocket: BufferedStream {
    private let socket: Int32
    private let capacity: Int
    private var coming = Data()
    private var going = Data()

    init(socket: Int32, capacity: Int) {
        self.socket = socket
        self.capacity = capacity
    }

    func readLine() throws -> [UInt8]? {
        repeat {
            if let newline = coming.firstIndex(of: 10) {
                let length = newline - coming.startIndex
                if length > capacity { throw FramingError.tooLong(limit: capacity) }
                return Array(cut(length + 1).dropLast())
            }
            if coming.count > capacity { throw FramingError.tooLong(limit: capacity) }
        } while try load()
        return coming.isEmpty ? nil : Array(cut(coming.count))
    }

    func readExactly(_ count: Int) throws -> [UInt8] {
        while coming.count < count {
            guard try load() else { throw StreamError.ended(received: coming.count) }
        }
        return Array(cut(count))
    }

    private func cut(_ count: Int) -> Data {
        let head = Data(coming.prefix(count))
        coming.removeFirst(count)
        return head
    }

    private func load() throws -> Bool {
        var chunk = Data(count: capacity)
        let count = try chunk.withUnsafeMutableBytes { room in
            try persevering("recv") { recv(socket, room.baseAddress, room.count, 0) }
        }
        coming = Data(coming) + chunk.prefix(count)
        return count > 0
    }

    func write(_ bytes: [UInt8]) throws {
        going.append(contentsOf: bytes)
        if going.count >= capacity { try flush() }
    }

    func flush() throws {
        var gone = 0
        defer { going = Data(going.dropFirst(gone)) }
        while gone < going.count {
            gone += try going.withUnsafeBytes { bytes in
                try persevering("send") {
                    send(socket, bytes.baseAddress! + gone, bytes.count - gone, MSG_NOSIGNAL)
                }
            }
        }
    }
}

// MARK: connection-pool

final class ConnectionPool: ConnectionLender {
    private enum Slot {
        case empty
        case taken
        case resting(Int32, since: UInt64)
    }

    private let server: SocketAddress
    private let idleLimit: UInt64  // ns
    private let room = NSCondition()
    private var slots: [Slot]
    private var isOpen = true

    init(host: String, port: UInt16, limit: Int, idleLimit: Milliseconds) throws {
        server = try SocketAddress(host: host, port: port)
        self.idleLimit = UInt64(idleLimit) * 1_000_000
        slots = Array(repeating: .empty, count: limit)
    }

    func withConnection<Result>(timeout: Milliseconds, _ body: (Int32) throws -> Result) throws -> Result {
        let (slot, old) = try take(before: clock() + UInt64(max(timeout, 0)) * 1_000_000)
        var connection = old
        do {
            if connection == nil { connection = try connectToServer() }
            let result = try body(connection!)
            put(connection!, back: slot)
            return result
        } catch {
            if let connection { close(connection) }
            free(slot)
            throw error
        }
    }

    func closeAll() {
        room.lock()
        isOpen = false
        for index in slots.indices {
            if case .resting(let connection, _) = slots[index] {
                close(connection)
                slots[index] = .empty
            }
        }
        room.broadcast()
        room.unlock()
    }

    private func take(before deadline: UInt64) throws -> (Int, Int32?) {
        room.lock()
        defer { room.unlock() }
        while isOpen {
            var empty: Int?
            for index in slots.indices {
                switch slots[index] {
                case .taken: continue
                case .empty: empty = empty ?? index
                case .resting(let connection, let since):
                    if clock() - since <= idleLimit && isSilent(connection) {
                        slots[index] = .taken
                        return (index, connection)
                    }
                    close(connection)
                    slots[index] = .empty
                    empty = empty ?? index
                }
            }
            if let empty {
                slots[empty] = .taken
                return (empty, nil)
            }
            let now = clock()
            if now >= deadline { throw PoolError.timedOut }
            _ = room.wait(until: Date() + Double(deadline - now) / 1e9)
        }
        throw PoolError.closed
    }

    private func put(_ connection: Int32, back slot: Int) {
        room.lock()
        if isOpen {
            slots[slot] = .resting(connection, since: clock())
        } else {
            close(connection)
            slots[slot] = .empty
        }
        room.signal()
        room.unlock()
    }

    private func free(_ slot: Int) {
        room.lock()
        slots[slot] = .empty
        room.signal()
        room.unlock()
    }

    private func isSilent(_ connection: Int32) -> Bool {
        var byte: UInt8 = 0
        let count = recv(connection, &byte, 1, MSG_PEEK | MSG_DONTWAIT)
        return count < 0 && errno == EAGAIN
    }

    private func connectToServer() throws -> Int32 {
        let connection = try check("socket", socket(server.family, SOCK_STREAM, 0))
        do {
            _ = try persevering("connect") {
                let result = server.withSockaddr { connect(connection, $0, $1) }
                return result < 0 && errno == EISCONN ? 0 : Int(result)
            }
            return connection
        } catch {
            close(connection)
            throw error
        }
    }

    private func clock() -> UInt64 { DispatchTime.now().uptimeNanoseconds }
}

// MARK: write-vectors

private func give(_ socket: Int32, _ vectors: inout [iovec], _ flags: Int32) throws -> Int {
    try vectors.withUnsafeMutableBufferPointer { vectors in
        try persevering("sendmsg") {
            var message = msghdr()
            message.msg_iov = vectors.baseAddress
            message.msg_iovlen = vectors.count
            return sendmsg(socket, &message, flags | MSG_NOSIGNAL)
        }
    }
}

private func giveAll(_ socket: Int32, _ pieces: [[UInt8]], _ flags: Int32) throws {
    let ends = pieces.reduce(into: [0]) { $0.append($0.last! + $1.count) }
    var gone = 0
    var piece = 0
    while gone < ends.last! {
        while ends[piece + 1] <= gone { piece += 1 }
        gone += try withVectors(of: pieces[piece..<min(piece + 1000, pieces.count)]) { vectors in
            let begun = gone - ends[piece]
            vectors[0].iov_base += begun
            vectors[0].iov_len -= begun
            return try give(socket, &vectors, flags)
        }
    }
}

func writeVectors(socket: Int32, pieces: [[UInt8]]) throws { try giveAll(socket, pieces, 0) }

// MARK: send-file

func sendFile(socket: Int32, header: [UInt8], path: String, offset: Int, count: Int) throws {
    let file = try check("open", open(path, O_RDONLY | O_CLOEXEC))
    defer { close(file) }
    var status = stat()
    try check("fstat", fstat(file, &status))
    let (end, overflow) = offset.addingReportingOverflow(count)
    guard status.st_mode & S_IFMT == S_IFREG, offset >= 0, count >= 0, !overflow, end <= Int(status.st_size) else {
        throw SocketError("sendFile", EINVAL)
    }
    signal(SIGPIPE, SIG_IGN)
    try giveAll(socket, [header], count == 0 ? 0 : MSG_MORE)
    var position = offset
    while position < end {
        let count = try persevering("sendfile") {
            var from = off_t(position)
            return sendfile(socket, file, &from, end - position)
        }
        if count == 0 { throw TransferError.cutShort(after: position - offset) }
        position += count
    }
}
