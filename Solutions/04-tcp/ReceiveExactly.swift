import Course
import Sockets

/// recv(2) returns what is there: at least one byte, at most what we ask for. So we ask for what is still missing, never
/// for more: a byte too many belongs to whoever reads this socket next.
///
/// (MSG_WAITALL asks the kernel for the same loop, but it too comes back early after a signal.)
func receiveExactly(_ socket: Int32, count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var received = 0
    while received < count {
        let got = bytes.withUnsafeMutableBytes { buffer in
            let missing = UnsafeMutableRawBufferPointer(rebasing: buffer[received...])
            return recv(socket, missing.baseAddress, missing.count, 0)
        }
        if got < 0 {
            if errno == EINTR { continue }
            throw SocketError("recv", errno)
        }
        // 0 is neither an error nor "nothing yet": the peer has ended its side, and nothing will ever follow.
        if got == 0 { throw StreamError.ended(received: received) }
        received += got
    }
    return bytes
}
