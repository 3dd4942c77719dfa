import Sockets

/// close(2) on a socket that still has unread bytes, or that bytes arrive for later, answers the peer with RST. That breaks
/// the peer's send, and what of ours has not reached it yet is lost: maybe our last words. So we say "no more from me"
/// first, and hang up only when the peer has said the same.
///
/// A peer that never ends holds us here for ever; lesson 11 adds the deadline.
func closeGracefully(_ socket: Int32) throws {
    try check("shutdown", shutdown(socket, SHUT_WR))
    defer { close(socket) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = recv(socket, &buffer, buffer.count, 0)
        if count == 0 { return }
        if count < 0 && errno != EINTR { throw SocketError("recv", errno) }
    }
}
