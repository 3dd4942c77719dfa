import Course
import Sockets

/// A socket with its own door, and a clock that runs from the beginning.
private final class Caller {
    private let descriptor: Int32
    private let door: String
    private let end: UInt64

    init(door: String, timeout: Milliseconds) throws {
        let address = try SocketAddress(unixPath: door)
        end = nanoseconds() + UInt64(max(0, timeout)) * 1_000_000
        self.door = door
        descriptor = try check("socket", socket(AF_UNIX, SOCK_DGRAM, 0))
        if address.withSockaddr({ bind(descriptor, $0, $1) }) != 0 {
            let error = SocketError("bind", errno)
            close(descriptor)
            throw error
        }
    }

    func hangUp() {
        close(descriptor)
        unlink(door)
    }

    func dial(_ address: SocketAddress) throws {
        try check("connect", address.withSockaddr { connect(descriptor, $0, $1) })
    }

    /// Repeats a call that does not wait, until it has done something or the time is up.
    private func repeating(_ name: String, _ events: Int32, _ call: () -> Int) throws -> Int {
        while true {
            let count = call()
            if count >= 0 { return count }
            if errno == EINTR { continue }
            guard errno == EAGAIN else { throw SocketError(name, errno) }
            let now = nanoseconds()
            guard now < end else { throw SocketError(name, ETIMEDOUT) }
            var one = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            if poll(&one, 1, Int32(clamping: (end - now) / 1_000_000 + 1)) < 0 && errno != EINTR {
                throw SocketError("poll", errno)
            }
        }
    }

    /// All of it, in pieces of a size that every system takes.
    func say(_ message: [UInt8]) throws {
        var rest = message[...]
        repeat {
            let piece = Array(rest.prefix(4096))
            let count = try repeating("send", POLLOUT) {
                send(descriptor, piece, piece.count, MSG_DONTWAIT | MSG_NOSIGNAL)
            }
            rest = rest.dropFirst(count)
        } while !rest.isEmpty
    }

    func listen() throws -> [UInt8] {
        var room = [UInt8](repeating: 0, count: 262_144)
        let count = try repeating("recv", POLLIN) { recv(descriptor, &room, room.count, MSG_DONTWAIT) }
        return Array(room.prefix(count))
    }
}

func datagramRequest(message: [UInt8], to path: String, from own: String, timeout: Milliseconds) throws -> [UInt8] {
    let server = try SocketAddress(unixPath: path)
    let caller = try Caller(door: own, timeout: timeout)
    defer { caller.hangUp() }
    try caller.dial(server)
    try caller.say(message)
    return try caller.listen()
}
