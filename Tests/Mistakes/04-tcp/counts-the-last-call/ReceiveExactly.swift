import Course
import Sockets

/// What is there, and then, in the same way, what is still missing.
func receiveExactly(_ socket: Int32, count: Int) throws -> [UInt8] {
    guard count > 0 else { return [] }
    let piece = try receiveSome(socket, atMost: count)
    if piece.isEmpty {
        throw StreamError.ended(received: piece.count)
    }
    return piece + (try receiveExactly(socket, count: count - piece.count))
}

/// At least one byte, at most `limit`; an empty array at the end of the stream.
private func receiveSome(_ socket: Int32, atMost limit: Int) throws -> [UInt8] {
    var room = [UInt8](repeating: 0, count: limit)
    var got = -1
    repeat {
        got = recv(socket, &room, limit, 0)
    } while got == -1 && errno == EINTR
    try check("recv", got)
    return Array(room.prefix(got))
}
