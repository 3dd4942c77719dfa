import Course
import Sockets

/// The longest message that the server takes: 1 MiB.
let largestMessage = 1 << 20

func framedEchoServer(host: String, port: UInt16) throws {
    let server = try listening(on: SocketAddress(host: host, port: port))
    defer { close(server) }

    var detached = pthread_attr_t()
    pthread_attr_init(&detached)
    defer { pthread_attr_destroy(&detached) }
    pthread_attr_setdetachstate(&detached, Int32(PTHREAD_CREATE_DETACHED))

    while true {
        let client = accept4(server, nil, nil, Int32(SOCK_CLOEXEC.rawValue))
        if client == -1 {
            try survive(errno)
            continue
        }
        // The number of the descriptor travels in the place of a pointer: nothing to allocate, nothing to free.
        var thread = pthread_t()
        let failure = pthread_create(
            &thread, &detached,
            { argument in
                let client = Int32(Int(bitPattern: argument) - 1)
                converse(client)
                close(client)
                return nil
            }, UnsafeMutableRawPointer(bitPattern: Int(client) + 1))
        if failure != 0 { close(client) }
    }
}

private func listening(on address: SocketAddress) throws -> Int32 {
    let server = socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0)
    guard server >= 0 else { throw SocketError("socket", errno) }
    func step(_ name: String, _ result: Int32) throws {
        guard result == -1 else { return }
        let code = errno
        close(server)
        throw SocketError(name, code)
    }
    var one: Int32 = 1
    try step("setsockopt", setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, 4))
    try step("bind", address.withSockaddr { bind(server, $0, $1) })
    try step("listen", listen(server, SOMAXCONN))
    return server
}

/// Returns if accept may be called again after this error.
private func survive(_ code: Int32) throws {
    switch code {
    case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, ENOPROTOOPT, EOPNOTSUPP:
        return
    case EMFILE, ENFILE, ENOBUFS, ENOMEM:
        var pause = timespec(tv_sec: 0, tv_nsec: 50_000_000)
        nanosleep(&pause, nil)
    default:
        throw SocketError("accept", code)
    }
}

private func converse(_ client: Int32) {
    var decoder = FrameDecoder(limit: largestMessage)
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 8_192, alignment: 16)
    defer { room.deallocate() }
    while let chunk = nextChunk(client, room) {
        decoder.feed(chunk)
        while true {
            let message: [UInt8]?
            do { message = try decoder.next() } catch { return }
            guard let message else { break }
            guard sendFrame(client, message) else { return }
        }
    }
}

/// nil when no more will come: the end of the stream, or a broken connection.
private func nextChunk(_ client: Int32, _ room: UnsafeMutableRawBufferPointer) -> [UInt8]? {
    var count: Int
    repeat {
        var part = iovec(iov_base: room.baseAddress, iov_len: room.count)
        count = readv(client, &part, 1)
    } while count == -1 && errno == EINTR
    return count > 0 ? [UInt8](room[..<count]) : nil
}

/// Length and message lie in two places, and go out by one call.
private func sendFrame(_ client: Int32, _ message: [UInt8]) -> Bool {
    var length = UInt32(message.count).bigEndian
    return withUnsafeMutableBytes(of: &length) { length in
        message.withUnsafeBytes { body in
            var done = 0
            let all = length.count + body.count
            while done < all {
                let headLeft = max(0, length.count - done)
                let bodyDone = max(0, done - length.count)
                var parts = [
                    iovec(iov_base: length.baseAddress! + (length.count - headLeft), iov_len: headLeft),
                    iovec(
                        iov_base: body.baseAddress.map { UnsafeMutableRawPointer(mutating: $0 + bodyDone) },
                        iov_len: body.count - bodyDone),
                ]
                let count = parts.withUnsafeMutableBufferPointer { parts -> Int in
                    var envelope = msghdr()
                    envelope.msg_iov = parts.baseAddress
                    envelope.msg_iovlen = 2
                    return sendmsg(client, &envelope, Int32(MSG_NOSIGNAL))
                }
                if count == -1 {
                    guard errno == EINTR else { return false }
                    continue
                }
                done += count
            }
            return true
        }
    }
}
