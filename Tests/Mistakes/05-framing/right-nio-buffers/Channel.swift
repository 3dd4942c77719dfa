// A connected socket that is asked first whether it is ready. Its own mode is not changed: MSG_DONTWAIT is for one call.
import Sockets

struct Channel {
    let socket: Int32

    /// 0 at the end of the stream.
    func receive(_ room: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            var part = iovec(iov_base: room.baseAddress, iov_len: room.count)
            let count = withUnsafeMutablePointer(to: &part) { vector in
                var message = msghdr()
                message.msg_iov = vector
                message.msg_iovlen = 1
                return recvmsg(socket, &message, Int32(MSG_DONTWAIT))
            }
            if count >= 0 { return count }
            try recover("recvmsg", errno, Int16(POLLIN))
        }
    }

    func receiveFully(_ count: Int) throws -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = try bytes.withUnsafeMutableBytes {
                try receive(UnsafeMutableRawBufferPointer(rebasing: $0[filled...]))
            }
            if got == 0 { return nil }
            filled += got
        }
        return bytes
    }

    /// All the parts, one behind the other, in as few calls as the kernel allows.
    func send(_ parts: [[UInt8]]) throws {
        let total = parts.reduce(0) { $0 + $1.count }
        var sent = 0
        while sent < total {
            let count = sendOnce(parts, from: sent)
            if count >= 0 { sent += count } else { try recover("sendmsg", errno, Int16(POLLOUT)) }
        }
    }

    private func sendOnce(_ parts: [[UInt8]], from offset: Int) -> Int {
        // Where each part lies, less what has been sent.
        func gather(_ index: Int, _ skip: Int, _ vectors: [iovec]) -> Int {
            guard index < parts.count else {
                var vectors = vectors
                return vectors.withUnsafeMutableBufferPointer { list in
                    var message = msghdr()
                    message.msg_iov = list.baseAddress
                    message.msg_iovlen = .init(list.count)
                    return sendmsg(socket, &message, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
                }
            }
            return parts[index].withUnsafeBytes { bytes in
                if skip >= bytes.count { return gather(index + 1, skip - bytes.count, vectors) }
                let base = UnsafeMutableRawPointer(mutating: bytes.baseAddress! + skip)
                return gather(index + 1, 0, vectors + [iovec(iov_base: base, iov_len: bytes.count - skip)])
            }
        }
        return gather(0, offset, [])
    }

    private func recover(_ call: String, _ code: Int32, _ events: Int16) throws {
        switch code {
        case EINTR: return
        case EAGAIN: try ready(events)
        default: throw SocketError(call, code)
        }
    }

    private func ready(_ events: Int16) throws {
        var watched = pollfd(fd: socket, events: events, revents: 0)
        while poll(&watched, 1, -1) < 0 {
            if errno != EINTR { throw SocketError("poll", errno) }
        }
    }
}
