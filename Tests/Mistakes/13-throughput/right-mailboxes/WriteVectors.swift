import Course
import Sockets

/// The state is a value (which piece, how much of it has gone), each call makes the next one, until there is none.
func writeVectors(socket: Int32, pieces: [[UInt8]]) throws {
    var state = settled((piece: 0, offset: 0), pieces)
    while let (piece, offset) = state {
        // The rest of a piece that was begun is a piece of its own, the first of the 1,024.
        let others = pieces[piece..<min(piece + 1024, pieces.count)]
        let went = try again { call(socket, others, skipping: offset) }
        state = settled((piece, offset + went), pieces)
    }
}

/// - Returns: the first place that has a byte to send; nil if there is none.
private func settled(_ place: (piece: Int, offset: Int), _ pieces: [[UInt8]]) -> (piece: Int, offset: Int)? {
    var (piece, offset) = place
    while piece < pieces.count {
        if offset < pieces[piece].count { return (piece, offset) }
        offset -= pieces[piece].count
        piece += 1
    }
    return nil
}

private func call(_ socket: Int32, _ pieces: ArraySlice<[UInt8]>, skipping offset: Int) -> Int {
    withVectors(of: pieces) { vectors in
        // Empty ones carry nothing.
        var list = vectors.filter { $0.iov_len > 0 }
        list[0].iov_base += offset
        list[0].iov_len -= offset
        return list.withUnsafeMutableBufferPointer { buffer in
            var message = msghdr()
            message.msg_iov = buffer.baseAddress
            message.msg_iovlen = .init(buffer.count)
            return sendmsg(socket, &message, MSG_NOSIGNAL)
        }
    }
}

private func again(_ body: () -> Int) throws -> Int {
    let count = body()
    if count >= 0 { return count }
    guard errno == EINTR else { throw SocketError("sendmsg", errno) }
    return try again(body)
}
