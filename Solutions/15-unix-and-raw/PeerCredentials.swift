import Course
import Sockets

func peerCredentials(of socket: Int32) throws -> PeerCredentials {
    let peer = try kernelCredentials(of: socket)
    // Of a socket that has no such peer Linux says process 0, user and group -1, and no error. User -1 is nobody: taken for
    // a user it would be 4294967295, and process 0 is whole process groups to kill(2).
    guard peer.process > 0, peer.user != .max else { throw CredentialsError.unknown }
    return peer
}
