import Course
import Sockets

/// Runs an operation, and runs it again when a signal has interrupted it.
private func uninterrupted<Outcome>(_ operation: () throws -> Outcome) throws -> Outcome {
    while true {
        do {
            return try operation()
        } catch let error as SocketError where error.code == EINTR {
            continue
        }
    }
}

/// What is there, at most so much; empty at the end of the stream.
private func some(of socket: Int32, atMost limit: Int) throws -> [UInt8] {
    try [UInt8](unsafeUninitializedCapacity: limit) { room, filled in
        filled = try check("recv", recv(socket, room.baseAddress, limit, 0))
    }
}

func receiveExactly(_ socket: Int32, count: Int) throws -> [UInt8] {
    try uninterrupted {
        var collected: [UInt8] = []
        collected.reserveCapacity(count)
        while collected.count < count {
            let piece = try some(of: socket, atMost: count - collected.count)
            if piece.isEmpty { throw StreamError.ended(received: collected.count) }
            collected += piece
        }
        return collected
    }
}
