import Dispatch
import Sockets

/// An enum for what a client is doing; sockets stay blocking, each call says MSG_DONTWAIT.
private enum Phase {
    /// Its bytes are read; these wait for room.
    case talking(ArraySlice<UInt8>)
    /// It has ended its side; these are still to be sent.
    case leaving(ArraySlice<UInt8>)
    case gone

    var asks: Bool { if case .talking(let rest) = self { return rest.count <= 65_536 } else { return false } }
    var rest: ArraySlice<UInt8> {
        switch self {
        case .talking(let rest), .leaving(let rest): return rest
        case .gone: return []
        }
    }

    /// Consumes one piece of what the client says.
    mutating func hear(_ fd: Int32, _ buffer: UnsafeMutableRawBufferPointer) {
        guard case .talking(var rest) = self else { return }
        self = .gone
        switch recv(fd, buffer.baseAddress, buffer.count, MSG_DONTWAIT) {
        case 0: self = rest.isEmpty ? .gone : .leaving(rest)
        case let count where count > 0:
            rest.append(contentsOf: buffer[..<count].lazy.map { 97...122 ~= $0 ? $0 & 0b1101_1111 : $0 })
            self = .talking(rest)
        default: if errno == EINTR || errno == EAGAIN { self = .talking(rest) }
        }
    }

    mutating func speak(_ fd: Int32) {
        let rest = self.rest
        let count = rest.withUnsafeBytes { send(fd, $0.baseAddress, $0.count, MSG_DONTWAIT | MSG_NOSIGNAL) }
        if count < 0 {
            if errno != EINTR && errno != EAGAIN { self = .gone }
            return
        }
        let left = rest.count == count ? [] : rest.dropFirst(count)
        switch self {
        case .talking: self = .talking(left)
        case .leaving: self = left.isEmpty ? .gone : .leaving(left)
        case .gone: break
        }
    }

    var isGone: Bool { if case .gone = self { return true } else { return false } }
}

func selectServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(listener) }
    guard listener < Int32(FD_SETSIZE) else { throw SocketError("select", EMFILE) }
    var on: Int32 = 1
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, 4))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, 512))
    try check("ioctl", ioctl(listener, UInt(FIONBIO), &on))

    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 32_768, alignment: 16)
    defer { buffer.deallocate() }
    var phases: [Int32: Phase] = [:]
    defer { phases.keys.forEach { close($0) } }
    var tryAgain: DispatchTime?

    while true {
        let asking = phases.filter { $0.value.asks }.map(\.key)
        let owed = phases.filter { !$0.value.rest.isEmpty }.map(\.key)
        let accepting = tryAgain.map { $0 <= .now() } ?? true
        var r = set(asking + (accepting ? [listener] : []))
        var w = set(owed)
        let highest = max(listener, asking.max() ?? 0, owed.max() ?? 0)
        let ready: Int32
        if accepting {
            ready = select(highest + 1, &r, &w, nil, nil)
        } else {
            var wait = timeval(tv_sec: 0, tv_usec: 100_000)
            ready = select(highest + 1, &r, &w, nil, &wait)
        }
        guard ready >= 0 else {
            if errno == EINTR { continue }
            throw SocketError("select", errno)
        }
        for fd in asking where fdIsSet(fd, &r) != 0 { phases[fd]!.hear(fd, buffer) }
        for fd in owed where fdIsSet(fd, &w) != 0 && !phases[fd]!.isGone { phases[fd]!.speak(fd) }
        for (fd, phase) in phases where phase.isGone {
            phases[fd] = nil
            close(fd)
            tryAgain = nil
        }
        if accepting && fdIsSet(listener, &r) != 0 {
            tryAgain = nil
            // A few at a time; whoever is still in the queue makes it readable again.
            for _ in 0..<64 {
                let fd = accept(listener, nil, nil)
                if fd >= Int32(FD_SETSIZE) {
                    close(fd)
                } else if fd >= 0 {
                    phases[fd] = .talking([])
                } else if errno == EAGAIN {
                    break
                } else if errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM {
                    tryAgain = .now() + .milliseconds(100)
                    break
                } else if errno == EBADF || errno == EINVAL || errno == ENOTSOCK {
                    throw SocketError("accept", errno)
                }
            }
        }
    }
}

func set(_ numbers: [Int32]) -> fd_set {
    var set = fd_set()
    fdZero(&set)
    for number in numbers { fdSet(number, &set) }
    return set
}
