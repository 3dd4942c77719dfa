import Course
import Sockets

func receiveExactly(_ socket: Int32, count: Int) throws -> [UInt8] {
    var result: [UInt8] = []
    while result.count != count {
        let missing = count - result.count
        let wanted: Int
        if missing > pieceSize {
            wanted = pieceSize
        } else {
            wanted = missing
        }
        let piece = try receivePiece(socket, wanted)
        if piece.isEmpty {
            throw StreamError.ended(received: result.count)
        }
        for byte in piece {
            result.append(byte)
        }
    }
    return result
}

/// From one byte to `wanted` bytes; none if the stream has ended.
func receivePiece(_ socket: Int32, _ wanted: Int) throws -> [UInt8] {
    while true {
        var question = pollfd()
        question.fd = socket
        question.events = Int16(POLLIN)
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

        var buffer: [UInt8] = []
        for _ in 0..<wanted {
            buffer.append(0)
        }
        let got = recv(socket, &buffer, wanted, MSG_DONTWAIT)
        if got == -1 {
            let reason = errno
            if reason == EINTR || reason == EAGAIN {
                continue
            } else {
                throw SocketError("recv", reason)
            }
        }
        var piece: [UInt8] = []
        var index = 0
        while index < got {
            piece.append(buffer[index])
            index += 1
        }
        return piece
    }
}
