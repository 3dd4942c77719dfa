// A process for each client: nobody can stop anybody, and the kernel cleans up.
import Course
import Sockets

func listening(_ host: String, _ port: UInt16, flags: Int32 = 0) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let fd = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0))
    do {
        var on: Int32 = 1
        try check(
            "setsockopt", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout.size(ofValue: on))))
        try check("bind", address.withSockaddr { bind(fd, $0, $1) })
        try check("listen", listen(fd, 511))
    } catch {
        close(fd)
        throw error
    }
    return fd
}

func echoServer(host: String, port: UInt16) throws {
    signal(SIGPIPE, SIG_IGN)
    signal(SIGCHLD, SIG_IGN)  // nobody waits: no zombies
    let door = try listening(host, port)
    while true {
        let client = accept(door, nil, nil)
        if client < 0 {
            if errno == EMFILE || errno == ENFILE { usleep(10_000) }
            continue
        }
        switch forkProcess() {
        case 0:
            close(door)
            talk(client)
            _exit(0)
        default: close(client)
        }
    }
}

private func readSome(_ fd: Int32) -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = read(fd, &buffer, buffer.count)
        if count > 0 { return Array(buffer.prefix(count)) }
        if count == 0 || errno != EINTR { return nil }
    }
}

private func writeAll(_ fd: Int32, _ bytes: [UInt8]) -> Bool {
    var done = 0
    while done < bytes.count {
        let count = bytes.withUnsafeBytes { write(fd, $0.baseAddress! + done, bytes.count - done) }
        if count < 0 && errno != EINTR { return false }
        done += max(0, count)
    }
    return true
}

private func talk(_ fd: Int32) {
    var head: [UInt8] = []
    var decoder = FrameDecoder(role: .server, limit: Lesson09.messageLimit)
    handshake: while true {
        guard let bytes = readSome(fd) else { return }
        head += bytes
        switch serverHandshake(head, allowedOrigins: nil) {
        case .incomplete: continue
        case .refused(_, let response):
            if writeAll(fd, response) { leave(fd) }
            return
        case .accepted(let response, let length):
            guard writeAll(fd, response) else { return }
            decoder.feed(Array(head[length...]))
            break handshake
        }
    }
    while true {
        var out: [UInt8] = []
        var over = false
        do {
            while let event = try decoder.next() {
                switch event {
                case .text(let text): out += encodeFrame(.text, text)
                case .binary(let bytes): out += encodeFrame(.binary, bytes)
                case .ping(let bytes): out += encodeFrame(.pong, bytes)
                case .pong: break
                case .close(let code, _):
                    out += encodeFrame(.close, code.map { [UInt8($0 >> 8), UInt8($0 & 255)] } ?? [])
                    over = true
                }
            }
        } catch {
            let code = (error as? WebSocketError)?.closeCode ?? 1011
            out += encodeFrame(.close, [UInt8(code >> 8), UInt8(code & 255)])
            over = true
        }
        guard writeAll(fd, out) else { return }
        if over { return leave(fd) }
        guard let bytes = readSome(fd) else { return }
        decoder.feed(bytes)
    }
}

private func leave(_ fd: Int32) {
    shutdown(fd, SHUT_WR)
    alarm(2)  // the process ends then, and its descriptor with it
    while readSome(fd) != nil {}
}
