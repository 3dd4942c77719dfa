import Course
import Sockets

func connectedClient(message: [UInt8], host: String, port: UInt16, timeout: Milliseconds) throws -> [UInt8] {
    let exchange = try Exchange(with: SocketAddress(host: host, port: port), within: timeout)
    defer { exchange.end() }
    return try exchange.ask(message)
}

private final class Exchange {
    private let socket: Int32
    private let timeout: Int
    private var deadline: Int?

    init(with peer: SocketAddress, within timeout: Milliseconds) throws {
        let descriptor = try check("socket", Sockets.socket(peer.family, SOCK_DGRAM, 0))
        guard peer.withSockaddr({ connect(descriptor, $0, $1) }) == 0 else {
            let problem = SocketError("connect", errno)
            close(descriptor)
            throw problem
        }
        socket = descriptor
        self.timeout = timeout * nanosecondsPerMillisecond
    }

    func end() { close(socket) }

    /// An interrupted call has done nothing: so the step is done again.
    func ask(_ message: [UInt8]) throws -> [UInt8] {
        while true {
            do {
                try check("send", send(socket, message, message.count, 0))
                return try answer()
            } catch let problem as SocketError where problem.code == EINTR {
                continue
            }
        }
    }

    private func answer() throws -> [UInt8] {
        let end = deadline ?? monotonicNanoseconds() + timeout
        deadline = end
        var buffer = [UInt8](repeating: 0, count: roomForDatagram)
        while true {
            let left = end - monotonicNanoseconds()
            guard left > 0 else { throw RequestError.noAnswer }
            var interest = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            let wait = (left + nanosecondsPerMillisecond - 1) / nanosecondsPerMillisecond
            guard try check("poll", poll(&interest, 1, Int32(clamping: wait))) > 0 else { continue }
            let count = recv(socket, &buffer, buffer.count, MSG_DONTWAIT)
            if count < 0 && errno == EAGAIN { continue }
            return Array(buffer[..<(try check("recv", count))])
        }
    }
}

/// For the exercises without a connection.
func receiveDatagram(
    on socket: Int32, until deadline: Int
) throws -> (bytes: [UInt8], sender: SocketAddress?)? {
    var buffer = [UInt8](repeating: 0, count: roomForDatagram)
    while case let left = deadline - monotonicNanoseconds(), left > 0 {
        var interest = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        let wait = (left + nanosecondsPerMillisecond - 1) / nanosecondsPerMillisecond
        let ready = poll(&interest, 1, Int32(clamping: wait))
        if ready < 0 && errno != EINTR { throw SocketError("poll", errno) }
        guard ready > 0 else { continue }
        let (count, sender) = SocketAddress.received {
            recvfrom(socket, &buffer, buffer.count, MSG_DONTWAIT, $0, $1)
        }
        if count >= 0 { return (Array(buffer[..<count]), sender) }
        if errno != EINTR && errno != EAGAIN { throw SocketError("recvfrom", errno) }
    }
    return nil
}

let nanosecondsPerMillisecond = 1_000_000

func monotonicNanoseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec)
}
