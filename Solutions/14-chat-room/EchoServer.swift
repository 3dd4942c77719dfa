import Course
import Sockets

func echoServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(listener) }
    // Without it the port cannot be bound again for a minute after the server has ended (TIME_WAIT).
    var on: Int32 = 1
    let size = socklen_t(MemoryLayout.size(ofValue: on))
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, size))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, 16))

    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
        let client = accept(listener, nil, nil)
        if client < 0 {
            // A signal came, or the client has left before it was taken: the next one is waited for.
            if errno == EINTR || errno == ECONNABORTED { continue }
            throw SocketError("accept", errno)
        }
        serving: while true {
            let count = recv(client, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            // 0 is the end of what the client sends; an error ends this client, not the server.
            if count <= 0 { break }
            var sent = 0
            while sent < count {
                // MSG_NOSIGNAL: a client that has left must not end the server (SIGPIPE).
                let part = buffer[sent..<count].withUnsafeBytes {
                    send(client, $0.baseAddress, $0.count, MSG_NOSIGNAL)
                }
                if part < 0 && errno == EINTR { continue }
                if part < 0 { break serving }
                sent += part
            }
        }
        close(client)
    }
}
