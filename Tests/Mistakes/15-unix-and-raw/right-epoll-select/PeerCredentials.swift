import Course
import Sockets

func peerCredentials(of socket: Int32) throws -> PeerCredentials {
    // struct ucred is three 32-bit numbers.
    var numbers: [Int32] = [0, -1, -1]
    var size = socklen_t(numbers.count * 4)
    try check("getsockopt", getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &numbers, &size))
    guard size == 12, numbers[0] != 0, numbers[1] != -1 else { throw CredentialsError.unknown }
    return PeerCredentials(
        process: numbers[0], user: UInt32(bitPattern: numbers[1]), group: UInt32(bitPattern: numbers[2]))
}
