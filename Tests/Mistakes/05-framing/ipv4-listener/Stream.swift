import Course
import Sockets

func sendAll(_ socket: Int32, _ bytes: [UInt8]) throws {
    var sent = 0
    while sent < bytes.count {
        let count = bytes[sent...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count < 0 && errno == EINTR { continue }
        sent += try check("send", count)
    }
}

func receiveExactly(_ socket: Int32, count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var received = 0
    while received < count {
        let got = bytes[received...].withUnsafeMutableBytes { recv(socket, $0.baseAddress, $0.count, 0) }
        if got < 0 && errno == EINTR { continue }
        if try check("recv", got) == 0 { throw StreamError.ended(received: received) }
        received += got
    }
    return bytes
}

func makeListener(host: String, port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(AF_INET, SOCK_STREAM, 0))
    do {
        var on: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, size))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
        return listener
    } catch {
        close(listener)
        throw error
    }
}

func acceptClient(_ listener: Int32) throws -> Int32 {
    while true {
        let client = accept(listener, nil, nil)
        if client >= 0 { return client }
        switch errno {
        case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: poll(nil, 0, 50)
        default: throw SocketError("accept", errno)
        }
    }
}
