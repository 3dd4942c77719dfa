import Sockets

func closeGracefully(_ socket: Int32) throws {
    var problem: (any Error)? = nil

    // 1. No more from me.
    if shutdown(socket, SHUT_WR) == -1 {
        problem = SocketError("shutdown", errno)
    }

    // 2. Whatever the peer still has to say.
    if problem == nil {
        var isOver = false
        while isOver == false {
            do {
                let piece = try receivePiece(socket, pieceSize)
                if piece.isEmpty {
                    isOver = true
                }
            } catch {
                problem = error
                isOver = true
            }
        }
    }

    // 3. Goodbye. This is the only close in here.
    close(socket)

    if let problem = problem {
        throw problem
    }
}
