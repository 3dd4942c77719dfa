import Course
import Sockets

let largestMessage = 1 << 20

/// pthreads, and no decoder: a thread may wait, so it receives four bytes and then as many as they say.
func framedEchoServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0))
    defer { close(listener) }
    var yes: Int32 = 1
    try check(
        "setsockopt",
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout.size(ofValue: yes))))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, 1024))

    while true {
        let client = accept(listener, nil, nil)
        if client < 0 {
            switch errno {
            case EBADF, EINVAL, ENOTSOCK, EOPNOTSUPP, EFAULT: throw SocketError("accept", errno)
            case EMFILE, ENFILE, ENOMEM, ENOBUFS: poll(nil, 0, 20)
            default: break
            }
            continue
        }
        var thread = pthread_t()
        // A number disguised as a pointer; + 1, because descriptor 0 would be nil.
        let argument = UnsafeMutableRawPointer(bitPattern: Int(client) + 1)
        let code = pthread_create(
            &thread, nil,
            { argument in
                let client = Int32(Int(bitPattern: argument) - 1)
                converse(client)
                close(client)
                return nil
            }, argument)
        if code == 0 { pthread_detach(thread) } else { close(client) }
    }
}

private func converse(_ client: Int32) {
    do {
        while true {
            let header = try take(4, from: client)
            guard header.count == 4 else { return }
            let length = Int(number(header))
            guard length <= largestMessage else { return }
            let message = try take(length, from: client)
            guard message.count == length else { return }
            try sendAll(client, header + message)
        }
    } catch {
        // Gone: only this client is done.
    }
}
