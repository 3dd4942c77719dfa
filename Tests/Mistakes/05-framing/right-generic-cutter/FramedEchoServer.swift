import Course
import Foundation
import Sockets

let largestMessage = 1 << 20

func framedEchoServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(listener) }
    var on: Int32 = 1
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.stride)))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))

    let fatal: Set<Int32> = [EBADF, EFAULT, EINVAL, ENOTSOCK, EOPNOTSUPP]
    while true {
        let client = accept4(listener, nil, nil, Int32(SOCK_CLOEXEC.rawValue))
        if client < 0 {
            let code = errno
            if fatal.contains(code) { throw SocketError("accept4", code) }
            // A signal, or a client that has gone already: the next. Otherwise something is short, and a rest helps.
            if code != EINTR && code != ECONNABORTED { usleep(20_000) }
            continue
        }
        let thread = Thread {
            Conversation(stream: Stream(descriptor: client)).run()
            close(client)
        }
        thread.stackSize = 1 << 20
        thread.start()
    }
}

private struct Conversation {
    let stream: Stream
    var decoder = FrameDecoder(limit: largestMessage)

    init(stream: Stream) { self.stream = stream }

    consuming func run() {
        var me = self
        while let answers = try? me.round() {
            if !answers { return }
        }
    }

    /// All answers to what one receive completed go out together.
    /// - Returns: false at the end of the stream.
    private mutating func round() throws -> Bool {
        let chunk = try stream.receiveSome()
        if chunk.isEmpty { return false }
        decoder.feed(chunk)
        var answers: [UInt8] = []
        do {
            while let message = try decoder.next() { answers += encodeFrame(message: message) }
        } catch {
            // What was good before the bad one is answered all the same.
            try stream.send([answers])
            throw error
        }
        try stream.send([answers])
        return true
    }
}
