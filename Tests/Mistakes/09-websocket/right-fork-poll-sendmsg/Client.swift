// sendmsg(2) with head and payload as two pieces; recvmsg(2); the kernel's own timeout for close.
import Course
import Sockets

func openClient(host: String, port: UInt16, request: HandshakeRequest) throws -> any WebSocketClient {
    let address = try SocketAddress(host: host, port: port)
    let client = Client(try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0)))
    do {
        while address.withSockaddr({ connect(client.fd, $0, $1) }) != 0 {
            if errno == EISCONN { break }
            if errno != EINTR && errno != EALREADY { throw SocketError("connect", errno) }
        }
        try client.push([clientRequest(request)])
        var received: [UInt8] = []
        while true {
            let bytes = try client.pull()
            if bytes.isEmpty { throw SocketError("recv", ECONNRESET) }
            received += bytes
            if let length = try checkAnswer(received, key: request.key) {
                client.decoder.feed(Array(received[length...]))
                return client
            }
        }
    } catch {
        client.hangUp()
        throw error
    }
}

final class Client: WebSocketClient {
    private(set) var fd: Int32
    var decoder = FrameDecoder(role: .client, limit: Lesson09.messageLimit)

    init(_ fd: Int32) { self.fd = fd }
    deinit { hangUp() }

    func hangUp() {
        if fd >= 0 { Glibc.close(fd) }
        fd = -1
    }

    func push(_ pieces: [[UInt8]]) throws {
        var skip = 0
        let total = pieces.reduce(0) { $0 + $1.count }
        while skip < total {
            var parts: [iovec] = []
            var before = 0
            for piece in pieces {
                let from = min(piece.count, max(0, skip - before))
                before += piece.count
                if from == piece.count { continue }
                piece.withUnsafeBytes { bytes in
                    // The arrays live to the end of this function.
                    parts.append(
                        iovec(iov_base: .init(mutating: bytes.baseAddress! + from), iov_len: bytes.count - from))
                }
            }
            var message = msghdr()
            let count = parts.withUnsafeMutableBufferPointer { list in
                message.msg_iov = list.baseAddress
                message.msg_iovlen = list.count
                return withExtendedLifetime(pieces) { sendmsg(fd, &message, MSG_NOSIGNAL) }
            }
            if count < 0 && errno == EINTR { continue }
            skip += try check("sendmsg", count)
        }
    }

    func pull(until deadline: Int? = nil) throws -> [UInt8] {
        while true {
            if let deadline {
                let left = deadline - clockMS()
                if left <= 0 { throw SocketError("recv", ETIMEDOUT) }
                var wait = timeval(tv_sec: left / 1000, tv_usec: left % 1000 * 1000)
                try check(
                    "setsockopt", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size)))
            }
            var failed: Int32 = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: 32_768) { buffer, size in
                var part = iovec(iov_base: buffer.baseAddress, iov_len: 32_768)
                var message = msghdr()
                let count = withUnsafeMutablePointer(to: &part) { part in
                    message.msg_iov = part
                    message.msg_iovlen = 1
                    return recvmsg(fd, &message, 0)
                }
                if count < 0 { failed = errno }
                size = max(0, count)
            }
            if failed == 0 { return bytes }
            if failed == EINTR || (failed == EAGAIN && deadline != nil) { continue }
            throw SocketError("recv", failed)
        }
    }

    func frame(_ opcode: Opcode, _ payload: [UInt8]) throws {
        guard fd >= 0 else { throw SocketError("send", EBADF) }
        let mask = withUnsafeBytes(of: UInt32.random(in: 1 ... .max)) { Array($0) }
        var masked = payload
        masked.withUnsafeMutableBufferPointer { bytes in
            var i = 0
            while i < bytes.count {
                bytes[i] ^= mask[i & 3]
                i += 1
            }
        }
        try push([frameHead(opcode, payload.count, isFinal: true, mask: mask), masked])
    }

    func code(_ code: UInt16?) -> [UInt8] { code.map { [UInt8($0 >> 8), UInt8($0 & 255)] } ?? [] }

    func send(_ opcode: Opcode, _ payload: [UInt8]) throws {
        do { try frame(opcode, payload) } catch {
            hangUp()
            throw error
        }
    }

    func event(until deadline: Int? = nil) throws -> WebSocketEvent {
        while true {
            if let event = try decoder.next() { return event }
            guard fd >= 0 else { throw SocketError("recv", EBADF) }
            let bytes = try pull(until: deadline)
            if bytes.isEmpty { throw SocketError("recv", ECONNRESET) }
            decoder.feed(bytes)
        }
    }

    func receive() throws -> WebSocketEvent {
        do {
            while true {
                let event = try event()
                switch event {
                case .ping(let payload): try frame(.pong, payload)
                case .close(let number, _):
                    try frame(.close, code(number))
                    leave()
                    return event
                default: return event
                }
            }
        } catch {
            if let broken = error as? WebSocketError {
                try? frame(.close, code(broken.closeCode))
                leave()
            }
            hangUp()
            throw error
        }
    }

    func close(code number: UInt16, reason: String) throws -> WebSocketEvent {
        defer { hangUp() }
        let deadline = clockMS() + Int(Lesson09.closePatience)
        try frame(.close, code(number) + Array(reason.utf8))
        while true {
            let event = try event(until: deadline)
            if case .close = event {
                leave()
                return event
            }
        }
    }

    /// What is unread would turn close(2) into a reset.
    func leave() {
        shutdown(fd, SHUT_WR)
        let deadline = clockMS() + 500
        while let bytes = try? pull(until: deadline), !bytes.isEmpty {}
        hangUp()
    }
}
