import Course
import Foundation
import Sockets

/// The longest message that the server takes: 1 MiB.
let largestMessage = 1 << 20

func framedEchoServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try persist("socket") { socket(address.family, SOCK_STREAM, 0) }
    defer { close(listener) }
    var on: Int32 = 1
    _ = try persist("setsockopt") {
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    }
    _ = try persist("bind") { address.withSockaddr { bind(listener, $0, $1) } }
    _ = try persist("listen") { listen(listener, 1_024) }
    while true {
        let client = try persist("accept") { accept(listener, nil, nil) }
        Thread.detachNewThread {
            serve(client)
            close(client)
        }
    }
}

/// A server runs for months. What passes by itself is no reason to end it: a signal, a client that has hung up before it was
/// accepted, a moment without descriptors or memory.
private func persist(_ name: String, _ call: () -> Int32) throws -> Int32 {
    while true {
        let result = call()
        guard result < 0 else { return result }
        let code = errno
        switch code {
        case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH:
            continue
        case EMFILE, ENFILE, ENOBUFS, ENOMEM:
            poll(nil, 0, 50)
        default:
            throw SocketError(name, code)
        }
    }
}

private func serve(_ client: Int32) {
    var frames = FrameDecoder(limit: largestMessage)
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 16_384, alignment: 1)
    defer { room.deallocate() }
    while true {
        let count = read(client, room.baseAddress, room.count)
        if count == -1 && errno == EINTR { continue }
        guard count > 0 else { return }
        frames.feed(Array(room[..<count]))
        do {
            while let message = try frames.next() { try sendAll(client, encodeFrame(message: message)) }
        } catch {
            return
        }
    }
}
