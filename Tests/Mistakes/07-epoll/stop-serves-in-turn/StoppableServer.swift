import Course
import Sockets

func stoppableServer(host: String, port: UInt16, stopper: Stopper) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(listener) }
    var on: Int32 = 1
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))
    while true {
        var waiting = [
            pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
            pollfd(fd: stopper.waitOn, events: Int16(POLLIN), revents: 0),
        ]
        if poll(&waiting, 2, -1) < 0 { continue }
        if waiting[1].revents != 0 { return }
        let client = accept(listener, nil, nil)
        if client >= 0 { serve(client) }
    }
}

private func serve(_ client: Int32) {
    defer { close(client) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = recv(client, &buffer, buffer.count, 0)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return }
        let answer = buffer[..<count].map(uppercase)
        var sent = 0
        while sent < count {
            let more = answer[sent...].withUnsafeBytes { send(client, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if more < 0 && errno == EINTR { continue }
            if more < 0 { return }
            sent += more
        }
    }
}

private func uppercase(_ byte: UInt8) -> UInt8 {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) ? byte - 32 : byte
}

func requestStop(_ stopper: Stopper) {
    var one: UInt64 = 1
    while write(stopper.writeTo, &one, 8) < 0 && errno == EINTR {}
}
