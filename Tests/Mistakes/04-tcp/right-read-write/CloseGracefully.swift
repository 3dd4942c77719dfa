import Sockets

func closeGracefully(_ socket: Int32) throws {
    var failure: SocketError?
    if shutdown(socket, SHUT_WR) < 0 {
        failure = SocketError("shutdown", errno)
    } else {
        withUnsafeTemporaryAllocation(byteCount: 32_768, alignment: 1) { junk in
            var count: Int
            repeat {
                count = read(socket, junk.baseAddress, junk.count)
            } while count > 0 || (count < 0 && errno == EINTR)
            if count < 0 { failure = SocketError("read", errno) }
        }
    }
    close(socket)
    if let failure { throw failure }
}
