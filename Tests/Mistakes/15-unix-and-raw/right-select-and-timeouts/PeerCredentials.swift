import Course
import Sockets

func peerCredentials(of socket: Int32) throws -> PeerCredentials {
    let answer = UnsafeMutablePointer<ucred>.allocate(capacity: 1)
    defer { answer.deallocate() }
    answer.initialize(to: ucred())
    var size = socklen_t(MemoryLayout<ucred>.stride)
    if getsockopt(socket, SOL_SOCKET, SO_PEERCRED, answer, &size) == -1 { throw SocketError("getsockopt", errno) }
    let who = answer.pointee
    if who.pid == 0 || who.uid == UInt32.max { throw CredentialsError.unknown }
    return PeerCredentials(process: who.pid, user: who.uid, group: who.gid)
}
