import Course
import Sockets

final class BufferedSocket: BufferedStream {
    private var inbox: Inbox
    private var outbox: Outbox

    init(socket: Int32, capacity: Int) {
        inbox = Inbox(socket: socket, capacity: capacity)
        outbox = Outbox(socket: socket, capacity: capacity)
    }

    func readLine() throws -> [UInt8]? { try inbox.line() }
    func readExactly(_ count: Int) throws -> [UInt8] { try inbox.exactly(count) }
    func write(_ bytes: [UInt8]) throws { try outbox.put(bytes) }
    func flush() throws { try outbox.empty() }
}

private struct Inbox {
    let socket: Int32
    let capacity: Int
    private var scratch: [UInt8]
    private var held: ArraySlice<UInt8> = []

    init(socket: Int32, capacity: Int) {
        (self.socket, self.capacity) = (socket, capacity)
        scratch = [UInt8](repeating: 0, count: capacity)
    }

    mutating func line() throws -> [UInt8]? {
        var ended = false
        while true {
            // One byte more than a line may have is enough to know.
            let window = held.prefix(capacity + 1)
            if let newline = window.firstIndex(of: 0x0a) {
                defer { held = held[(newline + 1)...] }
                return Array(held[..<newline])
            }
            guard window.count <= capacity else { throw FramingError.tooLong(limit: capacity) }
            if ended {
                defer { held = [] }
                return held.isEmpty ? nil : Array(held)
            }
            ended = try !more()
        }
    }

    mutating func exactly(_ count: Int) throws -> [UInt8] {
        while held.count < count {
            guard try more() else { throw StreamError.ended(received: held.count) }
        }
        defer { held = held.dropFirst(count) }
        return Array(held.prefix(count))
    }

    private mutating func more() throws -> Bool {
        var count: Int
        repeat { count = recv(socket, &scratch, capacity, 0) } while count == -1 && errno == EINTR
        try check("recv", count)
        held = (Array(held) + scratch[..<count])[...]
        return count > 0
    }
}

private struct Outbox {
    let socket: Int32
    let capacity: Int
    private var pieces: [[UInt8]] = []
    private var size = 0
    private var goneOfFirst = 0

    init(socket: Int32, capacity: Int) { (self.socket, self.capacity) = (socket, capacity) }

    mutating func put(_ bytes: [UInt8]) throws {
        if bytes.isEmpty { return }
        // Small ones are put together, a large one is kept as it is.
        if let last = pieces.indices.last, pieces[last].count + bytes.count < 16_384 {
            pieces[last] += bytes
        } else {
            pieces.append(bytes)
        }
        size += bytes.count
        if size >= capacity { try empty() }
    }

    mutating func empty() throws {
        while size > 0 {
            let count = withVectors(of: pieces.prefix(64)) { vectors -> Int in
                vectors[0].iov_base += goneOfFirst
                vectors[0].iov_len -= goneOfFirst
                return gather(socket, vectors[...], MSG_NOSIGNAL)
            }
            if count < 0 && errno == EINTR { continue }
            try check("sendmsg", count)
            size -= count
            goneOfFirst += count
            while let first = pieces.first, goneOfFirst >= first.count {
                goneOfFirst -= first.count
                pieces.removeFirst()
            }
        }
    }
}

func gather(_ socket: Int32, _ vectors: ArraySlice<iovec>, _ flags: Int32) -> Int {
    vectors.withUnsafeBufferPointer {
        var message = msghdr()
        message.msg_iov = UnsafeMutablePointer(mutating: $0.baseAddress)
        message.msg_iovlen = $0.count
        return sendmsg(socket, &message, flags)
    }
}
