import Sockets

/// One function: sets kept beside copies of them, a table of FD_SETSIZE entries, and MSG_DONTWAIT in place of O_NONBLOCK.
func selectServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(listener) }
    var yes: Int32 = 1
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, 4))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))
    setNonblocking(listener)

    let room = 8192
    let limit = Int(FD_SETSIZE)
    // What a client still has to get: at most one buffer, and nothing is received before it is gone.
    let rest = UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>.allocate(capacity: limit)
    rest.initialize(repeating: nil, count: limit)
    var left = [Int](repeating: 0, count: limit)
    var start = [Int](repeating: 0, count: limit)
    defer { rest.deallocate() }
    var (reading, writing) = (fd_set(), fd_set())
    fdZero(&reading)
    fdZero(&writing)
    fdSet(listener, &reading)
    var highest = listener
    var isFull = false

    while true {
        var (readable, writable) = (reading, writing)
        var soon = timeval(tv_sec: 0, tv_usec: 200_000)
        let ready =
            isFull
            ? select(highest + 1, &readable, &writable, nil, &soon)
            : select(highest + 1, &readable, &writable, nil, nil)
        if ready < 0 {
            if errno == EINTR { continue }
            throw SocketError("select", errno)
        }
        for client in 0...highest where client != listener && rest[Int(client)] != nil {
            let index = Int(client)
            guard let bytes = rest[index] else { continue }
            var isGone = false
            if fdIsSet(client, &readable) != 0 {
                let count = recv(client, bytes, room, MSG_DONTWAIT)
                if count > 0 {
                    for place in 0..<count where bytes[place] >= 97 && bytes[place] <= 122 { bytes[place] &-= 32 }
                    (start[index], left[index]) = (0, count)
                } else if count == 0 || errno != EINTR && errno != EAGAIN {
                    isGone = true
                }
            }
            if left[index] > 0 && !isGone {
                let count = send(client, bytes + start[index], left[index], MSG_DONTWAIT | MSG_NOSIGNAL)
                if count >= 0 {
                    start[index] += count
                    left[index] -= count
                } else if errno != EINTR && errno != EAGAIN {
                    isGone = true
                }
            }
            fdClear(client, &reading)
            fdClear(client, &writing)
            if isGone {
                bytes.deallocate()
                rest[index] = nil
                left[index] = 0
                close(client)
                isFull = false
                fdSet(listener, &reading)
            } else if left[index] > 0 {
                fdSet(client, &writing)
            } else {
                fdSet(client, &reading)
            }
        }
        guard isFull || fdIsSet(listener, &readable) != 0 else { continue }
        let client = accept(listener, nil, nil)
        if client >= Int32(limit) {
            close(client)
        } else if client >= 0 {
            rest[Int(client)] = UnsafeMutablePointer<UInt8>.allocate(capacity: room)
            fdSet(client, &reading)
            highest = max(highest, client)
        } else if errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM {
            isFull = true
            fdClear(listener, &reading)
            continue
        } else if errno == EBADF || errno == EINVAL {
            throw SocketError("accept", errno)
        }
        isFull = false
        fdSet(listener, &reading)
    }
}

func setNonblocking(_ descriptor: Int32, _ on: Bool = true) {
    let flags = fcntl(descriptor, F_GETFL)
    _ = fcntl(descriptor, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK)
}
