import Course
import Sockets

func echoServer(host: String, port: UInt16) throws {
    let listener = try listen(at: SocketAddress(host: host, port: port))
    defer { close(listener) }
    while true {
        let client = accept(listener, nil, nil)
        if client >= 0 {
            startThread { Session(client).run() }
            continue
        }
        switch errno {
        case EINTR, ECONNABORTED, EPROTO: break
        case EMFILE, ENFILE, ENOBUFS, ENOMEM:
            // No room now. The client stays in the queue until somebody leaves.
            usleep(20_000)
        case let reason: throw SocketError("accept", reason)
        }
    }
}

private func listen(at address: SocketAddress) throws -> Int32 {
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        var on: Int32 = 1
        try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, 4))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
        return listener
    } catch {
        close(listener)
        throw error
    }
}

/// Detached: nobody waits for its end.
private func startThread(_ body: @escaping () -> Void) {
    final class Work {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }
    let work = Unmanaged.passRetained(Work(body))
    var thread = pthread_t()
    let code = pthread_create(
        &thread, nil,
        { argument in
            Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue().body()
            return nil
        }, work.toOpaque())
    if code == 0 {
        pthread_detach(thread)
    } else {
        // Then it is served here: late is better than never.
        work.takeRetainedValue().body()
    }
}

/// One client, in a thread of its own: calls may wait.
private final class Session {
    private let descriptor: Int32
    private var decoder = FrameDecoder(role: .server, limit: Lesson09.messageLimit)
    private var buffer = [UInt8](repeating: 0, count: 32_768)

    private enum Gone: Error { case gone }

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    func run() {
        defer { close(descriptor) }
        do {
            if try shakeHands() { try talk() }
            // What was said last has to arrive: the end of our side goes behind it.
            shutdown(descriptor, SHUT_WR)
        } catch {
            // Only this client is concerned: its connection is closed.
        }
    }

    private func shakeHands() throws -> Bool {
        var request: [UInt8] = []
        while true {
            request += try receive()
            switch serverHandshake(request, allowedOrigins: nil) {
            case .incomplete: continue
            case .refused(_, let response):
                try send(response)
                return false
            case .accepted(let response, let length):
                decoder.feed(Array(request.dropFirst(length)))
                try send(response)
                return true
            }
        }
    }

    /// Returns when both have said close.
    private func talk() throws {
        while true {
            var answers: [UInt8] = []
            let isOver = answer(&answers)
            if !answers.isEmpty { try send(answers) }
            if isOver { return }
            decoder.feed(try receive())
        }
    }

    /// All events that there are.
    private func answer(_ answers: inout [UInt8]) -> Bool {
        do {
            while let event = try decoder.next() {
                switch event {
                case .text(let text): answers += encodeFrame(.text, text)
                case .binary(let bytes): answers += encodeFrame(.binary, bytes)
                case .ping(let payload): answers += encodeFrame(.pong, payload)
                case .pong: break
                case .close(let code, _):
                    answers += encodeFrame(.close, code.map { [UInt8($0 >> 8), UInt8($0 & 255)] } ?? [])
                    return true
                }
            }
            return false
        } catch {
            let code = (error as? WebSocketError)?.closeCode ?? 1011
            answers += encodeFrame(.close, [UInt8(code >> 8), UInt8(code & 255)])
            return true
        }
    }

    private func receive() throws -> [UInt8] {
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count > 0 { return Array(buffer[..<count]) }
            if count == 0 || errno != EINTR { throw Gone.gone }
        }
    }

    private func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Sockets.send(descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if errno != EINTR {
                throw Gone.gone
            }
        }
    }
}
