import Course
import Sockets

func requestServer(host: String, port: UInt16) throws {
    let door = try openDoor(host, port)
    defer { close(door) }
    try keepServing(door)
}

func openDoor(_ host: String, _ port: UInt16, prepare: (Setter) throws -> Void = { _ in }) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let door = socket(address.family, SOCK_STREAM, 0)
    guard door >= 0 else { throw SocketError("socket", errno) }
    var isOpen = false
    defer { if !isOpen { close(door) } }
    let setter = Setter(socket: door)
    try setter.flag("SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR, true)
    try prepare(setter)
    if address.withSockaddr({ bind(door, $0, $1) }) != 0 { throw SocketError("bind", errno) }
    if listen(door, SOMAXCONN) != 0 { throw SocketError("listen", errno) }
    isOpen = true
    return door
}

func keepServing(_ door: Int32) throws {
    // write has no MSG_NOSIGNAL.
    signal(SIGPIPE, SIG_IGN)
    while true {
        let guest = accept(door, nil, nil)
        guard guest >= 0 else {
            let code = errno
            if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(code) {
                poll(nil, 0, 40)
            } else if [EBADF, EINVAL, ENOTSOCK, EFAULT].contains(code) {
                throw SocketError("accept", code)
            }
            continue
        }
        // Two small writes an answer, and neither waits. (If it fails, the guest has gone.)
        try? Setter(socket: guest).flag("TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, true)
        converse(with: guest)
        close(guest)
    }
}

private func converse(with guest: Int32) {
    var pending: [UInt8] = []
    // What of it is known to have no newline.
    var searched = 0
    while true {
        guard let piece = receive(guest), !piece.isEmpty else { return }
        pending += piece
        while let end = pending[searched...].firstIndex(of: UInt8(ascii: "\n")) {
            guard end <= Lesson10.longestLine else { return }
            let line = pending[..<end].map { byte in (97...122).contains(byte) ? byte - 32 : byte }
            guard writeAll(guest, Array(String(end).utf8) + [10]), writeAll(guest, line) else { return }
            pending.removeFirst(end + 1)
            searched = 0
        }
        searched = pending.count
        if searched > Lesson10.longestLine { return }
    }
}

/// - Returns: nil if the connection broke; nothing at its end.
private func receive(_ guest: Int32) -> [UInt8]? {
    var room = [UInt8](repeating: 0, count: 1024)
    while true {
        let count = read(guest, &room, room.count)
        if count >= 0 { return Array(room[..<count]) }
        if errno != EINTR { return nil }
    }
}

private func writeAll(_ guest: Int32, _ bytes: [UInt8]) -> Bool {
    var written = 0
    while written < bytes.count {
        let count = bytes.withUnsafeBytes { write(guest, $0.baseAddress! + written, $0.count - written) }
        if count >= 0 { written += count } else if errno != EINTR { return false }
    }
    return true
}
