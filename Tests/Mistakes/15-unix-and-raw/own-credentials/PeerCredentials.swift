import Course
import Sockets

func peerCredentials(of socket: Int32) throws -> PeerCredentials {
    let peer = try kernelCredentials(of: socket)
    guard peer.process > 0, peer.user != .max else { throw CredentialsError.unknown }
    return PeerCredentials(process: getpid(), user: getuid(), group: getgid())
}
