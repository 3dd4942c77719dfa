import Course
import Sockets

/// How much a peer may still have to say after we have said goodbye.
private let mostRounds = 64

func closeGracefully(_ socket: Int32) throws {
    var failure: SocketError?
    if shutdown(socket, SHUT_WR) == -1 {
        failure = SocketError("shutdown", errno)
    } else {
        var rubbish = [UInt8](repeating: 0, count: 4096)
        var rounds = 0
        // A peer that never stops must not keep us here for ever.
        while rounds < mostRounds {
            let count = recv(socket, &rubbish, rubbish.count, 0)
            if count == 0 { break }
            if count == -1 {
                if errno == EINTR { continue }
                failure = SocketError("recv", errno)
                break
            }
            rounds += 1
        }
    }
    close(socket)
    if let failure { throw failure }
}
