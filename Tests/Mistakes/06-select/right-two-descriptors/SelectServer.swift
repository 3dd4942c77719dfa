import Sockets

/// A client has two numbers: one to receive from, and a copy of it to send to. The answers of each lie in a queue of its own.
private final class Client {
    let input: Int32
    let output: Int32
    var queue: [UInt8] = []
    var inputIsOver = false

    init(_ input: Int32, _ output: Int32) {
        self.input = input
        self.output = output
    }

    deinit {
        close(output)
        close(input)
    }

    /// - Returns: false if the client is gone.
    func receive(_ buffer: inout [UInt8]) -> Bool {
        let count = recv(input, &buffer, buffer.count, 0)
        if count < 0 { return errno == EAGAIN || errno == EINTR }
        inputIsOver = count == 0
        queue += buffer[..<count].map { (0x61...0x7A).contains($0) ? $0 - 0x20 : $0 }
        return true
    }

    /// - Returns: false if the client is gone.
    func flush() -> Bool {
        let count = send(output, queue, queue.count, MSG_NOSIGNAL)
        if count < 0 { return errno == EAGAIN || errno == EINTR }
        queue.removeFirst(count)
        return true
    }
}

func selectServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
    defer { close(listener) }
    var yes: Int32 = 1
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))

    var clients: [Client] = []
    var buffer = [UInt8](repeating: 0, count: 16_384)
    var mayAccept = true
    while true {
        var readable = fd_set()
        var writable = fd_set()
        fdZero(&readable)
        fdZero(&writable)
        var highest: Int32 = -1
        if mayAccept {
            fdSet(listener, &readable)
            highest = listener
        }
        for client in clients {
            if !client.inputIsOver && client.queue.count < 65_536 {
                fdSet(client.input, &readable)
                highest = max(highest, client.input)
            }
            if !client.queue.isEmpty {
                fdSet(client.output, &writable)
                highest = max(highest, client.output)
            }
        }
        var pause = timeval(tv_sec: 0, tv_usec: 50_000)
        let ready =
            mayAccept
            ? select(highest + 1, &readable, &writable, nil, nil)
            : select(highest + 1, &readable, &writable, nil, &pause)
        mayAccept = true
        if ready < 0 {
            guard errno == EINTR else { throw SocketError("select", errno) }
            continue
        }
        clients.removeAll { client in
            if fdIsSet(client.output, &writable) != 0, !client.flush() { return true }
            if fdIsSet(client.input, &readable) != 0, !client.receive(&buffer) { return true }
            return client.inputIsOver && client.queue.isEmpty
        }
        if fdIsSet(listener, &readable) != 0 { mayAccept = try accept(from: listener, into: &clients) }
    }
}

/// - Returns: false if the descriptors are used up: then the listener is left alone for a while.
private func accept(from listener: Int32, into clients: inout [Client]) throws -> Bool {
    while true {
        let input = accept4(listener, nil, nil, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if input < 0 {
            switch errno {
            case EAGAIN: return true
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: return false
            case EBADF, EINVAL, ENOTSOCK, EOPNOTSUPP: throw SocketError("accept4", errno)
            default: continue  // about that connection alone
            }
        }
        let output = fcntl(input, F_DUPFD_CLOEXEC, 3)
        guard output >= 0 && max(input, output) < Int32(FD_SETSIZE) else {
            if output >= 0 { close(output) }
            close(input)
            continue
        }
        clients.append(Client(input, output))
    }
}

func setNonblocking(_ descriptor: Int32, _ isOn: Bool = true) {
    let flags = fcntl(descriptor, F_GETFL)
    _ = fcntl(descriptor, F_SETFL, isOn ? flags | O_NONBLOCK : flags & ~O_NONBLOCK)
}
