import Course
import Sockets

func request(
    message: [UInt8], host: String, port: UInt16, timeout: Milliseconds, attempts: Int
) throws -> Answer {
    let call = try Call(host: host, port: port, message: message)
    defer { call.end() }
    for _ in 0..<max(0, attempts) {
        try call.sendNextAttempt()
        if let answer = try call.wait(timeout) { return answer }
    }
    throw RequestError.noAnswer
}

/// One question with all of its attempts, over one connected socket: the kernel keeps strangers away.
private final class Call {
    private let socketFD: Int32
    private let number = UInt32.random(in: 0 ... .max)
    private let message: [UInt8]
    private var made: UInt32 = 0

    init(host: String, port: UInt16, message: [UInt8]) throws {
        self.message = message
        let server = try SocketAddress(host: host, port: port)
        socketFD = try check("socket", socket(server.family, SOCK_DGRAM, 0))
        if server.withSockaddr({ connect(socketFD, $0, $1) }) != 0 {
            let code = errno
            close(socketFD)
            throw SocketError("connect", code)
        }
    }

    func end() { close(socketFD) }

    func sendNextAttempt() throws {
        made += 1
        var datagram = [UInt8]()
        for word in [number, made] {
            for shift in [24, 16, 8, 0] as [UInt32] { datagram.append(UInt8(truncatingIfNeeded: word >> shift)) }
        }
        datagram += message
        while send(socketFD, datagram, datagram.count, 0) < 0 {
            switch errno {
            case EINTR: continue
            // Nobody has the port just now. As good as lost: the next attempt may find somebody.
            case ECONNREFUSED: return
            default: throw SocketError("send", errno)
            }
        }
    }

    /// - Returns: nil when the time of this attempt is over.
    func wait(_ timeout: Milliseconds) throws -> Answer? {
        let deadline = monotonicNanoseconds() + timeout * 1_000_000
        var buffer = [UInt8](repeating: 0, count: 65_535)
        while true {
            let left = deadline - monotonicNanoseconds()
            guard left > 0 else { return nil }
            var interest = pollfd(fd: socketFD, events: Int16(POLLIN), revents: 0)
            let ready = poll(&interest, 1, Int32(clamping: (left + 999_999) / 1_000_000))
            if ready < 0 && errno != EINTR { throw SocketError("poll", errno) }
            guard ready > 0 else { continue }
            let n = recv(socketFD, &buffer, buffer.count, MSG_DONTWAIT)
            if n < 0 {
                if errno == EINTR || errno == EAGAIN || errno == ECONNREFUSED { continue }
                throw SocketError("recv", errno)
            }
            if let answer = understand(buffer[..<n]) { return answer }
        }
    }

    private func understand(_ bytes: ArraySlice<UInt8>) -> Answer? {
        guard bytes.count >= 8 else { return nil }
        var words: [UInt32] = [0, 0]
        for i in 0..<8 { words[i / 4] = words[i / 4] << 8 | UInt32(bytes[i]) }
        guard words[0] == number, words[1] >= 1, words[1] <= made else { return nil }
        return Answer(payload: Array(bytes.dropFirst(8)), attempt: Int(words[1]))
    }
}
