import Course
import Foundation
import Sockets

/// A reader and a writer for each client. A pong must not wait behind 64 MiB of text, so there are two lanes to the writer.
func echoServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let door = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(door) }
    var on: Int32 = 1
    try check("setsockopt", setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
    try check("bind", address.withSockaddr { bind(door, $0, $1) })
    try check("listen", listen(door, SOMAXCONN))
    while true {
        let socket = accept(door, nil, nil)
        guard socket < 0 else {
            var on: Int32 = 1
            setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
            let visitor = Visitor(socket)
            Thread.detachNewThread { visitor.hear() }
            continue
        }
        if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno) {
            usleep(50_000)
        } else if ![EINTR, EAGAIN, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH].contains(errno) {
            throw SocketError("accept", errno)
        }
    }
}

private final class Visitor {
    private let socket: Int32
    private let state = NSCondition()
    private var urgent: [UInt8] = []
    private var ordinary: [UInt8] = []
    private var lastWord: [UInt8]?
    private var isDumb = false

    init(_ socket: Int32) { self.socket = socket }

    // MARK: The reader

    func hear() {
        Thread.detachNewThread { self.speak() }
        let peerEnded = listenToIt()
        state.lock()
        if lastWord == nil { lastWord = [] }
        state.broadcast()
        state.unlock()
        if !peerEnded { waste() }
        state.lock()
        while !isDumb { state.wait() }
        state.unlock()
        close(socket)
    }

    private func some() -> [UInt8]? {
        var chunk = [UInt8](repeating: 0, count: 32_768)
        while true {
            let count = recv(socket, &chunk, chunk.count, 0)
            if count > 0 { return Array(chunk[..<count]) }
            if count == 0 || (errno != EINTR && errno != EAGAIN) { return nil }
        }
    }

    private func queue(urgent first: [UInt8] = [], ordinary then: [UInt8] = [], last: [UInt8]? = nil) {
        state.lock()
        defer { state.unlock() }
        while !isDumb && urgent.count + ordinary.count > 65_536 { state.wait() }
        urgent += first
        ordinary += then
        if let last { lastWord = last }
        state.broadcast()
    }

    /// - Returns: has the other side ended first?
    private func listenToIt() -> Bool {
        var head: [UInt8] = []
        var frames = FrameDecoder(role: .server, limit: Lesson09.messageLimit)
        var isOpen = false
        while !isOpen {
            guard let bytes = some() else { return true }
            head += bytes
            if !bytes.contains(10) && head.count < Lesson09.headLimit { continue }
            switch serverHandshake(head, allowedOrigins: nil) {
            case .incomplete: break
            case .refused(_, let response):
                queue(last: response)
                return false
            case .accepted(let response, let length):
                queue(urgent: response)
                frames.feed(Array(head.dropFirst(length)))
                isOpen = true
            }
        }
        while true {
            var pongs: [UInt8] = []
            var echoes: [UInt8] = []
            var farewell: [UInt8]?
            do {
                while farewell == nil, let event = try frames.next() {
                    switch event {
                    case .text(let bytes): echoes += encodeFrame(.text, bytes)
                    case .binary(let bytes): echoes += encodeFrame(.binary, bytes)
                    case .ping(let bytes): pongs += encodeFrame(.pong, bytes)
                    case .pong: break
                    case .close(let code, _): farewell = closing(code)
                    }
                }
            } catch {
                farewell = closing((error as? WebSocketError)?.closeCode ?? 1011)
            }
            if !pongs.isEmpty || !echoes.isEmpty || farewell != nil {
                queue(urgent: pongs, ordinary: echoes, last: farewell)
            }
            if farewell != nil { return false }
            guard let bytes = some() else { return true }
            frames.feed(bytes)
        }
    }

    private func closing(_ code: UInt16?) -> [UInt8] {
        encodeFrame(.close, code.map { [UInt8($0 >> 8), UInt8($0 & 0xFF)] } ?? [])
    }

    /// Until the other side has ended, or two seconds after our own end.
    private func waste() {
        var end: Milliseconds?
        while end.map({ $0 > monotonicMilliseconds() }) ?? true {
            if end == nil {
                state.lock()
                if isDumb { end = monotonicMilliseconds() + 2000 }
                state.unlock()
            }
            var entry = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            if poll(&entry, 1, 100) > 0 && some() == nil { return }
        }
    }

    // MARK: The writer

    private func speak() {
        var isWell = true
        while isWell, let bytes = nextBytes() { isWell = put(bytes) }
        shutdown(socket, isWell ? Int32(SHUT_WR) : Int32(SHUT_RDWR))
        state.lock()
        isDumb = true
        state.broadcast()
        state.unlock()
    }

    /// Control frames first, then messages, and the close frame behind everything.
    private func nextBytes() -> [UInt8]? {
        state.lock()
        defer {
            state.broadcast()
            state.unlock()
        }
        while urgent.isEmpty && ordinary.isEmpty && lastWord == nil { state.wait() }
        defer { (urgent, ordinary) = ([], []) }
        if !urgent.isEmpty || !ordinary.isEmpty { return urgent + ordinary }
        guard let word = lastWord, !word.isEmpty else { return nil }
        lastWord = []
        return word
    }

    private func put(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if count > 0 { rest = rest.dropFirst(count) }
            if count < 0 && errno != EINTR && errno != EAGAIN { return false }
        }
        return true
    }
}
