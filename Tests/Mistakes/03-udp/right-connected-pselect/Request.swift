import Course
import Sockets

/// On a connected socket: the kernel drops what strangers send. In return refusals are heard, and have to be borne.
func request(
    message: [UInt8], host: String, port: UInt16, timeout: Milliseconds, attempts: Int
) throws -> Answer {
    let server = try SocketAddress(host: host, port: port)
    let fd = socket(server.family, SOCK_DGRAM | Int32(SOCK_CLOEXEC.rawValue), 0)
    try check("socket", fd)
    defer { close(fd) }
    while server.withSockaddr({ connect(fd, $0, $1) }) < 0 {
        guard errno == EINTR else { throw SocketError("connect", errno) }
    }

    let number = UInt32(truncatingIfNeeded: UInt64.random(in: 0...UInt64.max))
    return try attempt(1, of: attempts, number, message, fd, timeout)
}

/// This attempt, and if it is in vain, those after it.
private func attempt(
    _ current: Int, of attempts: Int, _ number: UInt32, _ message: [UInt8], _ fd: Int32, _ timeout: Milliseconds
) throws -> Answer {
    guard current <= attempts else { throw RequestError.noAnswer }
    try post(bytes(number) + bytes(UInt32(current)) + message, fd)

    var deadline = monotonicTime()
    deadline.tv_sec += timeout / 1000
    deadline.tv_nsec += timeout % 1000 * 1_000_000
    if deadline.tv_nsec >= 1_000_000_000 {
        deadline.tv_sec += 1
        deadline.tv_nsec -= 1_000_000_000
    }

    var room = [UInt8](repeating: 0, count: 65_536)
    while let left = timeLeft(until: deadline) {
        guard try isReadable(fd, within: left) else { continue }
        let count = recv(fd, &room, room.count, MSG_DONTWAIT)
        if count < 0 {
            // A refusal is no answer, and no reason to hurry: somebody may open the port yet.
            if [EINTR, EAGAIN, ECONNREFUSED].contains(errno) { continue }
            throw SocketError("recv", errno)
        }
        guard count >= 8, room.starts(with: bytes(number)) else { continue }
        let answered = room[4..<8].reduce(0) { $0 * 256 + Int($1) }
        if answered >= 1 && answered <= current {
            return Answer(payload: Array(room[8..<count]), attempt: answered)
        }
    }
    return try attempt(current + 1, of: attempts, number, message, fd, timeout)
}

/// A timespec: pselect does not round to milliseconds.
private func isReadable(_ fd: Int32, within span: timespec) throws -> Bool {
    var watched = fd_set()
    guard Int(fd) < MemoryLayout<fd_set>.size * 8 else { throw SocketError("pselect", EINVAL) }
    withUnsafeMutableBytes(of: &watched) { $0[Int(fd) / 8] |= 1 << UInt8(fd % 8) }
    var span = span
    let ready = pselect(fd + 1, &watched, nil, nil, &span, nil)
    if ready < 0 && errno != EINTR { throw SocketError("pselect", errno) }
    return ready > 0
}

private func post(_ datagram: [UInt8], _ fd: Int32) throws {
    while send(fd, datagram, datagram.count, 0) < 0 {
        // ECONNREFUSED is about the attempt before: this one has not been sent yet.
        guard errno == EINTR || errno == ECONNREFUSED else { throw SocketError("send", errno) }
    }
}

private func bytes(_ number: UInt32) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) }
}

private func monotonicTime() -> timespec {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time
}

/// Nil if the deadline has come. Never zero otherwise, for pselect would not wait then.
private func timeLeft(until deadline: timespec) -> timespec? {
    let now = monotonicTime()
    let nanoseconds = (deadline.tv_sec - now.tv_sec) * 1_000_000_000 + deadline.tv_nsec - now.tv_nsec
    guard nanoseconds > 0 else { return nil }
    return timespec(tv_sec: nanoseconds / 1_000_000_000, tv_nsec: nanoseconds % 1_000_000_000)
}
