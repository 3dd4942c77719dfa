import Foundation
import Sockets

func edgeTriggeredServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(listener) }
    var on: Int32 = 1
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))
    while true {
        let connection = accept(listener, nil, nil)
        if connection < 0 {
            switch errno {
            case EINTR, ECONNABORTED: continue
            case EMFILE, ENFILE:
                usleep(100_000)
                continue
            default: throw SocketError("accept", errno)
            }
        }
        Thread.detachNewThread { serve(connection) }
    }
}

private func serve(_ connection: Int32) {
    defer { close(connection) }
    var buffer = [UInt8](repeating: 0, count: 16_384)
    while true {
        let count = recv(connection, &buffer, buffer.count, 0)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return }
        let answer = buffer[..<count].map { (97...122).contains($0) ? $0 - 32 : $0 }
        var sent = 0
        while sent < answer.count {
            let part = answer[sent...].withUnsafeBytes { send(connection, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if part < 0 && errno == EINTR { continue }
            if part < 0 { return }
            sent += part
        }
    }
}
