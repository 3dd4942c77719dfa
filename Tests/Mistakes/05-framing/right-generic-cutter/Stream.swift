// A connection, with the calls that take a msghdr.
import Course
import Sockets

struct Stream {
    let descriptor: Int32

    /// Sends the parts one behind the other, without putting them together in memory.
    func send(_ parts: [[UInt8]]) throws {
        var parts = parts.map { $0[...] }.filter { !$0.isEmpty }
        while let first = parts.first {
            var count = first.withUnsafeBytes { first in
                guard parts.count > 1 else { return message([first]) }
                return parts[1].withUnsafeBytes { second in message([first, second]) }
            }
            if count < 0 {
                if errno == EINTR { continue }
                throw SocketError("sendmsg", errno)
            }
            while count > 0, let part = parts.first {
                let gone = min(count, part.count)
                count -= gone
                parts[0] = part.dropFirst(gone)
                if parts[0].isEmpty { parts.removeFirst() }
            }
        }
    }

    private func message(_ memory: [UnsafeRawBufferPointer]) -> Int {
        var vectors = memory.map {
            iovec(iov_base: UnsafeMutableRawPointer(mutating: $0.baseAddress), iov_len: $0.count)
        }
        return vectors.withUnsafeMutableBufferPointer { vectors in
            var header = msghdr()
            header.msg_iov = vectors.baseAddress
            header.msg_iovlen = vectors.count
            return sendmsg(descriptor, &header, Int32(MSG_NOSIGNAL))
        }
    }

    /// - Returns: fewer than `count` only at the end of the stream. MSG_WAITALL, which may give less too: hence the loop.
    func receive(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let wanted = min(count - bytes.count, 65_536)
            let piece = try [UInt8](unsafeUninitializedCapacity: wanted) { room, filled in
                filled = 0
                var got = -1
                repeat {
                    got = recv(descriptor, room.baseAddress, wanted, Int32(MSG_WAITALL))
                } while got < 0 && errno == EINTR
                filled = try check("recv", got)
            }
            if piece.isEmpty { break }
            bytes += piece
        }
        return bytes
    }

    /// Whatever is there, at most 64 KiB; nothing at the end of the stream.
    func receiveSome() throws -> [UInt8] {
        var room = [UInt8](repeating: 0, count: 65_536)
        while true {
            let got = recv(descriptor, &room, room.count, Int32(MSG_DONTWAIT))
            if got >= 0 { return Array(room.prefix(got)) }
            if errno == EINTR { continue }
            guard errno == EAGAIN else { throw SocketError("recv", errno) }
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            if poll(&entry, 1, -1) < 0 && errno != EINTR { throw SocketError("poll", errno) }
        }
    }
}
