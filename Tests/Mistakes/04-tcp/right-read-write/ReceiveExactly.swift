import Course
import Sockets

func receiveExactly(_ socket: Int32, count: Int) throws -> [UInt8] {
    try [UInt8](unsafeUninitializedCapacity: count) { room, filled in
        while filled < count {
            let got = read(socket, room.baseAddress! + filled, count - filled)
            if got > 0 {
                filled += got
            } else if got == 0 {
                throw StreamError.ended(received: filled)
            } else if errno != EINTR {
                throw SocketError("read", errno)
            }
        }
    }
}
