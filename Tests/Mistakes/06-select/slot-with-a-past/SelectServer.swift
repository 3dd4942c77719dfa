import Course
import Sockets

/// One for each number that a set has room for, made once and used again and again: there is nothing to allocate while we serve.
private final class Session {
    private(set) var isOpen = false
    private(set) var peerIsDone = false
    private var answers: [UInt8] = []

    func begin() {
        isOpen = true
        peerIsDone = false
    }

    func end(_ number: Int32) {
        isOpen = false
        close(number)
    }

    var reads: Bool { isOpen && !peerIsDone && answers.count < 64 * 1024 }
    var writes: Bool { isOpen && !answers.isEmpty }

    func onReadable(_ number: Int32, _ buffer: UnsafeMutableRawBufferPointer) {
        let count = recv(number, buffer.baseAddress, buffer.count, 0)
        switch (count, errno) {
        case (1..., _):
            for byte in buffer[..<count] { answers.append(upper[Int(byte)]) }
        case (0, _):
            peerIsDone = true
            if answers.isEmpty { end(number) }
        case (_, EAGAIN), (_, EINTR): break
        default: end(number)
        }
    }

    func onWritable(_ number: Int32) {
        let count = send(number, answers, answers.count, MSG_NOSIGNAL)
        switch (count, errno) {
        case (0..., _):
            answers.removeFirst(count)
            if peerIsDone && answers.isEmpty { end(number) }
        case (_, EAGAIN), (_, EINTR): break
        default: end(number)
        }
    }
}

private let upper: [UInt8] = (0...255).map { $0 >= 97 && $0 <= 122 ? $0 - 32 : $0 }

func selectServer(host: String, port: UInt16) throws {
    let listener = try openListener(SocketAddress(host: host, port: port))
    let sessions = (0..<Int(FD_SETSIZE)).map { _ in Session() }
    defer {
        for number in sessions.indices where sessions[number].isOpen { close(Int32(number)) }
        close(listener)
    }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 16_384, alignment: 16)
    defer { buffer.deallocate() }
    var isFull = false

    while true {
        var reading = fd_set()
        var writing = fd_set()
        fdZero(&reading)
        fdZero(&writing)
        if !isFull { fdSet(listener, &reading) }
        var nfds = listener + 1
        for number in 0..<Int32(FD_SETSIZE) {
            let session = sessions[Int(number)]
            if session.reads { fdSet(number, &reading) }
            if session.writes { fdSet(number, &writing) }
            if session.isOpen { nfds = max(nfds, number + 1) }
        }
        var pause = timeval(tv_sec: 0, tv_usec: 100_000)
        let count = isFull ? select(nfds, &reading, &writing, nil, &pause) : select(nfds, &reading, &writing, nil, nil)
        if count < 0 {
            let code = errno
            if code == EINTR { continue }
            throw SocketError("select", code)
        }
        for number in 0..<nfds where sessions[Int(number)].isOpen {
            let session = sessions[Int(number)]
            if fdIsSet(number, &reading) != 0 { session.onReadable(number, buffer) }
            if session.isOpen && fdIsSet(number, &writing) != 0 { session.onWritable(number) }
        }
        if isFull || fdIsSet(listener, &reading) != 0 { isFull = try !acceptAll(listener, sessions) }
    }
}

/// - Returns: false if there were no more descriptors.
private func acceptAll(_ listener: Int32, _ sessions: [Session]) throws -> Bool {
    while true {
        let number = accept(listener, nil, nil)
        if number >= 0 {
            guard number < Int32(FD_SETSIZE) else {
                close(number)
                continue
            }
            setNonblocking(number)
            sessions[Int(number)].begin()
            continue
        }
        let code = errno
        switch code {
        case EAGAIN: return true
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: return false
        case EBADF, EINVAL, ENOTSOCK: throw SocketError("accept", code)
        default: continue
        }
    }
}

private func openListener(_ address: SocketAddress) throws -> Int32 {
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    var on: Int32 = 1
    let steps: [(String, () -> Int32)] = [
        ("setsockopt", { setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)) }),
        ("bind", { address.withSockaddr { bind(listener, $0, $1) } }),
        ("listen", { listen(listener, SOMAXCONN) }),
    ]
    for (name, step) in steps where step() != 0 {
        let code = errno
        close(listener)
        throw SocketError(name, code)
    }
    setNonblocking(listener)
    return listener
}

func setNonblocking(_ descriptor: Int32, _ on: Bool = true) {
    let flags = fcntl(descriptor, F_GETFL)
    _ = fcntl(descriptor, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK)
}
