import Sockets

/// Objects with chains of chunks: read(2) into the last chunk, upper case in place, writev(2) from the first on.
private final class Chunk {
    static let size = 16_384
    let base = UnsafeMutableRawPointer.allocate(byteCount: Chunk.size, alignment: 16)
    var from = 0
    var to = 0
    deinit { base.deallocate() }
}

private final class Session {
    let descriptor: Int32
    private var chunks: [Chunk] = []
    private var hasEnded = false
    private(set) var isOver = false

    init(_ descriptor: Int32) { self.descriptor = descriptor }
    deinit { close(descriptor) }

    var wantsInput: Bool { !hasEnded && (chunks.count < 4 || chunks.last!.to < Chunk.size) }
    var wantsOutput: Bool { !chunks.isEmpty }

    func input() {
        if chunks.isEmpty || chunks.last!.to == Chunk.size { chunks.append(Chunk()) }
        let chunk = chunks.last!
        let count = read(descriptor, chunk.base + chunk.to, Chunk.size - chunk.to)
        if count > 0 {
            let bytes = (chunk.base + chunk.to).assumingMemoryBound(to: UInt8.self)
            for i in 0..<count where bytes[i] >= UInt8(ascii: "a") && bytes[i] <= UInt8(ascii: "z") { bytes[i] -= 32 }
            chunk.to += count
        } else if count == 0 {
            hasEnded = true
        } else if errno != EAGAIN && errno != EINTR {
            isOver = true
        }
        dropEmpty()
    }

    func output() {
        let parts = chunks.map { iovec(iov_base: $0.base + $0.from, iov_len: $0.to - $0.from) }
        var count = writev(descriptor, parts, Int32(parts.count))
        if count < 0 {
            if errno != EAGAIN && errno != EINTR { isOver = true }
            return
        }
        for chunk in chunks {
            let taken = min(count, chunk.to - chunk.from)
            chunk.from += taken
            count -= taken
        }
        dropEmpty()
    }

    private func dropEmpty() {
        chunks.removeAll { $0.from == $0.to }
        if hasEnded && chunks.isEmpty { isOver = true }
    }
}

func selectServer(host: String, port: UInt16) throws {
    // writev has no flag against it.
    _ = signal(SIGPIPE, SIG_IGN)
    let listener = try listenAt(try SocketAddress(host: host, port: port))
    defer { close(listener) }
    var sessions: [Session] = []
    var hasRoom = true
    while true {
        var reading = fd_set(), writing = fd_set()
        fdZero(&reading)
        fdZero(&writing)
        if hasRoom { fdSet(listener, &reading) }
        for session in sessions {
            if session.wantsInput { fdSet(session.descriptor, &reading) }
            if session.wantsOutput { fdSet(session.descriptor, &writing) }
        }
        let top = sessions.reduce(listener) { max($0, $1.descriptor) }
        var tenth = timeval(tv_sec: 0, tv_usec: 100_000)
        let ready = withUnsafeMutablePointer(to: &tenth) {
            select(top + 1, &reading, &writing, nil, hasRoom ? nil : $0)
        }
        if ready < 0 {
            guard errno == EINTR else { throw SocketError("select", errno) }
            continue
        }
        // New ones first. Their numbers were in no set, so nobody is taken for one who has left in this round.
        let before = sessions
        if !hasRoom || fdIsSet(listener, &reading) != 0 { hasRoom = try welcome(listener, &sessions) }
        for session in before {
            if fdIsSet(session.descriptor, &reading) != 0 { session.input() }
            if !session.isOver && fdIsSet(session.descriptor, &writing) != 0 { session.output() }
        }
        let count = sessions.count
        sessions.removeAll { $0.isOver }
        if sessions.count < count { hasRoom = true }
    }
}

private func welcome(_ listener: Int32, _ sessions: inout [Session]) throws -> Bool {
    while true {
        let descriptor = accept(listener, nil, nil)
        if descriptor >= 0 {
            // From here on the session closes it.
            let session = Session(descriptor)
            guard descriptor < Int32(FD_SETSIZE) else { continue }
            guard fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK) == 0 else { continue }
            sessions.append(session)
            continue
        }
        switch errno {
        case EAGAIN: return true
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: return false
        case EBADF, EFAULT, EINVAL, ENOTSOCK, EOPNOTSUPP: throw SocketError("accept", errno)
        default: continue
        }
    }
}

private func listenAt(_ address: SocketAddress) throws -> Int32 {
    let descriptor = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        guard descriptor < Int32(FD_SETSIZE) else { throw SocketError("select", EMFILE) }
        var on: Int32 = 1
        try check("setsockopt", setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4))
        try check("fcntl", fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK))
        try check("bind", address.withSockaddr { bind(descriptor, $0, $1) })
        try check("listen", listen(descriptor, SOMAXCONN))
    } catch {
        close(descriptor)
        throw error
    }
    return descriptor
}
