import Course
import Sockets

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
        if got == 0 { return Array(bytes[..<received]) }
        received += got
    }
    return bytes
}
