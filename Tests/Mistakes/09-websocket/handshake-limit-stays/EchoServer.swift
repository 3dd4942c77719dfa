import Course
import Foundation
import Sockets

func echoServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(listener) }
    var on: Int32 = 1
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, 4))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))
    while true {
        let client = accept(listener, nil, nil)
        if client < 0 {
            if errno == EINTR || errno == ECONNABORTED { continue }
            throw SocketError("accept", errno)
        }
        Thread.detachNewThread {
            serve(client)
            close(client)
        }
    }
}

private func serve(_ client: Int32) {
    var request: [UInt8] = []
    var isOpen = false
    var decoder = FrameDecoder(role: .server, limit: Lesson09.messageLimit)
    // Who does not finish its request is not waited for.
    var patience = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    while true {
        let bytes = receive(from: client)
        if bytes.isEmpty { return }
        if isOpen {
            decoder.feed(bytes)
        } else {
            request += bytes
            switch serverHandshake(request, allowedOrigins: nil) {
            case .incomplete: continue
            case .refused(_, let response):
                _ = send(response, to: client)
                return sayGoodbye(to: client)
            case .accepted(let response, let length):
                guard send(response, to: client) else { return }
                isOpen = true
                decoder.feed(Array(request[length...]))
            }
        }
        var answers: [UInt8] = []
        var isOver = false
        do {
            while !isOver, let event = try decoder.next() {
                switch event {
                case .text(let bytes): answers += encodeFrame(.text, bytes)
                case .binary(let bytes): answers += encodeFrame(.binary, bytes)
                case .ping(let bytes): answers += encodeFrame(.pong, bytes)
                case .pong: break
                case .close(let code, _):
                    answers += encodeFrame(.close, code.map(bytesOf) ?? [])
                    isOver = true
                }
            }
        } catch {
            answers += encodeFrame(.close, bytesOf((error as? WebSocketError)?.closeCode ?? 1011))
            isOver = true
        }
        guard send(answers, to: client) else { return }
        if isOver { return sayGoodbye(to: client) }
    }
}

private func bytesOf(_ code: UInt16) -> [UInt8] { [UInt8(code >> 8), UInt8(code & 0xFF)] }

private func receive(from client: Int32) -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = recv(client, &buffer, buffer.count, 0)
        if count < 0 && errno == EINTR { continue }
        return Array(buffer[..<max(0, count)])
    }
}

private func send(_ bytes: [UInt8], to client: Int32) -> Bool {
    var sent = 0
    while sent < bytes.count {
        let count = bytes[sent...].withUnsafeBytes { Sockets.send(client, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count < 0 && errno == EINTR { continue }
        if count < 0 { return false }
        sent += count
    }
    return true
}

private func sayGoodbye(to client: Int32) {
    shutdown(client, SHUT_WR)
    var patience = timeval(tv_sec: 2, tv_usec: 0)
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    while !receive(from: client).isEmpty { continue }
}
