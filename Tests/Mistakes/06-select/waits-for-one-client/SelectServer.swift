import Course
import Sockets

/// One table of numbers, as in every C book: `inUse[n]` says that descriptor n is a client.
func selectServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    var inUse = [Bool](repeating: false, count: Int(FD_SETSIZE))
    defer {
        for number in 0..<inUse.count where inUse[number] { close(Int32(number)) }
        close(listener)
    }
    var yes: Int32 = 1
    try check(
        "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size)))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))
    setNonblocking(listener)

    let room = 8192
    let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: room)
    defer { buffer.deallocate() }
    var largest = listener
    var tableIsFull = false

    while true {
        var readable = fd_set()
        fdZero(&readable)
        if !tableIsFull { fdSet(listener, &readable) }
        largest = listener
        for number in 0..<inUse.count where inUse[number] {
            fdSet(Int32(number), &readable)
            largest = max(largest, Int32(number))
        }
        var nap = timeval(tv_sec: 0, tv_usec: 100_000)
        let ready =
            tableIsFull
            ? select(largest + 1, &readable, nil, nil, &nap)
            : select(largest + 1, &readable, nil, nil, nil)
        if ready == -1 {
            if errno == EINTR { continue }
            throw SocketError("select", errno)
        }

        for number in 0...largest where number != listener && inUse[Int(number)] {
            if fdIsSet(number, &readable) == 0 { continue }
            let got = recv(number, buffer, room, 0)
            if got == -1 && (errno == EAGAIN || errno == EINTR) { continue }
            var keep = got > 0
            if keep {
                for index in 0..<got where buffer[index] >= 97 && buffer[index] <= 122 { buffer[index] -= 32 }
                keep = putAll(number, buffer, got)
            }
            if !keep {
                inUse[Int(number)] = false
                close(number)
            }
        }

        if tableIsFull || fdIsSet(listener, &readable) != 0 {
            tableIsFull = false
            accepting: while true {
                let client = accept(listener, nil, nil)
                if client >= 0 {
                    if client >= Int32(FD_SETSIZE) {
                        close(client)
                    } else {
                        setNonblocking(client)
                        inUse[Int(client)] = true
                    }
                    continue
                }
                switch errno {
                case EAGAIN: break accepting
                case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                    tableIsFull = true
                    break accepting
                case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
                default: throw SocketError("accept", errno)
                }
            }
        }
    }
}

/// All of it, whatever one send takes: where the socket is full, select tells when there is room again.
private func putAll(_ client: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    var done = 0
    while done < count {
        let sent = send(client, bytes + done, count - done, MSG_NOSIGNAL)
        if sent >= 0 {
            done += sent
            continue
        }
        if errno == EINTR { continue }
        guard errno == EAGAIN else { return false }
        var writable = fd_set()
        fdZero(&writable)
        fdSet(client, &writable)
        if select(client + 1, nil, &writable, nil, nil) == -1 && errno != EINTR { return false }
    }
    return true
}

func setNonblocking(_ descriptor: Int32, _ on: Bool = true) {
    let flags = fcntl(descriptor, F_GETFL)
    _ = fcntl(descriptor, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK)
}
