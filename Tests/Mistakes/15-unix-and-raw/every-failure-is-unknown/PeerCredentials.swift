import Course
import Sockets

func peerCredentials(of socket: Int32) throws -> PeerCredentials {
    var peer = ucred()
    var size = socklen_t(MemoryLayout.size(ofValue: peer))
    guard getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0, peer.pid > 0, peer.uid != UInt32.max else {
        throw CredentialsError.unknown
    }
    return PeerCredentials(process: peer.pid, user: peer.uid, group: peer.gid)
}
