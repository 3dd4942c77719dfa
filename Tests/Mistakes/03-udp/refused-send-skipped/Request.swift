import Course
import Sockets

func request(
    message: [UInt8], host: String, port: UInt16, timeout: Milliseconds, attempts: Int
) throws -> Answer {
    let asker = try Asker(SocketAddress(host: host, port: port), message)
    defer { asker.hangUp() }
    for attempt in 1...UInt32(max(1, attempts)) where attempt <= attempts {
        let deadline = try asker.send(attempt, for: timeout)
        if let answer = try asker.listen(until: deadline, upTo: attempt) { return answer }
    }
    throw RequestError.noAnswer
}

/// Connected, so that the kernel keeps strangers away.
private final class Asker {
    private let fd: Int32
    private let number = UInt32.random(in: 0...UInt32.max)
    private let message: [UInt8]

    init(_ server: SocketAddress, _ message: [UInt8]) throws {
        self.message = message
        fd = try check("socket", socket(server.family, SOCK_DGRAM, 0))
        if server.withSockaddr({ connect(fd, $0, $1) }) != 0 {
            let code = errno
            close(fd)
            throw SocketError("connect", code)
        }
    }

    func hangUp() { close(fd) }

    private func word(_ value: UInt32) -> [UInt8] {
        [UInt8(value >> 24), UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255)]
    }

    /// - Returns: until when its answer is waited for.
    func send(_ attempt: UInt32, for timeout: Milliseconds) throws -> Int {
        let datagram = word(number) + word(attempt) + message
        while Sockets.send(fd, datagram, datagram.count, 0) < 0 {
            if errno == EINTR { continue }
            // Nobody has the port: this attempt counts as a lost one.
            if errno == ECONNREFUSED { break }
            throw SocketError("send", errno)
        }
        return monotonicNanoseconds() + timeout * nanosecondsPerMillisecond
    }

    func listen(until deadline: Int, upTo latest: UInt32) throws -> Answer? {
        var buffer = [UInt8](repeating: 0, count: roomForDatagram)
        while true {
            let left = deadline - monotonicNanoseconds()
            if left <= 0 { return nil }
            var entry = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
            let ready = poll(&entry, 1, Int32((left + 999_999) / 1_000_000))
            if ready < 0 && errno != EINTR { throw SocketError("poll", errno) }
            if ready <= 0 { continue }
            if Int32(entry.revents) & POLLIN == 0 {
                // Refused. There is nothing to hear before the next attempt, and a refusal must not shorten this one.
                rest(until: deadline)
                return nil
            }
            let count = recv(fd, &buffer, buffer.count, MSG_DONTWAIT)
            if count < 0 {
                if errno == EINTR || errno == EAGAIN || errno == ECONNREFUSED { continue }
                throw SocketError("recv", errno)
            }
            guard count >= 8 else { continue }
            let header = buffer[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let attempt = UInt32(truncatingIfNeeded: header)
            guard UInt32(header >> 32) == number, attempt >= 1, attempt <= latest else { continue }
            return Answer(payload: Array(buffer[8..<count]), attempt: Int(attempt))
        }
    }

    private func rest(until deadline: Int) {
        var moment = timespec(tv_sec: deadline / 1_000_000_000, tv_nsec: deadline % 1_000_000_000)
        while clock_nanosleep(CLOCK_MONOTONIC, Int32(TIMER_ABSTIME), &moment, nil) == EINTR {}
    }
}
