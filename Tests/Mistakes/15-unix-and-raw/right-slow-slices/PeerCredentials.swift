import Course
import Sockets

func peerCredentials(of socket: Int32) throws -> PeerCredentials {
    // What kind of socket is it? A file says ENOTSOCK here.
    var domain: Int32 = 0
    var domainSize = socklen_t(4)
    if getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &domainSize) == -1 {
        throw SocketError("getsockopt", errno)
    }
    if domain != AF_UNIX {
        throw CredentialsError.unknown
    }

    var peer = ucred()
    var peerSize = socklen_t(MemoryLayout<ucred>.size)
    if getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &peerSize) == -1 {
        throw SocketError("getsockopt", errno)
    }
    let nobody: uid_t = 4_294_967_295
    if peer.pid == 0 {
        throw CredentialsError.unknown
    }
    if peer.uid == nobody {
        throw CredentialsError.unknown
    }
    return PeerCredentials(process: peer.pid, user: peer.uid, group: peer.gid)
}
