import Course
import Sockets

func peerCredentials(of socket: Int32) throws -> PeerCredentials {
    let peer = try kernelCredentials(of: socket)
    return peer
}
