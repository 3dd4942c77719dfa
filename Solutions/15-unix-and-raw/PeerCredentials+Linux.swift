// SO_PEERCRED, unix(7).
#if os(Linux)
import Course
import Sockets

func kernelCredentials(of socket: Int32) throws -> PeerCredentials {
    var peer = ucred()
    var length = socklen_t(MemoryLayout<ucred>.size)
    try check("getsockopt", getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length))
    return PeerCredentials(process: peer.pid, user: peer.uid, group: peer.gid)
}
#endif
