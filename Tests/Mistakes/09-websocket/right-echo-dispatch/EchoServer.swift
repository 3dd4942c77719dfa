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
        let queue = DispatchQueue(label: "client \(client)")
        let source = DispatchSource.makeReadSource(fileDescriptor: client, queue: queue)
        let visitor = Visitor(client)
        source.setEventHandler {
            if !visitor.advance() { return source.cancel() }
            // Whoever does not end his side is not waited for without end.
            if visitor.isLeaving { queue.asyncAfter(deadline: .now() + 2) { source.cancel() } }
        }
        source.setCancelHandler { close(client) }
        source.resume()
    }
}

private final class Visitor {
    let client: Int32
    var request: [UInt8] = []
    var isOpen = false
    var isLeaving = false
    var decoder = FrameDecoder(role: .server, limit: Lesson09.messageLimit)

    init(_ client: Int32) { self.client = client }

    func advance() -> Bool {
        let bytes = receive(from: client)
        if bytes.isEmpty { return false }
        if isLeaving { return true }
        if isOpen {
            decoder.feed(bytes)
        } else {
            request += bytes
            switch serverHandshake(request, allowedOrigins: nil) {
            case .incomplete: return true
            case .refused(_, let response): return leave(response)
            case .accepted(let response, let length):
                guard send(response, to: client) else { return false }
                isOpen = true
                decoder.feed(Array(request[length...]))
            }
        }
        var answers: [UInt8] = []
        do {
            while let event = try decoder.next() {
                switch event {
                case .text(let bytes): answers += encodeFrame(.text, bytes)
                case .binary(let bytes): answers += encodeFrame(.binary, bytes)
                case .ping(let bytes): answers += encodeFrame(.pong, bytes)
                case .pong: break
                case .close(let code, _): return leave(answers + encodeFrame(.close, code.map(bytesOf) ?? []))
                }
            }
        } catch {
            return leave(answers + encodeFrame(.close, bytesOf((error as? WebSocketError)?.closeCode ?? 1011)))
        }
        return send(answers, to: client)
    }

    func leave(_ last: [UInt8]) -> Bool {
        guard send(last, to: client) else { return false }
        shutdown(client, SHUT_WR)
        isLeaving = true
        return true
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
