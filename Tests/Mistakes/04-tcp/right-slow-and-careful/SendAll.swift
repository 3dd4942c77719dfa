import Sockets

/// Never more than this in one call.
let pieceSize = 700

func sendAll(_ socket: Int32, _ bytes: [UInt8]) throws {
    var remaining = bytes
    while remaining.isEmpty == false {
        // First: is there room at all?
        var question = pollfd()
        question.fd = socket
        question.events = Int16(POLLOUT)
        question.revents = 0
        let answer = poll(&question, 1, 1000)
        if answer == -1 {
            let reason = errno
            if reason == EINTR {
                continue
            } else {
                throw SocketError("poll", reason)
            }
        }
        if answer == 0 {
            continue
        }

        // Then a piece, which is taken whole, or in part, or not at all.
        var piece: [UInt8] = []
        for byte in remaining {
            if piece.count == pieceSize {
                break
            }
            piece.append(byte)
        }
        let taken = send(socket, piece, piece.count, MSG_NOSIGNAL | MSG_DONTWAIT)
        if taken == -1 {
            let reason = errno
            if reason == EINTR || reason == EAGAIN {
                continue
            } else {
                throw SocketError("send", reason)
            }
        }
        remaining.removeFirst(taken)
    }
}
