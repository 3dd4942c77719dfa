import Course
import Sockets

func echoServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM | Int32(SOCK_CLOEXEC.rawValue), 0))
    defer { close(listener) }
    var on: Int32 = 1
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))
    while true {
        let connection = accept(listener, nil, nil)
        guard connection >= 0 else {
            let reason = errno
            if isPassing(reason) { continue }
            guard isShortage(reason) else { throw SocketError("accept", reason) }
            pause(milliseconds: 50)
            continue
        }
        if !detach({ Echo(connection).serve() }) {
            // No thread to be had: this client is turned away, the others stay.
            close(connection)
        }
    }
}

/// What accept says of one client, not of the listener (accept(2)).
private func isPassing(_ reason: Int32) -> Bool {
    [EINTR, EAGAIN, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, ENOPROTOOPT, EOPNOTSUPP].contains(reason)
}

private func isShortage(_ reason: Int32) -> Bool { [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(reason) }

private func pause(milliseconds: Int) {
    var time = timespec(tv_sec: 0, tv_nsec: milliseconds * 1_000_000)
    nanosleep(&time, nil)
}

private final class Task {
    let body: () -> Void
    init(body: @escaping () -> Void) { self.body = body }
}

private func detach(_ body: @escaping () -> Void) -> Bool {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    let task = Unmanaged.passRetained(Task(body: body))
    var thread = pthread_t()
    let result = pthread_create(
        &thread, &attributes,
        { task in
            Unmanaged<Task>.fromOpaque(task!).takeRetainedValue().body()
            return nil
        }, task.toOpaque())
    if result != 0 { task.release() }
    return result == 0
}

/// One client in one thread, with calls that wait.
private struct Echo {
    private let connection: Int32
    private var request: [UInt8]? = []
    private var decoder = FrameDecoder(role: .server, limit: Lesson09.messageLimit)

    init(_ connection: Int32) { self.connection = connection }

    func serve() {
        var copy = self
        copy.run()
    }

    /// Receives, answers all of it at once, and so on.
    private mutating func run() {
        defer { close(connection) }
        var room = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = receive(&room)
            guard count > 0 else { return }
            var answers: [UInt8] = []
            let goesOn = take(Array(room.prefix(count)), &answers)
            guard send(answers) else { return }
            if !goesOn { return takeLeave(&room) }
        }
    }

    /// - Returns: false if nothing more is to be said.
    private mutating func take(_ bytes: [UInt8], _ answers: inout [UInt8]) -> Bool {
        if let before = request {
            let all = before + bytes
            switch serverHandshake(all, allowedOrigins: nil) {
            case .incomplete:
                request = all
                return true
            case .refused(_, let response):
                answers += response
                return false
            case .accepted(let response, let length):
                request = nil
                answers += response
                decoder.feed(Array(all[length...]))
            }
        } else {
            decoder.feed(bytes)
        }
        do {
            while let event = try decoder.next() {
                switch event {
                case .text(let text): answers += encodeFrame(.text, text)
                case .binary(let bytes): answers += encodeFrame(.binary, bytes)
                case .ping(let payload): answers += encodeFrame(.pong, payload)
                case .pong: continue
                case .close(let code, _):
                    answers += closeFrame(code)
                    return false
                }
            }
            return true
        } catch let error as WebSocketError {
            answers += closeFrame(error.closeCode)
        } catch {
            answers += closeFrame(1011)
        }
        return false
    }

    private func closeFrame(_ code: UInt16?) -> [UInt8] {
        guard let code else { return encodeFrame(.close, []) }
        return encodeFrame(.close, withUnsafeBytes(of: code.bigEndian, Array.init))
    }

    private func receive(_ room: inout [UInt8]) -> Int {
        while true {
            let count = recv(connection, &room, room.count, 0)
            if count >= 0 || errno != EINTR { return count }
        }
    }

    /// - Returns: false if the client is gone.
    private func send(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { all in
            var sent = 0
            while sent < all.count {
                let count = Sockets.send(connection, all.baseAddress! + sent, all.count - sent, MSG_NOSIGNAL)
                if count < 0 && errno != EINTR { return false }
                sent += max(0, count)
            }
            return true
        }
    }

    /// The end of our side; then what still comes is taken off the wire, or close would answer it by a reset.
    private func takeLeave(_ room: inout [UInt8]) {
        guard shutdown(connection, SHUT_WR) == 0 else { return }
        let deadline = monotonicMilliseconds() + 2000
        while case let left = deadline - monotonicMilliseconds(), left > 0 {
            var waiting = pollfd(fd: connection, events: Int16(POLLIN), revents: 0)
            switch poll(&waiting, 1, Int32(left)) {
            case 1...: if receive(&room) <= 0 { return }
            case 0: return
            default: if errno != EINTR { return }
            }
        }
    }
}
