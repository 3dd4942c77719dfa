import Course
import Sockets

enum Received {
    case bytes(Int)
    case nothingYet
    case end
}

/// Into the buffer, at once.
func receiveSome(_ socket: Int32, _ room: UnsafeMutableRawBufferPointer) throws -> Received {
    while true {
        let count = recv(socket, room.baseAddress, room.count, MSG_DONTWAIT)
        if count > 0 { return .bytes(count) }
        if count == 0 { return .end }
        switch errno {
        case EINTR: continue
        case EAGAIN: return .nothingYet
        case let code: throw SocketError("recv", code)
        }
    }
}

func receiveExactly(_ socket: Int32, count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var missing = count
    while missing > 0 {
        let state = try bytes.withUnsafeMutableBytes {
            try receiveSome(socket, UnsafeMutableRawBufferPointer(rebasing: $0.suffix(missing)))
        }
        switch state {
        case .bytes(let got): missing -= got
        case .nothingYet: try waitFor(socket, POLLIN)
        case .end: throw StreamError.ended(received: count - missing)
        }
    }
    return bytes
}
