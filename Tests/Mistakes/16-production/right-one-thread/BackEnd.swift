import Course
import Solution08
import Sockets

/// One thread and one poll for everybody; nothing here ever waits for a single client.
func backEnd(host: String, port: UInt16, name: String, stop: Int32) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    var isListening = true
    defer { if isListening { close(listener) } }
    var on: Int32 = 1
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))
    _ = fcntl(listener, F_SETFL, O_NONBLOCK)

    var clients: [Int32: Client] = [:]
    defer { for client in clients.keys { close(client) } }
    var isFull = false
    var end: Int?
    while true {
        if let end, clients.isEmpty || milliseconds() >= end { return }
        var waiting = clients.values.map { pollfd(fd: $0.descriptor, events: $0.events, revents: 0) }
        waiting.append(pollfd(fd: end == nil ? stop : -1, events: Int16(POLLIN), revents: 0))
        waiting.append(pollfd(fd: isListening && !isFull ? listener : -1, events: Int16(POLLIN), revents: 0))
        let patience = end.map { Int32(max(0, $0 - milliseconds())) } ?? (isFull ? 100 : -1)
        let count = poll(&waiting, nfds_t(waiting.count), patience)
        if count < 0 {
            if errno == EINTR { continue }
            throw SocketError("poll", errno)
        }
        isFull = false
        let stopping = end != nil || waiting[waiting.count - 2].revents != 0
        for entry in waiting.dropLast(2) where entry.revents != 0 {
            guard let client = clients[entry.fd] else { continue }
            client.work(entry.revents, name: name, stopping: stopping)
        }
        if waiting[waiting.count - 1].revents != 0 || stopping && isListening {
            accepting: while true {
                let descriptor = accept(listener, nil, nil)
                if descriptor >= 0 {
                    _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
                    clients[descriptor] = Client(descriptor)
                    continue
                }
                switch errno {
                case EINTR, ECONNABORTED: continue
                case EAGAIN: break accepting
                case EMFILE, ENFILE:
                    isFull = true
                    break accepting
                default: throw SocketError("accept", errno)
                }
            }
        }
        if stopping && end == nil {
            end = milliseconds() + Lesson16.stopPatience
            close(listener)
            isListening = false
            for client in clients.values where client.isIdle {
                // What has arrived is looked at before.
                client.work(Int16(POLLIN), name: name, stopping: true)
                if client.isIdle { client.finish() }
            }
        }
        for client in clients.values where client.isOver {
            close(client.descriptor)
            clients[client.descriptor] = nil
        }
    }
}

private final class Client {
    let descriptor: Int32
    private let peer: String
    private var decoder = Solution08.reference.makeRequestDecoder(RequestLimits())
    private var head: RequestHead?
    private var body: [UInt8] = []
    private var output: [UInt8] = []
    private var hasBegun = false
    private var isClosing = false
    private var isHalfClosed = false
    private(set) var isOver = false

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        peer = (try? SocketAddress.peer(of: descriptor))?.host ?? ""
    }

    var isIdle: Bool { !hasBegun && output.isEmpty && !isClosing && !isOver }

    // While an answer waits nothing more is read.
    var events: Int16 { Int16(output.isEmpty ? POLLIN : POLLOUT) }

    func work(_ ready: Int16, name: String, stopping: Bool) {
        if output.isEmpty {
            var buffer = [UInt8](repeating: 0, count: 8192)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
            if count <= 0 { return isOver = true }
            if isClosing { return }
            take(Array(buffer.prefix(count)), name, stopping)
        }
        flush()
    }

    func finish() {
        isClosing = true
        flush()
    }

    private func take(_ bytes: [UInt8], _ name: String, _ stopping: Bool) {
        // Byte by byte, so that it is known whether a request has begun; what waits is small.
        for byte in bytes {
            decoder.feed([byte])
            hasBegun = true
            do {
                while let event = try decoder.next() {
                    switch event {
                    case .head(let new): (head, body) = (new, [])
                    case .body(let part): body += part
                    case .end:
                        hasBegun = false
                        answer(name, stopping)
                        if isClosing { return }
                    }
                }
            } catch {
                isClosing = true
                return put((error as? RequestRefused)?.status ?? 400, Array("refused".utf8))
            }
        }
    }

    private func answer(_ name: String, _ stopping: Bool) {
        guard let head else { return }
        let connection = head.fields.filter { $0.name.lowercased() == "connection" }.map { $0.value.lowercased() }
        isClosing =
            stopping || head.minorVersion == 0
            || connection.joined(separator: ",").split(whereSeparator: { ", \t".contains($0) }).contains("close")
        switch "\(head.method) \(head.target.split(separator: "?")[0])" {
        case "GET /":
            let client = forwardedClient(peer: peer, fields: head.fields, trust: Lesson16.trust)
            put(200, Array("\(name) \(client.address) \(client.scheme)\n".utf8))
        case "GET /health": put(stopping ? 503 : 200, Array((stopping ? "no\n" : "ok\n").utf8))
        case "POST /upper": put(200, body.map { (0x61...0x7A).contains($0) ? $0 - 0x20 : $0 })
        default: put(404, [])
        }
    }

    private func put(_ status: Int, _ body: [UInt8]) {
        let close = isClosing ? "Connection: close\r\n" : "Connection: keep-alive\r\n"
        output += Array("HTTP/1.1 \(status) x\r\n\(close)Content-Length: \(body.count)\r\n\r\n".utf8) + body
    }

    private func flush() {
        while !output.isEmpty {
            let count = send(descriptor, output, output.count, MSG_NOSIGNAL)
            if count < 0 {
                if errno == EINTR { continue }
                if errno != EAGAIN { isOver = true }
                return
            }
            output.removeFirst(count)
        }
        if isClosing && !isHalfClosed {
            isHalfClosed = true
            shutdown(descriptor, SHUT_WR)
        }
    }
}

private func milliseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}
